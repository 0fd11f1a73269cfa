"""Image -> fold: groups of images that must stay together, and stratified folds that keep them so."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from podium.core import seeding
from podium.core.errors import InputError, some
from podium.folds import balance, outer_folds


@dataclass(frozen=True)
class FoldAssignment:
    """Folds of all images.

    Attributes:
        table: columns of tables.FOLDS, one row per image of the labels, sorted by image_id.
        warnings: what a person should know.
    """

    table: pd.DataFrame
    warnings: tuple[str, ...]


def assign(
    labels: pd.DataFrame, *, clusters: pd.DataFrame, unreadable: Sequence[str], names: Sequence[str], seed: int
) -> FoldAssignment:
    """Give every readable image a fold: the person's own, else a drawn one; the order of rows changes nothing.

    Skipped but readable images get one as well (that of their group, if it has one): its model predicts them.

    Args:
        labels: contracts.LABELS.
        clusters: contracts.CLUSTERS, near duplicates.
        unreadable: ids of images that have no pixels; their fold is "".
        names: of the folds.
        seed: of the drawing.

    Raises:
        InputError: as `draw` and `check_own`; or the folds leave nothing to choose on.
    """
    table = labels.sort_values("image_id", ignore_index=True)
    own = bool((table["fold"] != "").any())
    table["group"] = connect(table, clusters)
    used = table["use"] == "train"
    if own:
        check_own(table, names)
    else:
        table.loc[used, "fold"] = draw(table[used], names, seed)
    _require_choices(table[used], names)
    table["fold"] = _with_skipped(table, names, seed).mask(table["image_id"].isin(unreadable), "")
    warnings = [*_crossing(table), *_unseen(table[used]), *([] if own else balance.warnings(table))]
    return FoldAssignment(table[["image_id", "label", "use", "reason", "group", "fold"]], tuple(warnings))


def connect(labels: pd.DataFrame, clusters: pd.DataFrame) -> pd.Series:
    """Join images that share the person's group or a cluster, and what those share in turn.

    Args:
        labels: image_id and group ("" is no group).
        clusters: image_id and cluster.

    Returns:
        each image's group, in the order of `labels`: the smallest image_id of its connected component, so that an
        image that stands alone is its own group.
    """
    image_ids = pd.Index(labels["image_id"])
    grouped = labels.loc[labels["group"] != "", ["image_id", "group"]]
    known = clusters[clusters["image_id"].isin(image_ids)]
    links = np.concatenate([_links(image_ids, grouped, "group"), _links(image_ids, known, "cluster")])
    graph = coo_array((np.ones(len(links)), (links[:, 0], links[:, 1])), shape=(len(image_ids),) * 2)
    _, component = connected_components(graph, directed=False)
    return labels["image_id"].groupby(component).transform("min")


def draw(used: pd.DataFrame, names: Sequence[str], seed: int) -> list[str]:
    """Draw stratified folds that no group crosses.

    Args:
        used: image_id, label and group, sorted by image_id.
        names: of the folds.
        seed: of the shuffling.

    Returns:
        each row's fold.

    Raises:
        InputError: a class has fewer groups than there are folds, or a fold remains empty.

    Source: scikit-learn's StratifiedGroupKFold.
    """
    _require_enough(used, len(names))
    from sklearn.model_selection import StratifiedGroupKFold  # a second that a person's own folds do not need

    splitter = StratifiedGroupKFold(n_splits=len(names), shuffle=True, random_state=seed)
    fold = np.full(len(used), "", dtype=object)
    for name, (_, held_out) in zip(names, splitter.split(used, used["label"], used["group"]), strict=True):
        fold[held_out] = name
    if empty := sorted(set(names).difference(fold)):
        raise InputError(
            f"folds: no image is left for fold {some(empty)}: groups are too large; take fewer folds in params.yaml,"
            " or finer groups"
        )
    return list(fold)


def check_own(table: pd.DataFrame, names: Sequence[str]) -> None:
    """Refuse a person's own folds that are not exactly `names`, or that leave out an image that is used.

    Raises:
        InputError: names the images or folds.
    """
    used = table["use"] == "train"
    if lacking := list(table.loc[used & (table["fold"] == ""), "image_id"]):
        raise InputError(f"labels: images that are used have no fold: {some(lacking)}; give each one, or drop them")
    strange = table[~table["fold"].isin(["", *names])]
    if not strange.empty:
        rows = [f"{image_id} {fold!r}" for image_id, fold in strange[["image_id", "fold"]].to_numpy()]
        raise InputError(f"labels: folds that params.yaml's folds {list(names)} do not name: {some(rows)}; add them")
    if empty := [name for name in names if name not in set(table.loc[used, "fold"])]:
        raise InputError(f"params.yaml: folds: no image that is used is in fold {some(empty)}; remove it from the list")


def _links(image_ids: pd.Index, rows: pd.DataFrame, column: str) -> np.ndarray:
    """Link each image to the first of its set: (n, 2) positions in `image_ids`."""
    position = pd.Series(image_ids.get_indexer(rows["image_id"]), dtype="int64")
    first = position.groupby(rows[column].to_numpy()).transform("first")
    return np.column_stack([position, first])


def _require_enough(used: pd.DataFrame, n_folds: int) -> None:
    counts = used.groupby("label").agg(images=("image_id", "size"), groups=("group", "nunique"))
    few = counts[counts["groups"] < n_folds]
    if not few.empty:
        rows = [f"{label!r} ({images} images in {groups} groups)" for label, images, groups in few.itertuples()]
        raise InputError(
            f"labels: fewer groups of images than the {n_folds} folds in class {some(rows)}: each fold needs one to"
            " score; take fewer folds in params.yaml, or drop the class in contest.overrides"
        )


def _require_choices(used: pd.DataFrame, names: Sequence[str]) -> None:
    """Refuse before any training what no honest score could be estimated on."""
    classes = sorted(used["label"].unique())
    targets = np.asarray(pd.Index(classes).get_indexer(used["label"]), np.int64)
    fold = np.asarray(pd.Index(names).get_indexer(used["fold"]), np.int64)
    dealt = outer_folds.deal(fold, used["group"].to_numpy(str), targets)
    if reason := outer_folds.unusable_reason(dealt, targets, classes):
        raise InputError(
            f"folds: {reason}: an honest score chooses on what is left without each fold and without each pair of folds"
            " (of halves, where there are two); take more folds in params.yaml, or folds that hold several classes each"
        )


def _with_skipped(table: pd.DataFrame, names: Sequence[str], seed: int) -> pd.Series:
    """Fill in folds of images that have none: their group's, else one by a hash of the group's name."""
    known = table[(table["fold"] != "") & (table["use"] == "train")].groupby("group")["fold"].first()
    missing = table.loc[table["fold"] == "", "group"]
    hashed = {group: names[seeding.derive(seed, "split", group) % len(names)] for group in missing.unique()}
    return table["fold"].mask(table["fold"] == "", table["group"].map({**hashed, **known.to_dict()}))


def _crossing(table: pd.DataFrame) -> list[str]:
    images = [", ".join(rows["image_id"]) for _, rows in balance.parted(table).groupby("group")]
    if not images:
        return []
    return [f"{len(images)} groups or duplicates lie in several of your folds, so scores flatter: {some(images)}"]


def _unseen(used: pd.DataFrame) -> list[str]:
    """Say which classes a model never sees in training, since one fold holds all their images."""
    n_folds = used.groupby("label")["fold"].nunique()
    return [
        f"all images of class {label!r} lie in one fold: its model never sees it"
        for label in n_folds[n_folds < 2].index
    ]
