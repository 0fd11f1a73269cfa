"""Which classes are taken for which, and how well each is recognised."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from podium.core import tables
from podium.scoring import proportions

CONFUSION = tables.Contract(
    {
        "label": "text",
        "predicted": "text",
        "images": "int",
        "share": "float",  # of the label's images
    },
    key=("label", "predicted"),
)
CLASSES = tables.Contract(
    {
        "label": "text",
        "images": "int",
        "predicted": "int",  # images predicted as it
        "recall": "float",  # missing where there is no image
        "recall_low": "float",  # 95% intervals; a cluster's images count as one
        "recall_high": "float",
        "precision": "float",  # missing where nothing is predicted as it
        "precision_low": "float",
        "precision_high": "float",
        "f1": "float",
        "f1_low": "float",
        "f1_high": "float",
    },
    key=("label",),
)
MOST_SHOWN = 30  # classes in the picture

Labels = NDArray[np.int64]


def table(targets: Labels, predicted: Labels, classes: list[str]) -> pd.DataFrame:
    """Return CONFUSION: pairs that occur, by class.

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


def picture(table: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """Return CONFUSION of the classes with the most errors, cells without an image too, for a plot."""
    wrong = table[table["label"] != table["predicted"]]
    errors = wrong.groupby("label")["images"].sum().add(wrong.groupby("predicted")["images"].sum(), fill_value=0)
    ranked = sorted(classes, key=lambda name: (-errors.get(name, 0), name))
    shown = sorted(ranked[:MOST_SHOWN])
    cells = pd.MultiIndex.from_product([shown, shown], names=["label", "predicted"])
    full = table.set_index(["label", "predicted"]).reindex(cells)
    return full.fillna(0).astype({"images": "int64"}).reset_index()


def confused(table: pd.DataFrame, limit: int) -> list[str]:
    """Name the commonest mistakes in words."""
    wrong = table[table["label"] != table["predicted"]]
    first = wrong.sort_values(["images", "label", "predicted"], ascending=[False, True, True]).head(limit)
    return [
        f"{row.label} taken for {row.predicted} ({row.images} of its images, {row.share:.0%})"
        for row in first.itertuples()
    ]


def by_class(targets: Labels, predicted: Labels, classes: list[str], cluster: Labels) -> pd.DataFrame:
    """Return CLASSES, the worst F1 first.

    F1 = 2 J / (1 + J) rises with the share J of hits among the images that are of the class or predicted as it, so
    that J's interval is F1's.

    Args:
        targets: (images,) class indices.
        predicted: (images,) class indices.
        classes: names by index.
        cluster: (images,) numbers; images of a cluster count as one in the intervals.
    """
    rows = []
    for k, name in enumerate(classes):
        true, named = targets == k, predicted == k
        hits = int((true & named).sum())
        recall, precision, overlap = (_share(hits, where, cluster) for where in (true, named, true | named))
        f1 = [2 * j / (1 + j) for j in overlap]
        rows.append([name, int(true.sum()), int(named.sum()), *recall, *precision, *f1])
    found = pd.DataFrame(rows, columns=list(CLASSES.columns)).round(6)
    return found.sort_values(["f1", "label"], ignore_index=True)


def _share(hits: int, where: NDArray[np.bool_], cluster: Labels) -> tuple[float, float, float]:
    """Return hits / images and its interval; NaN and 0 to 1 where there is none."""
    n_images = int(where.sum())
    if n_images == 0:
        return float("nan"), 0.0, 1.0
    low, high = proportions.wilson(hits / n_images, proportions.effective_count(cluster[where]))
    return hits / n_images, float(low), float(high)
