"""Duplicates whose labels differ: which are kept, dropped or relabelled, and a row for each of them."""

from collections.abc import Collection
from dataclasses import dataclass

import pandas as pd

from podium.core.errors import InputError, some

WHY = "labels of its duplicates differ"
BY_OVERRIDE = "kept by its override"


@dataclass(frozen=True)
class SettledLabels:
    """Labels after a rule was applied.

    Attributes:
        labels: as given, with `label`, `use` and `reason` changed by the rule; no other used image has a reason.
        conflicts: columns image_id, cluster, label (as given) and done, a row per image of a cluster in conflict.
    """

    labels: pd.DataFrame
    conflicts: pd.DataFrame


def settle(
    labels: pd.DataFrame, clusters: pd.DataFrame, rule: str, confirmed: Collection[str] = frozenset()
) -> SettledLabels:
    """Apply a rule to the clusters of duplicates whose labels differ, among the images that are used.

    A person's override wins: the image it names stays as it is, and where the overrides of a cluster agree, their
    label is the right one: `drop` spares the images that bear it, `majority` gives it to the others. A person's own
    groups are no duplicates, and are not judged.

    Args:
        labels: contracts.LABELS; a used image with a reason is one that an override relabelled.
        clusters: contracts.CLUSTERS.
        rule: "keep" them all, "drop" all that contradict each other, or give them the label of the "majority" of
            their cluster; where there is none (a tie), they are dropped.
        confirmed: images whose label an override confirms. What the rule leaves as it is has the same row in `labels`
            with them and without, so that a confirmation alone retrains nothing.

    Raises:
        InputError: a class has no image left.
    """
    used = labels[labels["use"] == "train"].merge(clusters, on="image_id", validate="one_to_one")
    used = used[used.groupby("cluster")["label"].transform("nunique") > 1].sort_values(["cluster", "image_id"])
    used["overridden"] = (used["reason"] != "") | used["image_id"].isin(list(confirmed))
    rows = [used.iloc[:0].assign(done="", into="")]
    rows += [_judge(cluster, rule) for _, cluster in used.groupby("cluster")]
    judged = pd.concat(rows, ignore_index=True).astype("str")
    settled = _applied(labels, judged)
    _require_every_class(labels, settled, rule)
    return SettledLabels(settled, judged[["image_id", "cluster", "label", "done"]])


def counts(conflicts: pd.DataFrame) -> dict[str, int]:
    """Count what was done to the images of `SettledLabels.conflicts`, by its first word."""
    words = conflicts["done"].str.split().str[0]
    return {str(word): int(n) for word, n in words.value_counts().sort_index().items()}


def _judge(cluster: pd.DataFrame, rule: str) -> pd.DataFrame:
    """Add to a cluster's rows what is done, and the label that each has afterwards ("" where it is dropped)."""
    overridden = cluster["overridden"]
    right = _right_label(cluster, overridden, rule)
    stays = overridden | (cluster["label"] == right) | (rule == "keep")
    changed = f"relabelled {right}" if rule == "majority" and right else "dropped"
    done = pd.Series("kept", index=cluster.index).where(stays, changed).mask(overridden, BY_OVERRIDE)
    into = cluster["label"].where(stays, right if rule == "majority" else "")
    return cluster.assign(done=done, into=into)


def _right_label(cluster: pd.DataFrame, overridden: pd.Series, rule: str) -> str:
    """Return the label most of a cluster bear, or most of its overrides say; "" where none is known or two tie."""
    if rule != "majority" and not overridden.any():
        return ""
    votes = cluster.loc[overridden if overridden.any() else slice(None), "label"].value_counts()
    return str(votes.index[0]) if len(votes) == 1 or (rule == "majority" and votes.iloc[0] > votes.iloc[1]) else ""


def _applied(labels: pd.DataFrame, judged: pd.DataFrame) -> pd.DataFrame:
    """Write what was done into the rows of `labels`.

    What an override's author says of a used image is left out: other words must not train every model again.
    """
    index = pd.Index(judged["image_id"])
    row = index.get_indexer(labels["image_id"])
    found = row >= 0
    done, into = (judged[column].replace(BY_OVERRIDE, "kept").to_numpy()[row[found]] for column in ("done", "into"))
    old = labels.loc[found, ["label"]]
    relabelled = (into != "") & (into != old["label"])
    reason = WHY + ": " + pd.Series(done, index=old.index) + (" instead of " + old["label"]).where(relabelled, "")
    table = labels.copy()
    table.loc[found, "use"] = pd.Series("train", index=old.index).where(into != "", "skip")
    table.loc[found, "label"] = old["label"].where(~relabelled, into)
    table["reason"] = table["reason"].where(labels["use"] != "train", "")
    table.loc[found, "reason"] = reason
    return table


def _require_every_class(before: pd.DataFrame, after: pd.DataFrame, rule: str) -> None:
    classes = [set(table.loc[table["use"] == "train", "label"]) for table in (before, after)]
    if lost := sorted(classes[0] - classes[1]):
        raise InputError(
            f"params.yaml: split.conflicting_duplicates: {rule} leaves no image of class"
            f" {some([repr(label) for label in lost])}: all have duplicates with other labels; say which labels are"
            " right in contest.overrides, or take keep"
        )
