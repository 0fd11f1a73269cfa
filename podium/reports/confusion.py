"""Confusion of classes, and recall, precision and F1 by class with their intervals."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from podium.core import tables
from podium.core import targets as label_targets
from podium.scoring import proportions

CONFUSION = tables.Contract(
    {
        "label": "text",
        "predicted": "text",
        "images": "int",
        "share": "float",  # share of the label's images
    },
    key=("label", "predicted"),
)
CLASSES = tables.Contract(
    {
        "label": "text",
        "images": "int",
        "predicted": "int",  # images predicted as this class
        "recall": "float",  # missing if the class has no image
        "recall_low": "float",  # 95% intervals, in which the images of a cluster count as one
        "recall_high": "float",
        "precision": "float",  # missing if no image is predicted as this class
        "precision_low": "float",
        "precision_high": "float",
        "f1": "float",
        "f1_low": "float",
        "f1_high": "float",
    },
    key=("label",),
)
MOST_SHOWN = 30  # most classes in the plot

Labels = NDArray[np.int64]
Flags = NDArray[np.bool_]


def table(targets: Labels, predicted: Labels, classes: list[str]) -> pd.DataFrame:
    """Return CONFUSION of the pairs that occur, by class.

    Args:
        targets: (images,) class indices.
        predicted: (images,) class indices.
        classes: names by index.
    """
    pairs, images = np.unique(np.stack([targets, predicted]), axis=1, return_counts=True)
    n_true = np.bincount(targets, minlength=len(classes))
    return pd.DataFrame(
        {
            "label": [classes[k] for k in pairs[0]],
            "predicted": [classes[k] for k in pairs[1]],
            "images": images,
            "share": (images / n_true[pairs[0]]).round(6),
        }
    )


def plot_table(pairs: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """Return CONFUSION of the MOST_SHOWN classes with the most errors, with the empty cells."""
    wrong = pairs[pairs["label"] != pairs["predicted"]]
    errors = wrong.groupby("label")["images"].sum().add(wrong.groupby("predicted")["images"].sum(), fill_value=0)
    ranked = sorted(classes, key=lambda name: (-errors.get(name, 0), name))
    shown = sorted(ranked[:MOST_SHOWN])
    cells = pd.MultiIndex.from_product([shown, shown], names=["label", "predicted"])
    full = pairs.set_index(["label", "predicted"]).reindex(cells)
    return full.fillna(0).astype({"images": "int64"}).reset_index()


def commonest_errors(pairs: pd.DataFrame, limit: int) -> list[str]:
    """Describe the most frequent errors of CONFUSION."""
    wrong = pairs[pairs["label"] != pairs["predicted"]]
    first = wrong.sort_values(["images", "label", "predicted"], ascending=[False, True, True]).head(limit)
    return [
        f"{row.images} {f'image of {row.label} is' if row.images == 1 else f'images of {row.label} are'} predicted as"
        f" {row.predicted} ({row.share:.0%} of all {row.label})"
        for row in first.itertuples()
    ]


def summary(pairs: pd.DataFrame, *, of_sets: bool) -> str:
    """Say how many images of CONFUSION, or labels of images, are predicted wrongly, and the most frequent error."""
    n_wrong, n_all = pairs.loc[pairs["label"] != pairs["predicted"], "images"].sum(), pairs["images"].sum()
    what = "labels of images" if of_sets else "images"
    often = "".join(f"; most often {error}" for error in commonest_errors(pairs, 1))
    return f"out of fold, the blend is wrong for {n_wrong} of {n_all} {what} ({n_wrong / n_all:.1%}){often}"


def by_class(targets: Labels, predicted: Labels, classes: list[str], cluster: Labels) -> pd.DataFrame:
    """Return CLASSES, the worst F1 first.

    F1 = 2 J / (1 + J) rises with the Jaccard index J: the share of hits among the images that are of the class or
    predicted as it. So the limits of J's interval give those of F1's.

    Args:
        targets: (images,) class indices.
        predicted: (images,) class indices.
        classes: names by index.
        cluster: (images,) cluster numbers; the images of a cluster count as one in the intervals.
    """
    indices = range(len(classes))
    return by_label(
        np.column_stack([targets == k for k in indices]),
        np.column_stack([predicted == k for k in indices]),
        classes,
        cluster,
    )


def table_of_sets(truth: Flags, predicted: Flags, classes: list[str]) -> pd.DataFrame:
    """Return CONFUSION of sets of labels (images, labels): of each label, whether an image has it or not."""
    found = [
        table(truth[:, k].astype(np.int64), predicted[:, k].astype(np.int64), label_targets.two_classes(name))
        for k, name in enumerate(classes)
    ]
    return pd.concat(found, ignore_index=True)


def by_label(truth: Flags, predicted: Flags, classes: list[str], cluster: Labels) -> pd.DataFrame:
    """Return CLASSES as `by_class`, of what each image is and is predicted as: (images, classes)."""
    rows = []
    for k, name in enumerate(classes):
        is_true, is_predicted = truth[:, k], predicted[:, k]
        hits = int((is_true & is_predicted).sum())
        recall, precision, jaccard = (
            _share(hits, where, cluster) for where in (is_true, is_predicted, is_true | is_predicted)
        )
        f1 = [2 * j / (1 + j) for j in jaccard]
        rows.append([name, int(is_true.sum()), int(is_predicted.sum()), *recall, *precision, *f1])
    return pd.DataFrame(rows, columns=list(CLASSES.columns)).round(6).sort_values(["f1", "label"], ignore_index=True)


def _share(hits: int, where: NDArray[np.bool_], cluster: Labels) -> tuple[float, float, float]:
    """Return hits / images and its 95% interval; NaN, 0 and 1 if there is no image."""
    n_images = int(where.sum())
    if n_images == 0:
        return float("nan"), 0.0, 1.0
    low, high = proportions.wilson(hits / n_images, proportions.effective_count(cluster[where]))
    return hits / n_images, float(low), float(high)
