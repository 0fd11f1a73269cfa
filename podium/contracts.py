"""The tables that pass between stages: the project's data dictionary.

Two more tables, which training reads, are in podium/core/tables.py: FOLDS and PREDICTIONS.
"""

from podium.core.tables import Contract

# Predictions made elsewhere: the project does not know their image size, TTA transform and models.
EXTERNAL_IMAGE_SIZE = 0
EXTERNAL_TRANSFORM = "identity"
EXTERNAL_TEST_FOLD = ""
NOT_AN_IMAGE = "not an image"  # starts the problem of a file that is none, in FACTS

FACTS = Contract(
    {
        "image_id": "text",  # path inside the image folder, with / and with the file's ending
        "width": "int",  # pixels, upright (after EXIF rotation); 0 if unreadable
        "height": "int",
        "mode": "text",  # PIL's name of the file's mode: RGB, L, P, CMYK, RGBA, I;16, ...
        "format": "text",  # the format by content, not by the file's ending: JPEG, PNG, GIF, ...
        "bytes": "int",  # size of the file
        "sha256": "text",  # of the file
        "problem": "text",  # why the image cannot be used; "" if it can; starts with NOT_AN_IMAGE if the file is none
        "note": "text",  # how decoding changed it, e.g. "alpha laid on white"; else ""
    }
)
LABELS = Contract(
    {
        "image_id": "text",  # every train image in facts.csv, unreadable ones too
        "label": "text",  # "" only where use is "skip" and the label is unknown
        "use": "text",  # "train" or "skip"
        "reason": "text",  # why it is skipped, or the override's reason; else ""
        "group": "text",  # the user's group; "" if there is none
        "fold": "text",  # the user's own fold; "" if there is none
    }
)
OVERRIDES_APPLIED = Contract(  # a table apart from LABELS: an override that confirms a label must retrain nothing
    {
        "image_id": "text",  # every image with an override
        "given": "text",  # the contest's label; "" if it gives none
        "action": "text",  # the override's: a class or "drop"
        "effect": "text",  # "relabelled", "dropped", "confirmed" (the same label) or "without effect" (unreadable)
    }
)
CASES = Contract(  # no rows where the contest has no cases
    {
        "image_id": "text",  # images that belong to a case
        "case": "text",  # whose images are predicted by their mean
    }
)
CONFLICTS = Contract(
    {
        "image_id": "text",  # every used image whose cluster of duplicates has several labels
        "cluster": "text",
        "label": "text",  # in labels.csv; folds.csv has the final one
        "done": "text",  # "kept", "kept by its override", "dropped" or "relabelled <class>"
    }
)
BALANCE = Contract(
    {"fold": "text", "label": "text", "images": "int"},  # every fold and class; used images only
    key=("fold", "label"),
)
CLUSTERS = Contract(
    {
        "image_id": "text",  # train images with a near duplicate among the train images
        "cluster": "text",  # the smallest image_id of its cluster
    }
)
FINDINGS = Contract(
    {
        "image_id": "text",
        "subset": "text",  # "train" or "test"
        "check": "text",  # e.g. "unusable", "blurry", "same_file"
        "value": "text",  # a number if there is a threshold; else words, or the equal image as subset/image_id
        "threshold": "text",  # for odd_size a range; "" for facts, e.g. equal files
    },
    key=("image_id", "subset", "check"),
)
MAX_DUPLICATES_NAMED = 100  # rows of LEAKS per test image; thousands of equal images in both subsets make millions
LEAKS = Contract(
    {
        "test_image_id": "text",
        "train_image_id": "text",
        "kind": "text",  # "exact": equal decoded pixels; "near", "cropped", "mirrored", "rotated" (by quarter turns)
        "similarity": "float",  # correlation of thumbnails after undoing crop and turn; 1 for exact
    },
    key=("test_image_id", "train_image_id"),
)
LEAKED = Contract(
    {
        "test_image_id": "text",
        "train_image_id": "text",
        "kind": "text",  # as in LEAKS
        "label": "text",  # of the train image in folds.csv; "" if it has none
        "use": "text",  # of the train image in folds.csv
    },
    key=("test_image_id", "train_image_id"),
)
IMPORTANCES = Contract(
    {
        "question": "text",  # e.g. "label_from_metadata"
        "feature": "text",
        "auc_lost": "float",  # area under the ROC curve lost when the feature is permuted among held-out images
        "standard_error": "float",
    },
    key=("question", "feature"),
)
OOF = Contract(
    {
        "image_id": "text",  # every scored image (use "train"); also a column p:<class> per class
        "label": "text",
        "fold": "text",  # the blend that predicts it was chosen on other outer folds (podium.folds.outer_folds)
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
COMPARISON = {  # columns of podium.scoring.comparison; empty in a row that is compared with nothing
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
        **COMPARISON,
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
        **COMPARISON,
        "chosen": "text",
        "chosen_in_outer_folds": "int",
    },
    key=("method",),
)
BLEND = Contract(  # the blend, compared with each of its members
    {"member": "text", "score": "float", "log_loss": "float", **COMPARISON}, key=("member",)
)
CURVES = Contract(  # and a column of floats per logged series, e.g. train_loss
    {"member": "text", "fold": "text", "phase": "text", "epoch": "int"},  # epoch from 0
    key=("member", "fold", "phase", "epoch"),
)
SUSPECTS = Contract(  # most suspect first
    {
        "image_id": "text",
        "given": "text",  # its label
        "suggested": "text",  # the likeliest class by the mean of all members, out of fold
        "flagged": "text",  # "yes": a label error by confident learning; "no": only the members disagree
        "label_quality": "float",  # in [0, 1]: the lower, the more suspect
        "p_given": "float",  # probability of the given label by the mean of all members
        "p_suggested": "float",
        "members_agreeing": "int",  # members whose likeliest class is the suggested one
        "members_asked": "int",  # members that have a prediction for the image
        "members": "text",  # each member's likeliest class and its probability
        "use": "text",  # as in tables.FOLDS: "skip" is neither trained on nor scored
        "other_duplicates": "text",  # the first near duplicates with another label, and that label
    }
)
LABEL_PAIRS = Contract(  # most flagged first
    {
        "given": "text",
        "suggested": "text",
        "suspects": "int",
        "flagged": "int",  # flagged suspects
        "images": "int",  # reviewed images with the given label
    },
    key=("given", "suggested"),
)
OVERRIDES = Contract({"image_id": "text", "action": "text", "reason": "text"})  # as the user writes them
PROBLEMS = Contract({"image_id": "text", "problem": "text"}, key=("image_id", "problem"))
