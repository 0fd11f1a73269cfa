"""Resolve duplicates whose labels differ: leave, drop or relabel them, with a row for each."""

from collections.abc import Collection
from dataclasses import dataclass

import pandas as pd

from podium.core import targets
from podium.core.errors import InputError, some

REASON = "labels of its duplicates differ"
BY_OVERRIDE = "kept by its override"


@dataclass(frozen=True)
class ResolvedLabels:
    """Labels after the rule of split.conflicting_duplicates.

    Attributes:
        labels: as in the input, with `label`, `use` and `reason` changed by the rule; no other image with `use` train
            has a reason.
        conflicts: columns image_id, cluster, label (of the input) and done, a row per image of a cluster in conflict.
    """

    labels: pd.DataFrame
    conflicts: pd.DataFrame


def resolve(
    labels: pd.DataFrame, clusters: pd.DataFrame, rule: str, confirmed: Collection[str] = frozenset()
) -> ResolvedLabels:
    """Apply a rule to clusters of duplicates whose labels differ; skipped images are ignored.

    The user's override wins: the rule does not change the image of an override. If the overrides of a cluster agree,
    their label is the right one: `drop` does not drop images with this label, `majority` gives it to the others. The
    user's own groups are not duplicates, so the rule ignores them.

    Args:
        labels: contracts.LABELS; an override relabelled the images with `use` train and a reason.
        clusters: contracts.CLUSTERS.
        rule: "keep" changes none of them, "drop" drops all that contradict each other, "majority" gives them the most
            frequent label of their cluster, or drops them if there is a tie.
        confirmed: images whose label an override confirms. If the rule does not change an image anyway, its row in
            `labels` is the same with and without confirmation, so that a confirmation alone retrains nothing.

    Raises:
        InputError: a class has no image left.
    """
    used = labels[labels["use"] == "train"].merge(clusters, on="image_id", validate="one_to_one")
    used = used[used.groupby("cluster")["label"].transform("nunique") > 1].sort_values(["cluster", "image_id"])
    used["overridden"] = (used["reason"] != "") | used["image_id"].isin(list(confirmed))
    rows = [used.iloc[:0].assign(done="", into="")]
    rows += [_resolve_cluster(cluster, rule) for _, cluster in used.groupby("cluster")]
    resolved = pd.concat(rows, ignore_index=True).astype("str")
    changed = _applied(labels, resolved)
    _require_every_class(labels, changed, rule)
    return ResolvedLabels(changed, resolved[["image_id", "cluster", "label", "done"]])


def counts(conflicts: pd.DataFrame) -> dict[str, int]:
    """Count the images of `ResolvedLabels.conflicts` by the first word of `done`."""
    words = conflicts["done"].str.split().str[0]
    return {str(word): int(n) for word, n in words.value_counts().sort_index().items()}


def _resolve_cluster(cluster: pd.DataFrame, rule: str) -> pd.DataFrame:
    """Add the columns done and into, the label afterwards ("" for a dropped image), to a cluster's rows."""
    overridden = cluster["overridden"]
    right = _right_label(cluster, overridden, rule)
    stays = overridden | (cluster["label"] == right) | (rule == "keep")
    changed = f"relabelled {right}" if rule == "majority" and right else "dropped"
    done = pd.Series("kept", index=cluster.index).where(stays, changed).mask(overridden, BY_OVERRIDE)
    into = cluster["label"].where(stays, right if rule == "majority" else "")
    return cluster.assign(done=done, into=into)


def _right_label(cluster: pd.DataFrame, overridden: pd.Series, rule: str) -> str:
    """Return the most frequent label of a cluster's overrides, or of the cluster; "" if none is known or two tie."""
    if rule != "majority" and not overridden.any():
        return ""
    votes = cluster.loc[overridden if overridden.any() else slice(None), "label"].value_counts()
    return str(votes.index[0]) if len(votes) == 1 or (rule == "majority" and votes.iloc[0] > votes.iloc[1]) else ""


def _applied(labels: pd.DataFrame, resolved: pd.DataFrame) -> pd.DataFrame:
    """Return `labels` with the changes of the rule.

    The user's reason for an override of an image that stays in training is removed: a change of its wording must not
    retrain every model.
    """
    index = pd.Index(resolved["image_id"])
    row = index.get_indexer(labels["image_id"])
    in_conflict = row >= 0
    done, into = (
        resolved[column].replace(BY_OVERRIDE, "kept").to_numpy()[row[in_conflict]] for column in ("done", "into")
    )
    old = labels.loc[in_conflict, ["label"]]
    relabelled = (into != "") & (into != old["label"])
    reason = REASON + ": " + pd.Series(done, index=old.index) + (" instead of " + old["label"]).where(relabelled, "")
    table = labels.copy()
    table.loc[in_conflict, "use"] = pd.Series("train", index=old.index).where(into != "", "skip")
    table.loc[in_conflict, "label"] = old["label"].where(~relabelled, into)
    table["reason"] = table["reason"].where(labels["use"] != "train", "")
    table.loc[in_conflict, "reason"] = reason
    return table


def _require_every_class(before: pd.DataFrame, after: pd.DataFrame, rule: str) -> None:
    classes = [targets.names_in(table.loc[table["use"] == "train", "label"]) for table in (before, after)]
    if lost := sorted(classes[0] - classes[1]):
        raise InputError(
            f"params.yaml: split.conflicting_duplicates: {rule} leaves no image of class"
            f" {some([repr(label) for label in lost])}, because all have duplicates with other labels; give the right"
            " labels in contest.overrides, or set keep"
        )
