"""Tables behind `dvc plots`, small enough for a browser in any contest.

The column `shown` says what a plot leaves out. The templates in .dvc/plots read these columns.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from podium.core import seeding, tables, targets
from podium.core.wording import counted

MAX_CLASSES = 200  # classes in a plot
MAX_POINTS = 4000  # points of all classes of a plot
MAX_ROW_POINTS = 300  # points of a subset, and of a class where there are few classes
QUARTILES = {"q25": 0.25, "median": 0.5, "q75": 0.75}
HUES = 8  # classes with a colour and shape of their own; more are hard to distinguish

CLASS_COUNTS = tables.Contract(
    {
        "label": "text",
        "images": "int",  # images in use
        "skipped": "int",  # labelled images not in use
        "sheet": "text",  # contact sheet of the class, in classes/; "" if no image is in use
        "shown": "text",  # which classes the plot shows; "" if it leaves this one out
    },
    key=("label",),
)
SPREAD = tables.Contract(  # of one measure
    {
        "row": "text",  # a class or a whole subset, with its number of images
        "order": "int",  # position of the row: subsets, then classes by median
        "image_id": "text",
        "value": "float",
        "colour": "text",  # of the mark, in CSS notation
        "q25": "float",  # quartiles of all images of the row
        "median": "float",
        "q75": "float",
        "shown": "text",  # how many images and classes the plot shows
    },
    key=("row", "image_id"),
)
SIZES = tables.Contract(
    {
        "label": "text",
        "width": "int",  # pixels, upright
        "height": "int",
        "images": "int",  # number of this class and size
        "image_id": "text",  # one of them
        "hue": "text",  # the class if it has a colour of its own, else ""
        "shown": "text",  # how many sizes and colours the plot shows
    },
    key=("label", "width", "height"),
)
FILE_SIZES = tables.Contract(
    {
        "subset": "text",  # with its number of files
        "format": "text",  # as found in the file's content; "unusable" for unusable files
        "kilobytes": "text",  # lower edge of the bin; bins are half an octave wide
        "order": "int",  # position of the bin
        "images": "int",
    },
    key=("subset", "format", "order"),
)


def class_counts(labels: pd.DataFrame, sheet_of: Mapping[str, str]) -> pd.DataFrame:
    """Count the images of contracts.LABELS by class: CLASS_COUNTS, sorted by label.

    Of more than MAX_CLASSES classes, the plot shows those with the most and the fewest images.
    """
    labelled = targets.one_label_a_row(labels[labels["label"] != ""])
    counts = pd.crosstab(labelled["label"], labelled["use"]).reindex(columns=["train", "skip"], fill_value=0)
    counts = counts.sort_index().reset_index().rename(columns={"train": "images", "skip": "skipped"})
    counts["sheet"] = [sheet_of.get(label, "") for label in counts["label"]]
    by_size = counts.sort_values(["images", "label"], ascending=[False, True])["label"]
    is_shown = counts["label"].isin(by_size.iloc[_ends(len(counts))])
    counts["shown"] = np.where(is_shown, _classes(len(counts), "of most and of fewest images"), "")
    return counts.rename_axis(columns=None)


def stack(train: pd.DataFrame, test: pd.DataFrame) -> pd.DataFrame:
    """Assign images to the rows of a plot: every image to its subset's row, train images to their class's row too.

    Args:
        train: image_id, label and the columns of podium.pictures.measures.
        test: the same columns without label.

    Returns:
        The columns of both, row (name of the row), tier (0 train, 1 test, 2 a class) and chance (a random number
        that depends only on subset and image_id).
    """
    subsets = [
        subset.assign(
            tier=tier, row=f"all of {name}: {len(subset)}", chance=[_chance(name, i) for i in subset["image_id"]]
        )
        for tier, (name, subset) in enumerate([("train", train), ("test", test)])
    ]
    with_size = train["label"] + " (" + train.groupby("label")["label"].transform("size").astype("str") + ")"
    return pd.concat([*subsets, subsets[0].assign(tier=2, row=with_size)], ignore_index=True)


def spread(stacked: pd.DataFrame, measure: str, colour: str | None = None) -> pd.DataFrame:
    """Show the distribution of a measure within each subset and class: SPREAD.

    A long row shows a random sample with its lowest and highest image. Of more than MAX_CLASSES classes, the plot
    shows those with the lowest and the highest medians. Quartiles are of all images.

    Args:
        stacked: the result of `stack`.
        measure: column to show.
        colour: of every mark; None for the mean colour of its image.
    """
    rows = _rows(stacked, measure)
    n_classes = int((rows["tier"] == 2).sum())
    n_subsets = len(rows) - n_classes
    rows = rows.iloc[[*range(n_subsets), *(n_subsets + k for k in _ends(n_classes))]]
    rows["order"] = range(len(rows))
    limit = min(MAX_ROW_POINTS, MAX_POINTS // max(1, len(rows) - n_subsets))
    table = stacked.rename(columns={measure: "value"}).merge(rows, on=["tier", "row"], validate="many_to_one")
    chosen = _choose(table, limit)
    sampled = f", at most {limit} of a class and {MAX_ROW_POINTS} of a subset, by chance"
    marks = "a mark per image" + (sampled if len(chosen) < len(table) else "")
    chosen["shown"] = f"{_classes(n_classes, 'of the lowest and of the highest medians')}; {marks}"
    if colour is not None:
        chosen["colour"] = colour
    ordered = chosen[list(SPREAD.columns)].sort_values(["order", "image_id"], ignore_index=True)
    return ordered.round(6)  # a pixel is 1e-6 megapixels


def sizes(train: pd.DataFrame) -> pd.DataFrame:
    """Count images by class, width and height: SIZES.

    Of more than MAX_POINTS sizes, the table holds the extreme ones and a random sample of the others.

    Args:
        train: image_id, label, width, height; a row per image.
    """
    keys = ["label", "width", "height"]
    table = train.groupby(keys)["image_id"].agg(images="size", image_id="min").reset_index()
    outer = [find() for side in ("width", "height") if len(table) for find in (table[side].idxmin, table[side].idxmax)]
    table["inner"] = ~table.index.isin(outer)
    table["chance"] = [_chance("train", image_id) for image_id in table["image_id"]]
    chosen = table.sort_values(["inner", "chance"]).head(MAX_POINTS).sort_values(keys, ignore_index=True)
    hues, colours = _hues(train["label"])
    chosen["hue"] = chosen["label"].where(chosen["label"].isin(hues), "")
    sampled = f"{len(chosen)} of {len(table)} sizes, by chance"
    chosen["shown"] = colours + (sampled if len(chosen) < len(table) else "every size")
    return chosen[list(SIZES.columns)]


def file_sizes(facts: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Count the files of each subset (contracts.FACTS) by format and size: FILE_SIZES, with the empty bins between."""
    frames = [
        table.assign(
            subset=f"{subset}: {len(table)} files",
            format=table["format"].where(table["problem"] == "", "unusable"),
            order=_half_octave(table["bytes"] / 1e3),
        )
        for subset, table in facts.items()
        if len(table)
    ]
    if not frames:
        return pd.DataFrame({column: [] for column in FILE_SIZES.columns})
    files = pd.concat(frames)
    counts = files.groupby(["subset", "format", "order"]).size().rename("images")
    bins = range(files["order"].min(), files["order"].max() + 1)
    every = pd.MultiIndex.from_product([*(sorted(files[c].unique()) for c in ("subset", "format")), bins])
    table = counts.reindex(every.set_names(["subset", "format", "order"]), fill_value=0).reset_index()
    table["kilobytes"] = [_kilobytes(2 ** (order / 2)) if order >= 0 else "below 1" for order in table["order"]]
    return table[list(FILE_SIZES.columns)]


def _rows(stacked: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Return tier, row and quartiles of every row of the plot, in drawing order."""
    values = stacked.groupby(["tier", "row"])[measure]
    rows = pd.DataFrame({name: values.quantile(q) for name, q in QUARTILES.items()}).reset_index()
    rows["rank"] = rows["median"].where(rows["tier"] == 2, 0.0)  # subsets stay in their own order
    return rows.sort_values(["tier", "rank", "row"], ignore_index=True).drop(columns="rank")


def _choose(table: pd.DataFrame, limit: int) -> pd.DataFrame:
    """Choose at most `limit` images of each class: a lowest, a highest and a random sample of the others."""
    table = table.sort_values(["chance", "image_id"], ignore_index=True)
    values = table.groupby("row")["value"]
    table["inner"] = ~table.index.isin([*values.idxmin(), *values.idxmax()])
    table = table.sort_values("inner", kind="stable")
    limits = np.where(table["tier"] == 2, limit, MAX_ROW_POINTS)
    return table[table.groupby("row").cumcount() < limits].copy()


def _hues(labels: pd.Series) -> tuple[list[str], str]:
    """Return the classes with a colour of their own, and a note on the others ("" if there are none)."""
    counts = labels.value_counts().rename_axis("label").reset_index()
    largest = counts.sort_values(["count", "label"], ascending=[False, True])["label"].head(HUES)
    others = f"the {HUES} largest of {len(counts)} classes in colour, the others grey; "
    return list(largest), others if len(counts) > HUES else ""


def _ends(n: int) -> list[int]:
    """Return the positions of the classes to show of n ordered ones: all, or MAX_CLASSES / 2 from either end."""
    half = MAX_CLASSES // 2
    return list(range(n)) if n <= MAX_CLASSES else [*range(half), *range(n - half, n)]


def _classes(n: int, which: str) -> str:
    if n > MAX_CLASSES:
        return f"{MAX_CLASSES} of {n} classes, those {which}"
    return counted(n, "class", "classes")


def _chance(subset: str, image_id: str) -> int:
    return seeding.derive("plot", subset, image_id)


def _half_octave(kilobytes: pd.Series) -> pd.Series:
    return np.floor(2 * np.log2(kilobytes.clip(lower=2**-0.5))).astype("int64")


def _kilobytes(edge: float) -> str:
    return f"{edge:.3g}" if edge < 100 else f"{edge:.0f}"
