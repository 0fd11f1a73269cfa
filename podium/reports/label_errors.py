"""Suspected wrong labels, found by cleanlab's confident learning on out-of-fold probabilities.

Source: Northcutt, Jiang & Chuang 2021, Confident learning, JAIR 70, arXiv 1911.00068.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from podium import contracts
from podium.core import scratch
from podium.core.targets import are_known, of_labels
from podium.reports.member_votes import NO_VOTE, Targets, Vote

DIGITS = 4  # decimals of probabilities in tables
NAMED = 5  # most duplicates with another label that a row names
REVIEWED, NO_PREDICTION, NO_LABEL, UNKNOWN_CLASS, DROPPED = (
    "reviewed",
    "no prediction",  # the image is unreadable
    "no label",
    "no image of its class is trained on",
    "dropped by an override",
)


@dataclass(frozen=True)
class LabelIssues:
    """How well each label agrees with the probabilities; all (images,).

    Attributes:
        quality: in [0, 1]; the lower, the more suspect (cleanlab's normalized margin).
        flagged: whether confident learning counts the label as an error.
        suggested: class index of the likeliest class.
    """

    quality: NDArray[np.float64]
    flagged: NDArray[np.bool_]
    suggested: Targets

    def suspects(self, targets: Targets) -> NDArray[np.int64]:
        """Return the positions of images whose likeliest class is not their label: flagged ones first, worst first."""
        order = np.lexsort((np.arange(len(targets)), self.quality, ~self.flagged))
        return np.asarray(order[self.suggested[order] != targets[order]], np.int64)


def find_issues(targets: Targets, probs: NDArray[np.float64]) -> LabelIssues:
    """Find the labels that disagree with the probabilities.

    Args:
        targets: (images,) class indices; every class occurs.
        probs: (images, classes), from models that did not train on the image.
    """
    from cleanlab.filter import find_label_issues  # takes a second to import
    from cleanlab.rank import get_label_quality_scores

    exact = np.asarray(probs / probs.sum(1, keepdims=True))
    scratch.release(probs)
    return LabelIssues(
        quality=get_label_quality_scores(targets, exact, method="normalized_margin"),
        flagged=find_label_issues(targets, exact, filter_by="prune_by_class", min_examples_per_class=0, n_jobs=1),
        suggested=exact.argmax(1),
    )


def review_state(folds: pd.DataFrame, overrides: pd.DataFrame, classes: Sequence[str]) -> pd.Series:
    """Return REVIEWED for each image of tables.FOLDS, or the reason why it cannot be reviewed.

    Args:
        folds: tables.FOLDS.
        overrides: contracts.OVERRIDES_APPLIED.
        classes: the classes that the members predict.
    """
    dropped = overrides.loc[overrides["effect"] == "dropped", "image_id"]
    reasons = {
        DROPPED: folds["image_id"].isin(dropped),
        NO_PREDICTION: folds["fold"] == "",
        NO_LABEL: folds["label"] == "",
        UNKNOWN_CLASS: ~are_known(of_labels(folds["label"], classes)),
    }
    return pd.Series(np.select(list(reasons.values()), list(reasons), REVIEWED), index=folds.index, dtype="str")


def suspect_table(
    reviewed: pd.DataFrame,
    issues: LabelIssues,
    *,
    probs: NDArray[np.float64],
    votes: Mapping[str, Vote],
    classes: Sequence[str],
    others: Mapping[str, str],
) -> pd.DataFrame:
    """List the suspects as contracts.SUSPECTS.

    Args:
        reviewed: rows of tables.FOLDS, in the order of the images of `issues`, `probs` and `votes`.
        issues: the result of `find_issues`.
        probs: (images, classes), mean over the members.
        votes: by member.
        classes: names in the order of probs.
        others: image_id -> its duplicates with another label, from `other_duplicates`.
    """
    targets = pd.Index(classes).get_indexer(reviewed["label"])
    places = issues.suspects(targets)
    suggested = issues.suggested[places]
    return listed(
        reviewed.iloc[places],
        places,
        probs=probs,
        votes=votes,
        given=targets[places],
        suggested=suggested,
        names=[classes] * len(places),
        columns={
            "suggested": np.asarray(classes, object)[suggested],
            "flagged": np.where(issues.flagged[places], "yes", "no"),
            "label_quality": issues.quality[places].round(DIGITS),
        },
        others=others,
    )


def listed(
    images: pd.DataFrame,
    rows: NDArray[np.intp],
    *,
    probs: NDArray[np.float64],
    votes: Mapping[str, Vote],
    given: NDArray[Any],
    suggested: NDArray[Any],
    names: Sequence[Sequence[str]],
    columns: Mapping[str, Any],
    others: Mapping[str, str],
) -> pd.DataFrame:
    """Return contracts.SUSPECTS.

    Args:
        images: rows of tables.FOLDS of the suspects.
        rows: (suspects,) places in `probs` and in the votes.
        probs: mean over the members.
        votes: by member.
        given, suggested: (suspects,) columns of `probs`.
        names: of the columns of `probs`, for each suspect.
        columns: what the table says of the suspects in `suggested`, `flagged` and `label_quality`.
        others: image_id -> its duplicates with another label.
    """
    likeliest = np.array([vote.likeliest[rows] for vote in votes.values()])  # (members, suspects)
    found = {
        "image_id": list(images["image_id"]),
        "given": list(images["label"]),
        **columns,
        "p_given": probs[rows, given].round(DIGITS),
        "p_suggested": probs[rows, suggested].round(DIGITS),
        "members_agreeing": (likeliest == suggested).sum(axis=0),
        "members_asked": (likeliest != NO_VOTE).sum(axis=0),
        "members": [_votes(votes, own, row) for own, row in zip(names, rows, strict=True)],
        "use": list(images["use"]),
        "other_duplicates": [others.get(image_id, "") for image_id in images["image_id"]],
    }
    return pd.DataFrame(found, columns=list(contracts.SUSPECTS.columns))


def other_duplicates(folds: pd.DataFrame, clusters: pd.DataFrame) -> dict[str, str]:
    """Name, for each image, its duplicates with another label.

    Args:
        folds: tables.FOLDS; images without a label are ignored.
        clusters: contracts.CLUSTERS.
    """
    labelled = folds.loc[folds["label"] != "", ["image_id", "label"]]
    members = labelled.merge(clusters, on="image_id", validate="one_to_one").sort_values("image_id")
    members = members[members.groupby("cluster")["label"].transform("nunique") > 1]
    others: dict[str, str] = {}
    for _, rows in members.groupby("cluster"):
        for label, same in rows.groupby("label"):
            others |= dict.fromkeys(same["image_id"], _list_images(rows[rows["label"] != label]))
    return others


def _list_images(rows: pd.DataFrame) -> str:
    """Name the first images with their labels and count the rest, because a cluster may hold thousands."""
    first = rows.head(NAMED)
    more = f"; {len(rows) - len(first)} more" if len(rows) > len(first) else ""
    return "; ".join(first["image_id"] + " " + first["label"]) + more


def label_pairs(suspects: pd.DataFrame, labels: pd.Series) -> pd.DataFrame:
    """Count contracts.SUSPECTS by given and suggested label, as contracts.LABEL_PAIRS.

    Args:
        suspects: contracts.SUSPECTS.
        labels: of every reviewed image.
    """
    grouped = suspects.assign(is_flagged=suspects["flagged"] == "yes").groupby(["given", "suggested"], as_index=False)
    pairs = grouped.agg(suspects=("is_flagged", "size"), flagged=("is_flagged", "sum"))
    pairs["images"] = pairs["given"].map(labels.value_counts()).astype("int64")
    order = ["flagged", "suspects", "given", "suggested"]
    return pairs.sort_values(order, ascending=[False, False, True, True], ignore_index=True)


def overrides_to_consider(suspects: pd.DataFrame) -> pd.DataFrame:
    """Return the overrides (contracts.OVERRIDES) that would give each of contracts.SUSPECTS its suggested label."""
    reasons = [
        f"review: given {s.given} (p {s.p_given:.2f}), rather {s.suggested} (p {s.p_suggested:.2f}), say"
        f" {s.members_agreeing} of {s.members_asked} members"
        for s in suspects.itertuples()
    ]
    columns = {"image_id": suspects["image_id"], "action": suspects["suggested"], "reason": reasons}
    return pd.DataFrame(columns)[list(contracts.OVERRIDES.columns)]


def _votes(votes: Mapping[str, Vote], names: Sequence[str], image: int) -> str:
    by_member = {member: (v.likeliest[image], v.probability[image]) for member, v in votes.items()}
    return "; ".join(f"{m}: {names[k]} (p {p:.2f})" for m, (k, p) in by_member.items() if k != NO_VOTE)
