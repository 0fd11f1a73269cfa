"""Suspected wrong labels: confident learning on out-of-fold probabilities, by cleanlab.

Source: Northcutt, Jiang & Chuang 2021, Confident learning, JAIR 70, arXiv 1911.00068.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from podium import contracts

Probs = NDArray[np.float32]
Targets = NDArray[np.int64]
DIGITS = 4  # of probabilities in tables
CHANCE_Z = 1.645  # standard errors above chance that happen by chance in 1 of 20
NOTHING_SAID = -1  # in place of a class
NAMED = 5  # duplicates of another label that a row names
REVIEWED, NO_PREDICTION, NO_LABEL, UNKNOWN_CLASS, DROPPED = (
    "reviewed",
    "no prediction",  # unreadable
    "no label",
    "no image of its class is trained on",
    "dropped by an override",
)


@dataclass(frozen=True)
class Vote:
    """What one member says of each image: its likeliest class (images,), as an index, and that one's probability.

    NOTHING_SAID and nan of images that it knows nothing of.
    """

    likeliest: Targets
    probability: Probs


@dataclass(frozen=True)
class Doubts:
    """What the probabilities say of each image's label; all (images,).

    Attributes:
        quality: in [0, 1], the lower, the more suspect (cleanlab's normalized margin).
        flagged: confident learning counts it as an error.
        suggested: class index of the likeliest class.
    """

    quality: NDArray[np.float64]
    flagged: NDArray[np.bool_]
    suggested: Targets

    def suspects(self, targets: Targets) -> NDArray[np.int64]:
        """Return the positions of images whose likeliest class is not their label, flagged ones first, worst first."""
        order = np.lexsort((np.arange(len(targets)), self.quality, ~self.flagged))
        return np.asarray(order[self.suggested[order] != targets[order]], np.int64)


def vote(probs: Probs) -> Vote:
    """Return a member's vote, of probs (images, classes), nan where it says nothing; ties go to the first class."""
    likeliest = probs.argmax(1)
    probability = probs[np.arange(len(probs)), likeliest]
    return Vote(np.where(np.isnan(probability), NOTHING_SAID, likeliest), probability)


def at_chance(targets: Targets, likeliest: Targets) -> bool:
    """Say whether predictions agree with the labels no more often than the same predictions shuffled among the images.

    One that always says the same class is at chance, however large that class. Images count alike, so that
    many duplicates may make a member look better than it is.

    Args:
        targets: class indices (images,).
        likeliest: the predicted ones (images,); NOTHING_SAID where there is none.

    Source: Hoeffding 1951, A combinatorial central limit theorem, Annals of Mathematical Statistics 22.
    """
    targets, likeliest = targets[likeliest != NOTHING_SAID], likeliest[likeliest != NOTHING_SAID]
    n = len(targets)
    if n == 0:
        return True
    n_classes = int(max(targets.max(), likeliest.max())) + 1
    given, said = (np.bincount(classes, minlength=n_classes) / n for classes in (targets, likeliest))
    expected = given @ said
    centred = np.eye(n_classes) - said[:, None] - given + expected
    variance = n**2 / max(n - 1, 1) * np.sum(np.outer(given, said) * centred**2)
    agreeing = int(np.sum(targets == likeliest))
    return bool(agreeing - n * expected <= CHANCE_Z * np.sqrt(variance) + 1e-9)


def doubts(targets: Targets, probs: NDArray[np.float64]) -> Doubts:
    """Judge every label.

    Args:
        targets: class indices (images,); every class stands there.
        probs: (images, classes), by models that did not train on the image.
    """
    from cleanlab.filter import find_label_issues  # a second
    from cleanlab.rank import get_label_quality_scores

    exact = probs / probs.sum(1, keepdims=True)
    return Doubts(
        quality=get_label_quality_scores(targets, exact, method="normalized_margin"),
        flagged=find_label_issues(targets, exact, filter_by="prune_by_class", min_examples_per_class=0, n_jobs=1),
        suggested=exact.argmax(1),
    )


def reviewable(folds: pd.DataFrame, decisions: pd.DataFrame, classes: Sequence[str]) -> pd.Series:
    """Say of each image of tables.FOLDS that it is REVIEWED, or why it cannot be.

    Args:
        folds: tables.FOLDS.
        decisions: contracts.OVERRIDES_APPLIED.
        classes: those the members know.
    """
    dropped = decisions.loc[decisions["effect"] == "dropped", "image_id"]
    reasons = {
        DROPPED: folds["image_id"].isin(dropped),
        NO_PREDICTION: folds["fold"] == "",
        NO_LABEL: folds["label"] == "",
        UNKNOWN_CLASS: ~folds["label"].isin(classes),
    }
    return pd.Series(np.select(list(reasons.values()), list(reasons), REVIEWED), index=folds.index, dtype="str")


def suspect_table(
    reviewed: pd.DataFrame,
    found: Doubts,
    *,
    probs: NDArray[np.float64],
    votes: Mapping[str, Vote],
    classes: Sequence[str],
    others: Mapping[str, str],
) -> pd.DataFrame:
    """List the suspects as contracts.SUSPECTS.

    Args:
        reviewed: rows of tables.FOLDS, in the order of the images of `found`, `probs` and `votes`.
        found: of `doubts`.
        probs: (images, classes), the members' mean.
        votes: by member.
        classes: names in the order of probs.
        others: image_id -> its duplicates that bear another label, of `other_duplicates`.
    """
    names = np.asarray(classes, object)
    targets = pd.Index(classes).get_indexer(reviewed["label"])
    places = found.suspects(targets)
    rows, suggested = reviewed.iloc[places], found.suggested[places]
    said = np.array([v.likeliest[places] for v in votes.values()])  # (members, suspects)
    return pd.DataFrame(
        {
            "image_id": list(rows["image_id"]),
            "given": list(rows["label"]),
            "suggested": names[suggested],
            "flagged": np.where(found.flagged[places], "yes", "no"),
            "label_quality": found.quality[places].round(DIGITS),
            "p_given": probs[places, targets[places]].round(DIGITS),
            "p_suggested": probs[places, suggested].round(DIGITS),
            "members_agreeing": (said == suggested).sum(axis=0),
            "members_asked": (said != NOTHING_SAID).sum(axis=0),
            "members": [_votes(votes, names, i) for i in places],
            "use": list(rows["use"]),
            "other_duplicates": [others.get(i, "") for i in rows["image_id"]],
        }
    )


def other_duplicates(folds: pd.DataFrame, clusters: pd.DataFrame) -> dict[str, str]:
    """Name, for each image, the members of its cluster that bear another label.

    Args:
        folds: tables.FOLDS; images without a label bear none.
        clusters: contracts.CLUSTERS.
    """
    labelled = folds.loc[folds["label"] != "", ["image_id", "label"]]
    members = labelled.merge(clusters, on="image_id", validate="one_to_one").sort_values("image_id")
    members = members[members.groupby("cluster")["label"].transform("nunique") > 1]
    found: dict[str, str] = {}
    for _, rows in members.groupby("cluster"):
        for label, same in rows.groupby("label"):
            found |= dict.fromkeys(same["image_id"], _named(rows[rows["label"] != label]))
    return found


def _named(rows: pd.DataFrame) -> str:
    """Name the first images of a cluster with their labels, and count the others: a cluster may hold thousands."""
    first = rows.head(NAMED)
    more = f"; {len(rows) - len(first)} more" if len(rows) > len(first) else ""
    return "; ".join(first["image_id"] + " " + first["label"]) + more


def label_pairs(suspects: pd.DataFrame, labels: pd.Series) -> pd.DataFrame:
    """Count contracts.SUSPECTS by the labels given and suggested, as contracts.LABEL_PAIRS.

    Args:
        suspects: contracts.SUSPECTS.
        labels: of every image that was reviewed.
    """
    counted = suspects.assign(sure=suspects["flagged"] == "yes").groupby(["given", "suggested"], as_index=False)
    pairs = counted.agg(suspects=("sure", "size"), flagged=("sure", "sum"))
    pairs["images"] = pairs["given"].map(labels.value_counts()).astype("int64")
    order = ["flagged", "suspects", "given", "suggested"]
    return pairs.sort_values(order, ascending=[False, False, True, True], ignore_index=True)


def overrides_to_consider(suspects: pd.DataFrame) -> pd.DataFrame:
    """Write each of contracts.SUSPECTS as the override that would follow the suggestion (contracts.OVERRIDES)."""
    reasons = [
        f"review: given {s.given} (p {s.p_given:.2f}), rather {s.suggested} (p {s.p_suggested:.2f}), say"
        f" {s.members_agreeing} of {s.members_asked} members"
        for s in suspects.itertuples()
    ]
    columns = {"image_id": suspects["image_id"], "action": suspects["suggested"], "reason": reasons}
    return pd.DataFrame(columns)[list(contracts.OVERRIDES.columns)]


def _votes(votes: Mapping[str, Vote], names: NDArray[np.object_], image: int) -> str:
    said = {member: (v.likeliest[image], v.probability[image]) for member, v in votes.items()}
    return "; ".join(f"{m}: {names[k]} (p {p:.2f})" for m, (k, p) in said.items() if k != NOTHING_SAID)
