"""The tables that pass between stages: the project's data dictionary.

`core/tables.py` has two more, which training reads: FOLDS and PREDICTIONS.
"""

from podium.core.tables import Contract

EXTERNAL_IMAGE_SIZE = 0  # nobody here knows at which size, in which transform and by which models they were made
EXTERNAL_TRANSFORM = "identity"
EXTERNAL_TEST_FOLD = ""

FACTS = Contract(
    {
        "image_id": "text",  # path inside the image folder, with / and with its ending
        "width": "int",  # pixels, upright (after EXIF rotation); 0 where unreadable
        "height": "int",
        "mode": "text",  # PIL's name of the original mode: RGB, L, P, CMYK, RGBA, I;16, ...
        "format": "text",  # decoded format by content: JPEG, PNG, GIF, ...
        "bytes": "int",  # size of the file
        "sha256": "text",  # of the file
        "problem": "text",  # "" or why the image cannot be used
        "note": "text",  # "" or what was done to it, e.g. "rotated by EXIF 6; alpha laid on white"
    }
)
LABELS = Contract(
    {
        "image_id": "text",  # every row of the train facts, unreadable ones too
        "label": "text",  # "" where use is "skip" and no label is known
        "use": "text",  # "train" or "skip"
        "reason": "text",  # "" or why it is skipped, or the override's reason
        "group": "text",  # the person's group, "" where there is none
        "fold": "text",  # the person's own fold, "" where there is none
    }
)
OVERRIDES_APPLIED = (
    Contract(  # apart from the labels: confirming a label must leave those as they are, and retrain nothing
        {
            "image_id": "text",  # every image with an override
            "given": "text",  # the contest's label; "" where it gives none
            "action": "text",  # of the override: a class or "drop"
            "effect": "text",  # "relabelled", "dropped", "confirmed" (the same label) or "without effect" (unreadable)
        }
    )
)
CONFLICTS = Contract(
    {
        "image_id": "text",  # every used image of a cluster of duplicates whose labels differ
        "cluster": "text",
        "label": "text",  # as given; folds.csv has the one that counts
        "done": "text",  # "kept", "kept by its override", "dropped" or "relabelled <class>"
    }
)
BALANCE = Contract(
    {"fold": "text", "label": "text", "images": "int"},  # every fold and class; images that are used
    key=("fold", "label"),
)
CLUSTERS = Contract(
    {
        "image_id": "text",  # train images that have a near duplicate among the train images
        "cluster": "text",  # the smallest image_id of its cluster
    }
)
FINDINGS = Contract(
    {
        "image_id": "text",
        "subset": "text",  # "train" or "test"
        "check": "text",  # e.g. "unusable", "blurry", "same_file"
        "value": "text",  # a number where there is a threshold, else words, or the image it equals as subset/image_id
        "threshold": "text",  # what the value was held against, for odd_size a range; "" where the finding is a fact
    },
    key=("image_id", "subset", "check"),
)
MAX_DUPLICATES_NAMED = 100  # rows of LEAKS a test image: thousands of equal images in both subsets would make millions
LEAKS = Contract(
    {
        "test_image_id": "text",
        "train_image_id": "text",
        "kind": "text",  # "exact": the same decoded pixels; "near", "cropped", "mirrored", "rotated" (by quarters)
        "similarity": "float",  # correlation of thumbnails, brought to one transform; 1 for exact
    },
    key=("test_image_id", "train_image_id"),
)
LEAKED = Contract(
    {
        "test_image_id": "text",
        "train_image_id": "text",
        "kind": "text",  # as in LEAKS
        "label": "text",  # of the train image in folds.csv; "" where it has none
        "use": "text",  # of the train image in folds.csv
    },
    key=("test_image_id", "train_image_id"),
)
IMPORTANCES = Contract(
    {
        "question": "text",  # e.g. "label_from_metadata"
        "feature": "text",
        "auc_lost": "float",  # when the feature is permuted among held-out images
        "standard_error": "float",
    },
    key=("question", "feature"),
)
OOF = Contract(
    {
        "image_id": "text",  # every image that is scored (use "train"); a column p:<class> per class
        "label": "text",
        "fold": "text",  # all about its blend was chosen on images of other subsets (scored.deal)
    }
)
TEST = Contract({"image_id": "text"})  # every readable test image; a column p:<class> per class
MEMBERS = Contract(  # of the blend
    {
        "member": "text",
        "weight": "float",  # in the blend; they sum to 1; missing where a member has none of its own (stacking)
        "image_sizes": "text",  # pixels, e.g. "64 80": averaged; tta.csv compares all candidates
        "transforms": "text",  # TTA transforms, e.g. "hflip identity": averaged
        "phases": "text",  # whose weights, e.g. "finetune" or "finetune probe": averaged
        "train_size_score": "float",  # out of fold, in the default TTA
        "score": "float",  # out of fold, the TTA chosen on the other outer folds
        "log_loss": "float",  # of the same predictions
        "pretrain_score": "float",  # held out, at the training size in one transform; missing with 0 epochs
        "finetune_score": "float",
    },
    key=("member",),
)
_COMPARISON = {  # podium.scoring.comparison.COLUMNS, which a test compares with this
    "gain": "float",  # in the contest's metric; above 0 is better, of a loss too
    "low": "float",  # its interval; all intervals of a table hold together at 95%
    "high": "float",
    "log_loss_gain": "float",  # in nats; above 0 is better
    "log_loss_low": "float",
    "log_loss_high": "float",
    "p": "float",  # two-sided, adjusted for all comparisons of the table
    "verdict": "text",  # default, better, worse, mixed, "no clear difference", "no difference"
}
TTA = Contract(  # each member's candidates, compared with its default TTA
    {
        "member": "text",
        "image_sizes": "text",  # as in MEMBERS
        "transforms": "text",
        "phases": "text",  # "elsewhere" for predictions from outside
        "temperature": "float",  # what its log probabilities are divided by
        "prior_strength": "float",  # share of the log class prior that is added first; 0 without class weights
        "log_loss": "float",  # out of fold, at this temperature
        "cost": "float",  # what the choice makes small: Metric.chosen_by
        **_COMPARISON,
        "chosen": "text",  # "yes" for the one with the smallest cost
        "chosen_in_outer_folds": "int",  # in how many outer folds of the nested score it was chosen
    },
    key=("member", "image_sizes", "transforms", "phases"),
)
METHODS = Contract(  # blending methods, each fitted without the images it predicts, compared with the equal mean
    {
        "method": "text",
        "score": "float",  # in the contest's metric
        "log_loss": "float",
        "cost": "float",
        **_COMPARISON,
        "chosen": "text",
        "chosen_in_outer_folds": "int",
    },
    key=("method",),
)
BLEND = Contract(  # the blend, compared with each of its members
    {"member": "text", "score": "float", "log_loss": "float", **_COMPARISON}, key=("member",)
)
CURVES = Contract(  # and a column of floats per logged series, e.g. train_loss
    {"member": "text", "fold": "text", "phase": "text", "epoch": "int"},  # epoch from 0
    key=("member", "fold", "phase", "epoch"),
)
SUSPECTS = Contract(  # most suspect first
    {
        "image_id": "text",
        "given": "text",  # its label
        "suggested": "text",  # the likeliest class of all members' mean, out of fold
        "flagged": "text",  # "yes" where confident learning counts it as an error, "no" where the members disagree only
        "label_quality": "float",  # in [0, 1]: the lower, the more suspect
        "p_given": "float",  # of the members' mean
        "p_suggested": "float",
        "members_agreeing": "int",  # whose likeliest class is the suggested one
        "members_asked": "int",  # that say something of the image
        "members": "text",  # each member's likeliest class and its probability
        "use": "text",  # as in tables.FOLDS: "skip" is neither trained on nor scored
        "other_duplicates": "text",  # near duplicates that bear another label, with it: the first ones
    }
)
LABEL_PAIRS = Contract(  # most flagged first
    {
        "given": "text",
        "suggested": "text",
        "suspects": "int",
        "flagged": "int",  # of the suspects
        "images": "int",  # reviewed ones that bear the given label
    },
    key=("given", "suggested"),
)
OVERRIDES = Contract({"image_id": "text", "action": "text", "reason": "text"})  # as a person writes them
PROBLEMS = Contract({"image_id": "text", "problem": "text"}, key=("image_id", "problem"))
