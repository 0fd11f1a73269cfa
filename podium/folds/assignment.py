"""Assign images to folds: join the images that must stay in one fold to groups, and draw stratified folds."""

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from podium.core import seeding, targets
from podium.core.errors import InputError, some
from podium.folds import balance, label_set_folds, outer_folds, rare_classes
from podium.folds.settings import FOLD

MOST_TRIED, MOST_NAMED = 10, 3  # numbers of folds that an error's remedy tries and names


@dataclass(frozen=True)
class FoldAssignment:
    """Folds of all images.

    Attributes:
        table: columns of tables.FOLDS, one row per image of the labels, sorted by image_id.
        warnings: for the user.
    """

    table: pd.DataFrame
    warnings: tuple[str, ...]


def assign(
    labels: pd.DataFrame, *, clusters: pd.DataFrame, unreadable: Sequence[str], names: Sequence[str], seed: int
) -> FoldAssignment:
    """Give every readable image a fold: the user's own, otherwise a drawn one. The order of rows changes nothing.

    Skipped but readable images get a fold as well, that of their group if it has one: the fold's model predicts them.

    Args:
        labels: contracts.LABELS.
        clusters: contracts.CLUSTERS, near-duplicates.
        unreadable: ids of images that have no pixels; their fold is "".
        names: of the folds.
        seed: of the random draw.

    Raises:
        InputError: as in `draw` and `check_own`; or nested cross-validation is impossible with the folds.
    """
    table = labels.sort_values("image_id", ignore_index=True)
    own = bool((table["fold"] != "").any())
    table["group"] = connect(table, clusters)
    used = table["use"] == "train"
    if own:
        check_own(table, names)
    else:
        table.loc[used, "fold"] = draw(table[used], names, seed)
    _require_nested_cv(table[used], names, own, seed)
    table["fold"] = _with_skipped(table, names, seed).mask(table["image_id"].isin(unreadable), "")
    warned = [*_crossing_warnings(table), *_unseen_warnings(table[used])]
    if not own:
        warned += [*rare_classes.warnings(table[used], len(names)), *balance.warnings(table)]
    return FoldAssignment(table[["image_id", "label", "use", "reason", "group", "fold"]], tuple(warned))


def connect(labels: pd.DataFrame, clusters: pd.DataFrame) -> pd.Series:
    """Join images that share the user's group or a cluster, and images that share one of these with them, and so on.

    Args:
        labels: image_id and group ("" is no group).
        clusters: image_id and cluster.

    Returns:
        each image's group, in the order of `labels`: the smallest image_id of its connected component. An image
        without group and cluster is a group by itself.
    """
    image_ids = pd.Index(labels["image_id"])
    grouped = labels.loc[labels["group"] != "", ["image_id", "group"]]
    known = clusters[clusters["image_id"].isin(image_ids)]
    links = np.concatenate([_links(image_ids, grouped, "group"), _links(image_ids, known, "cluster")])
    graph = coo_array((np.ones(len(links)), (links[:, 0], links[:, 1])), shape=(len(image_ids),) * 2)
    _, component = connected_components(graph, directed=False)
    return labels["image_id"].groupby(component).transform("min")


def draw(used: pd.DataFrame, names: Sequence[str], seed: int) -> list[str]:
    """Draw stratified folds that no group crosses. A class with fewer groups than folds is spread as far as it goes.

    Args:
        used: image_id, label and group, sorted by image_id.
        names: of the folds.
        seed: of the shuffling.

    Returns:
        each row's fold.

    Raises:
        InputError: every class has fewer groups than there are folds, or a fold remains empty.

    Source: scikit-learn's StratifiedGroupKFold; of sets of labels podium.folds.label_set_folds.
    """
    require_enough(used, len(names), seed)
    fold = _drawn(used, names, seed)
    if empty := sorted(set(names).difference(fold)):
        raise InputError(
            f"params.yaml: folds: no image is left for fold {some(empty)}, because groups are too large;"
            f" {_other_numbers(used, len(names), seed)}"
        )
    return list(fold)


def _drawn(used: pd.DataFrame, names: Sequence[str], seed: int) -> NDArray[np.object_]:
    """Draw each row's fold; a fold may remain empty."""
    if targets.are_sets(targets.class_names(used["label"])):
        return label_set_folds.draw(used, names, seed)
    from sklearn.model_selection import (
        StratifiedGroupKFold,
    )  # takes a second to import: the user's own folds do not need it

    splitter = StratifiedGroupKFold(n_splits=len(names), shuffle=True, random_state=seed)
    fold = np.full(len(used), "", dtype=object)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class")  # `rare_classes` warns of it
        parts = list(splitter.split(used, used["label"], used["group"]))
    for name, (_, held_out) in zip(names, parts, strict=True):
        fold[held_out] = name
    return np.asarray(rare_classes.spread(used.assign(fold=fold), names), dtype=object)


def check_own(table: pd.DataFrame, names: Sequence[str]) -> None:
    """Refuse the user's own folds if they are not exactly `names`, or if an image with `use` train has none.

    Raises:
        InputError: names the images or folds.
    """
    used = table["use"] == "train"
    if without_fold := list(table.loc[used & (table["fold"] == ""), "image_id"]):
        raise InputError(
            f"params.yaml: contest.columns.fold: images have no fold: {some(without_fold)}; give each one a fold, or"
            " drop the images"
        )
    unknown = table[~table["fold"].isin(["", *names])]
    if not unknown.empty:
        rows = [f"{image_id} {fold!r}" for image_id, fold in unknown[["image_id", "fold"]].to_numpy()]
        raise InputError(
            f"params.yaml: contest.columns.fold: folds that are not in the list `folds` {list(names)}: {some(rows)}; "
            f"{_naming(table.loc[table['fold'] != '', 'fold'])}"
        )
    if empty := [name for name in names if name not in set(table.loc[used, "fold"])]:
        raise InputError(f"params.yaml: folds: no image to train on is in fold {some(empty)}; remove it from the list")


def _links(image_ids: pd.Index, rows: pd.DataFrame, column: str) -> np.ndarray:
    """Link each image to the first of its set: (n, 2) positions in `image_ids`."""
    position = pd.Series(image_ids.get_indexer(rows["image_id"]), dtype="int64")
    first = position.groupby(rows[column].to_numpy()).transform("first")
    return np.column_stack([position, first])


def _naming(folds: pd.Series) -> str:
    """Return what to do about folds of the label CSV that params.yaml does not list."""
    found = sorted(folds.unique())
    if len(found) < 2:
        return "the label CSV needs two folds at least"
    if wrong := [name for name in found if not FOLD.fullmatch(name)]:
        return f"a fold's name has letters, digits and _ only: rename {some(wrong)} in the label CSV"
    listed = ", ".join(name if name == "0" or re.fullmatch("[1-9][0-9]*", name) else repr(name) for name in found)
    return f"write folds: [{listed}] in params.yaml"


def _other_numbers(used: pd.DataFrame, n_folds: int, seed: int) -> str:
    """Return which numbers of folds work, and which classes may be dropped, for a message; each one is tried."""
    rare = list(rare_classes.table(used, n_folds).index)
    tried = (n for n in range(2, MOST_TRIED + 1) if n != n_folds and _works(used, n, seed))
    works = list(islice(tried, MOST_NAMED))
    ways = [f"use {' or '.join(map(str, works))} folds in params.yaml"] if works else []
    if rare and _works(used[~used["label"].isin(rare)], n_folds, seed):
        ways.append(f"drop the images of class {some(list(map(repr, rare)))} in contest.overrides")
    return ", or ".join([*ways, "add images, or make the groups smaller"])


def _works(used: pd.DataFrame, n_folds: int, seed: int) -> bool:
    """Return whether that many folds can be drawn and leave enough for nested cross-validation."""
    groups = targets.one_label_a_row(used).groupby("label")["group"].nunique()
    if len(groups) < 2 or groups.max() < n_folds:
        return False
    names = [str(n) for n in range(n_folds)]
    fold = _drawn(used, names, seed)
    return set(fold) == set(names) and not _nested_cv_fault(used.assign(fold=fold), names)


def require_enough(used: pd.DataFrame, n_folds: int, seed: int = 0) -> None:
    """Refuse labels of which every class has fewer groups than there are folds.

    Args:
        used: image_id, label and group.
        n_folds: number of folds.
        seed: of the draws that find a way out for the message.

    Raises:
        InputError: names the classes, and what works.
    """
    rare = rare_classes.table(used, n_folds)
    if len(rare) == targets.one_label_a_row(used)["label"].nunique():
        raise InputError(
            "params.yaml: folds: every class has too few groups (images that duplicates, contest.columns.group or case"
            f" do not join) for {n_folds} folds: {rare_classes.described(rare)}; a fold needs a group of some class to"
            f" score; {_other_numbers(used, n_folds, seed)}"
        )


def _require_nested_cv(used: pd.DataFrame, names: Sequence[str], own: bool, seed: int) -> None:
    """Refuse, before any training, folds with which nested cross-validation is impossible."""
    if reason := _nested_cv_fault(used, names):
        remedy = (
            "change the folds in the label CSV: more folds, or several classes in each"
            if own
            else _other_numbers(used, len(names), seed)
        )
        raise InputError(
            f"params.yaml: folds: {reason}. Nested cross-validation selects without each fold and without each pair of"
            f" folds (of halves, if there are two folds); {remedy}"
        )


def _nested_cv_fault(used: pd.DataFrame, names: Sequence[str]) -> str:
    """Return why nested cross-validation is impossible with these folds, "" if it is possible.

    A set of labels counts as one class here: any two of them let a choice be made.
    """
    classes = sorted(used["label"].unique())
    indices = np.asarray(pd.Index(classes).get_indexer(used["label"]), np.int64)
    fold = np.asarray(pd.Index(names).get_indexer(used["fold"]), np.int64)
    outer = outer_folds.deal(fold, used["group"].to_numpy(str), indices)
    return outer_folds.unusable_reason(outer, indices, classes)


def _with_skipped(table: pd.DataFrame, names: Sequence[str], seed: int) -> pd.Series:
    """Fill in missing folds: the fold of the image's group, otherwise a fold by a hash of the group's name."""
    known = table[(table["fold"] != "") & (table["use"] == "train")].groupby("group")["fold"].first()
    missing = table.loc[table["fold"] == "", "group"]
    hashed = {group: names[seeding.derive(seed, "split", group) % len(names)] for group in missing.unique()}
    return table["fold"].mask(table["fold"] == "", table["group"].map({**hashed, **known.to_dict()}))


def _crossing_warnings(table: pd.DataFrame) -> list[str]:
    images = [", ".join(rows["image_id"]) for _, rows in balance.crossing_groups(table).groupby("group")]
    if not images:
        return []
    return [
        f"{len(images)} groups or duplicates lie in several of your folds, so scores are optimistic: {some(images)}"
    ]


def _unseen_warnings(used: pd.DataFrame) -> list[str]:
    """Warn of classes that are in one fold only: the model of this fold is never trained on them."""
    if not (names := [repr(label) for label in rare_classes.unseen(used)]):
        return []
    return [f"all images of class {some(names)} are in one fold, so this fold's model is never trained on the class"]
