"""Labels as models and scores take them: classes in their order, and targets.

A contest gives an image one class, or a set of labels: none, one or several. A cell of the column `label` is then a set
in braces, `{rust|scab}`, so tables say themselves which of the two they hold. Targets of classes are indices (images,);
targets of sets are (images, labels), 1 where the image has the label. This file alone decides between softmax and
sigmoid: `are_sets` is asked wherever the two differ.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

BETWEEN = "|"  # labels of a set
UNKNOWN = -1  # target of an image that is never trained on


class LabelNames(list[str]):
    """The labels that may stand together in an image's set, in the order of the models' outputs.

    Attributes:
        fewest: labels that every train image has: 0, or 1 where no set is empty.
    """

    def __init__(self, names: Iterable[str], fewest: int = 0) -> None:
        super().__init__(names)
        self.fewest = fewest


def are_sets(classes: Sequence[str]) -> bool:
    """Say whether an image has a set of these classes instead of one of them: sigmoid instead of softmax."""
    return isinstance(classes, LabelNames)


def fewest_labels(classes: Sequence[str]) -> int:
    """Return how many labels each image has at least."""
    return classes.fewest if isinstance(classes, LabelNames) else 1


def as_cell(names: Iterable[str]) -> str:
    """Return a set of labels as a cell; the same set is the same cell."""
    return "{" + BETWEEN.join(sorted(set(names))) + "}"


def is_cell(text: str) -> bool:
    """Say whether a cell holds a set of labels."""
    return text.startswith("{") and text.endswith("}")


def of_cell(text: str) -> list[str]:
    """Return the labels in a cell of `as_cell`."""
    return text[1:-1].split(BETWEEN) if len(text) > 2 else []


def names_in(cells: Iterable[str]) -> set[str]:
    """Return the classes, or the labels of the sets, in cells that may be empty."""
    return {name for cell in set(cells) for name in (of_cell(cell) if is_cell(cell) else [cell]) if name}


def class_names(labels: Iterable[str]) -> list[str]:
    """Return the classes of the used images' labels, sorted; LabelNames where the labels are sets."""
    cells = sorted({str(label) for label in labels})
    if not cells or not all(map(is_cell, cells)):
        return cells
    sets = [of_cell(cell) for cell in cells]
    return LabelNames(sorted({name for names in sets for name in names}), min(map(len, sets), default=0) and 1)


def of_labels(labels: Iterable[str], classes: Sequence[str]) -> NDArray[Any]:
    """Return the targets of labels: int64 (images,), or float32 (images, labels); UNKNOWN for other cells.

    Args:
        labels: cells, or missing.
        classes: of `class_names`.
    """
    cells = pd.Series(list(labels), dtype="object")
    if not are_sets(classes):
        return np.asarray(pd.Index(classes).get_indexer(cells), np.int64)
    place = {name: index for index, name in enumerate(classes)}
    found = np.zeros((len(cells), len(classes)), np.float32)
    for row, cell in enumerate(cells):
        known = isinstance(cell, str) and is_cell(cell)
        names = of_cell(cell) if known else []
        if not known or not all(name in place for name in names):
            found[row] = UNKNOWN
        else:
            found[row, [place[name] for name in names]] = 1
    return found


def as_rows(targets: NDArray[Any]) -> NDArray[np.int64]:
    """Return targets as scores and blends take them: each label of each image is a row of a contest of two classes.

    Then temperatures, blends, thresholds and comparisons of sets of labels are those of classes.

    Args:
        targets: (images,) class indices, which stay as they are, or (images, labels).
    """
    return np.asarray(targets.ravel(), np.int64)


def rows_per_image(classes: Sequence[str]) -> int:
    """Return how many rows of `as_rows` an image has."""
    return len(classes) if are_sets(classes) else 1


def rows_of_images(values: NDArray[Any], classes: Sequence[str]) -> NDArray[Any]:
    """Repeat values (images,) for each row of `as_rows`."""
    return np.repeat(values, len(classes)) if are_sets(classes) else values


def probs_of_rows(probs: NDArray[Any], classes: Sequence[str]) -> NDArray[Any]:
    """Return probabilities (..., images, classes) by row; of sets (..., images x labels, 2): lacks, has it."""
    if not are_sets(classes):
        return probs
    flat = probs.reshape(*probs.shape[:-2], -1)
    return np.stack([1 - flat, flat], axis=-1)


def two_classes(label: str) -> list[str]:
    """Return the names of the columns of a label's rows (`probs_of_rows`): lacks, has it."""
    return [f"not {label}", label]


def probs_of_images(probs: NDArray[Any], classes: Sequence[str]) -> NDArray[Any]:
    """Undo `probs_of_rows` of (rows, classes or 2): return (images, classes)."""
    return probs[:, 1].reshape(-1, len(classes)) if are_sets(classes) else probs


def predicted_sets(probs: NDArray[Any], fewest: int) -> NDArray[np.bool_]:
    """Return which labels are predicted (images, labels): those above 1/2.

    With `fewest` 1, an image without any such label has its most probable one.
    """
    found = np.asarray(probs > 0.5)
    if fewest and probs.size:
        none = np.flatnonzero(~found.any(axis=1))
        found[none, probs[none].argmax(axis=1)] = True
    return found


def are_known(targets: NDArray[Any]) -> NDArray[np.bool_]:
    """Say which targets of `of_labels` are known (images,)."""
    return np.asarray(targets.reshape(len(targets), -1)[:, 0] != UNKNOWN)


def one_label_a_row(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with a column `label` with a row for each label of each image's set; as it is without sets."""
    labels = table["label"]
    if not len(table) or not labels.map(is_cell).all():
        return table
    return table.assign(label=labels.map(of_cell)).explode("label").dropna(subset=["label"]).astype({"label": "str"})
