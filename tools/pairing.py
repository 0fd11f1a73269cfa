"""Join two runs of a contest on image_id: what they have in common, and the images they predict differently."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from podium.core import tables
from podium.core import targets as label_targets
from podium.core.errors import InputError, some
from podium.core.wording import counted
from podium.scoring import intervals
from tools.revisions import Run

CHANGES = tables.Contract(
    {
        "image_id": "text",
        "change": "text",  # of KINDS
        "label": "text",
        "first": "text",  # the class, or the set of labels, that A predicts
        "second": "text",  # that B predicts
        "first_probability": "float",  # of the label, by A; of sets the mean over labels of what it gives the truth
        "second_probability": "float",
    }
)
KINDS = ("only B is right", "only A is right", "both are wrong, differently")
Probs = NDArray[np.float32]


@dataclass(frozen=True)
class Pair:
    """Out-of-fold predictions of the images that both runs score with the same label, sorted by image_id.

    Attributes:
        image_ids: of these images.
        classes: of both runs, sorted; a run without a class gives it probability 0. LabelNames of sets of labels.
        targets: (images,) class indices; of sets the rows of podium.core.targets.as_rows, (images x labels,).
        first, second: (images, classes) of A and B; of sets (images x labels, 2).
        groups: as targets, numbers; images that share a group in either run share one.
        notes: (name, text) of what A and B share: images, labels, classes, folds, groups.
        cautions: reasons to distrust the difference.
    """

    image_ids: list[str]
    classes: list[str]
    targets: NDArray[np.int64]
    first: Probs
    second: Probs
    groups: intervals.Groups
    notes: tuple[tuple[str, str], ...]
    cautions: tuple[str, ...]


def pair(a: Run, b: Run) -> Pair:
    """Join two runs on image_id.

    Raises:
        InputError: they share no image with the same label.
    """
    both = a.oof[["image_id", "label", "fold"]].merge(b.oof[["image_id", "label", "fold"]], on="image_id")
    same = both[both["label_x"] == both["label_y"]].sort_values("image_id", ignore_index=True)
    if same.empty:
        raise InputError(f"{a.name} and {b.name} have no image with the same label in common: nothing to compare")
    names = [tables.class_names(run.oof) for run in (a, b)]
    classes = _all_classes(names, list(same["label_x"]))
    image_ids = list(same["image_id"])
    groups = [list(run.folds.set_index("image_id").loc[image_ids, "group"]) for run in (a, b)]
    moved = _moved(same)
    return Pair(
        image_ids=image_ids,
        classes=classes,
        targets=label_targets.as_rows(label_targets.of_labels(same["label_x"], classes)),
        first=_probs(a, image_ids, classes),
        second=_probs(b, image_ids, classes),
        groups=label_targets.rows_of_images(intervals.joined_groups(*groups), classes),
        notes=(
            ("images", _images(a, b, len(both))),
            ("labels", _labels(both)),
            ("classes", _classes(*names)),
            ("folds", f"differ for {moved} of {counted(len(same), 'image')}" if moved else "the same"),
            (
                "groups",
                "the same"
                if _partition(groups[0]) == _partition(groups[1])
                else "differ: joined where either groups them",
            ),
        ),
        cautions=tuple(_cautions(a, b, moved)),
    )


def changes(joined: Pair) -> pd.DataFrame:
    """Return CHANGES: the images that A and B predict differently, by kind, the largest change first."""
    label, first, second = (_named(joined, probs) for probs in (None, joined.first, joined.second))
    given = [_of_truth(joined, probs) for probs in (joined.first, joined.second)]
    rows = []
    for i in np.flatnonzero(first != second):
        kind = KINDS[0] if second[i] == label[i] else KINDS[1] if first[i] == label[i] else KINDS[2]
        probabilities = [round(float(probs[i]), 4) for probs in given]
        rows.append([joined.image_ids[i], kind, label[i], first[i], second[i], *probabilities])
    table = pd.DataFrame(rows, columns=list(CHANGES.columns))
    table["kind"] = table["change"].map(KINDS.index)
    table["moved"] = -(table["second_probability"] - table["first_probability"]).abs()
    return table.sort_values(["kind", "moved", "image_id"], ignore_index=True)[list(CHANGES.columns)]


def _all_classes(names: Sequence[Sequence[str]], labels: Sequence[str]) -> list[str]:
    """Return the classes of both runs, sorted; LabelNames where the labels are sets."""
    classes, of_labels = sorted({*names[0], *names[1]}), label_targets.class_names(labels)
    if not label_targets.are_sets(of_labels):
        return classes
    return label_targets.LabelNames(classes, label_targets.fewest_labels(of_labels))


def _named(joined: Pair, probs: Probs | None) -> NDArray[np.object_]:
    """Return the predicted class or set of each image (images,); the label itself if `probs` is None."""
    classes = joined.classes
    if not label_targets.are_sets(classes):
        return np.asarray(classes, object)[joined.targets if probs is None else probs.argmax(1)]
    if probs is None:
        found = joined.targets.reshape(-1, len(classes)) == 1
    else:
        by_image = label_targets.probs_of_images(probs, classes)
        found = label_targets.predicted_sets(by_image, label_targets.fewest_labels(classes))
    return np.array([label_targets.as_cell(np.asarray(classes, object)[row]) for row in found], object)


def _of_truth(joined: Pair, probs: Probs) -> NDArray[np.float64]:
    """Return what the label gets of each image (images,); of sets the mean over labels of having, or lacking, each."""
    own = probs[np.arange(len(probs)), joined.targets].astype(np.float64)
    mean: NDArray[np.float64] = own.reshape(len(joined.image_ids), -1).mean(axis=1)
    return mean


def _probs(run: Run, image_ids: Sequence[str], classes: Sequence[str]) -> Probs:
    columns = [tables.PROBABILITY + name for name in classes]
    table = run.oof.set_index("image_id").reindex(columns=columns, fill_value=0.0)
    return label_targets.probs_of_rows(table.loc[list(image_ids)].to_numpy(np.float32), classes)


def _moved(same: pd.DataFrame) -> int:
    """Count images whose fold differs, after matching folds of different names by the images they share."""
    shared = pd.crosstab(same["fold_x"], same["fold_y"]).to_numpy()
    return len(same) - int(shared[linear_sum_assignment(shared, maximize=True)].sum())


def _partition(groups: Sequence[str]) -> list[int]:
    """Number groups in the order of their first image."""
    codes: list[int] = pd.factorize(pd.Series(groups, dtype="str"))[0].tolist()
    return codes


def _images(a: Run, b: Run, n_both: int) -> str:
    only = [
        f"{len(run.oof) - n_both} only in {letter}" for letter, run in (("A", a), ("B", b)) if len(run.oof) > n_both
    ]
    return f"{n_both} in both" + "".join(f", {text}" for text in only)


def _labels(both: pd.DataFrame) -> str:
    other = both[both["label_x"] != both["label_y"]]
    if other.empty:
        return "the same"
    return f"differ for {counted(len(other), 'image')}, left out: {some(list(other['image_id']), 3)}"


def _classes(first: list[str], second: list[str]) -> str:
    if first == second:
        return "the same"
    only = [("A", sorted({*first} - {*second})), ("B", sorted({*second} - {*first}))]
    return "; ".join(f"only in {letter}: {some(names, 3)}" for letter, names in only if names)


def _cautions(a: Run, b: Run, moved: int) -> Iterator[str]:
    if moved:
        yield "the folds differ, which explains part of the difference"
    if a.metric != b.metric:
        yield f"A was built for {a.metric}, B for {b.metric}: each chose its blend for its own metric"
