"""Tables behind `dvc plots`: small enough for a browser whatever the contest; `shown` says what is left out.

What they hold is drawn by the templates of the same columns in .dvc/plots.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from podium.core import seeding, tables

MAX_CLASSES = 200  # rows of a plot
MAX_POINTS = 4000  # of a plot, all classes together
MAX_ROW_POINTS = 300  # of a class, where classes are few, and of a subset
QUARTILES = {"q25": 0.25, "median": 0.5, "q75": 0.75}
HUES = 8  # classes that a person tells apart by colour and shape

CLASS_COUNTS = tables.Contract(
    {
        "label": "text",
        "images": "int",  # that are used
        "skipped": "int",  # labelled, and not used
        "sheet": "text",  # the contact sheet it stands on, in classes/; "" where no image is used
        "shown": "text",  # which classes the plot shows; "" where this one is left out
    },
    key=("label",),
)
SPREAD = tables.Contract(  # of one measure
    {
        "row": "text",  # a class, or a whole subset, with its number of images
        "order": "int",  # of the row: the subsets, then classes by median
        "image_id": "text",
        "value": "float",
        "colour": "text",  # of its mark, as CSS writes it
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
        "images": "int",  # of this class and size
        "image_id": "text",  # one of them
        "hue": "text",  # the class where it has a colour of its own, else ""
        "shown": "text",  # how many sizes and colours the plot shows
    },
    key=("label", "width", "height"),
)
FILE_SIZES = tables.Contract(
    {
        "subset": "text",  # with its number of files
        "format": "text",  # decoded format by content; "unusable" where the file is
        "kilobytes": "text",  # lower edge of the bin, which is half an octave wide
        "order": "int",  # of the bin
        "images": "int",
    },
    key=("subset", "format", "order"),
)


def class_counts(labels: pd.DataFrame, sheet_of: Mapping[str, str]) -> pd.DataFrame:
    """Count the images of contracts.LABELS by class, in the order of labels: CLASS_COUNTS.

    Of many classes those of most and of fewest images are shown.
    """
    labelled = labels[labels["label"] != ""]
    counts = pd.crosstab(labelled["label"], labelled["use"]).reindex(columns=["train", "skip"], fill_value=0)
    counts = counts.sort_index().reset_index().rename(columns={"train": "images", "skip": "skipped"})
    counts["sheet"] = [sheet_of.get(label, "") for label in counts["label"]]
    by_size = counts.sort_values(["images", "label"], ascending=[False, True])["label"]
    is_shown = counts["label"].isin(by_size.iloc[_ends(len(counts))])
    counts["shown"] = np.where(is_shown, _classes(len(counts), "of most and of fewest images"), "")
    return counts.rename_axis(columns=None)


def stack(train: pd.DataFrame, test: pd.DataFrame) -> pd.DataFrame:
    """Put every image into the rows of plots it belongs to: its subset's, and, of train images, its class's.

    Args:
        train: image_id, label and what podium.pictures.measures measures.
        test: the same without label.

    Returns:
        The columns of both, row (the row's name), tier (0 train, 1 test, 2 a class) and chance (a number
        that depends on subset and image_id alone, to choose by).
    """
    subsets = [
        subset.assign(
            tier=tier, row=f"all of {name}: {len(subset)}", chance=[_chance(name, i) for i in subset["image_id"]]
        )
        for tier, (name, subset) in enumerate([("train", train), ("test", test)])
    ]
    counted = train["label"] + " (" + train.groupby("label")["label"].transform("size").astype("str") + ")"
    return pd.concat([*subsets, subsets[0].assign(tier=2, row=counted)], ignore_index=True)


def spread(stacked: pd.DataFrame, measure: str, colour: str | None = None) -> pd.DataFrame:
    """Show how a measure spreads within each subset and class: SPREAD.

    Of many images of a row some are shown, by chance, its lowest and highest always; of many classes those of
    the lowest and of the highest medians. Quartiles are of all images.

    Args:
        stacked: what `stack` returns.
        measure: the column to show.
        colour: of every mark; None for the mean colour of its image.
    """
    rows = _rows(stacked, measure)
    n_classes = int((rows["tier"] == 2).sum())
    n_parts = len(rows) - n_classes
    rows = rows.iloc[[*range(n_parts), *(n_parts + k for k in _ends(n_classes))]]
    rows["order"] = range(len(rows))
    limit = min(MAX_ROW_POINTS, MAX_POINTS // max(1, len(rows) - n_parts))
    table = stacked.rename(columns={measure: "value"}).merge(rows, on=["tier", "row"], validate="many_to_one")
    chosen = _choose(table, limit)
    some = f", at most {limit} of a class and {MAX_ROW_POINTS} of a subset, by chance"
    marks = "a mark per image" + (some if len(chosen) < len(table) else "")
    chosen["shown"] = f"{_classes(n_classes, 'of the lowest and of the highest medians')}; {marks}"
    if colour is not None:
        chosen["colour"] = colour
    return (
        chosen[list(SPREAD.columns)].sort_values(["order", "image_id"], ignore_index=True).round(6)
    )  # a pixel is 1e-6 megapixels


def sizes(train: pd.DataFrame) -> pd.DataFrame:
    """Count images by class, width and height: SIZES; of many sizes some are shown, by chance, and the outermost.

    Args:
        train: image_id, label, width, height; an image a row.
    """
    keys = ["label", "width", "height"]
    table = train.groupby(keys)["image_id"].agg(images="size", image_id="min").reset_index()
    outer = [find() for side in ("width", "height") if len(table) for find in (table[side].idxmin, table[side].idxmax)]
    table["inner"] = ~table.index.isin(outer)
    table["chance"] = [_chance("train", image_id) for image_id in table["image_id"]]
    chosen = table.sort_values(["inner", "chance"]).head(MAX_POINTS).sort_values(keys, ignore_index=True)
    hues, colours = _hues(train["label"])
    chosen["hue"] = chosen["label"].where(chosen["label"].isin(hues), "")
    some = f"{len(chosen)} of {len(table)} sizes, by chance"
    chosen["shown"] = colours + (some if len(chosen) < len(table) else "every size")
    return chosen[list(SIZES.columns)]


def file_sizes(facts: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Count the files of each subset (contracts.FACTS) by format and size: FILE_SIZES; empty bins between others too."""
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
    """Return tier, row and quartiles of every row, in their order."""
    values = stacked.groupby(["tier", "row"])[measure]
    rows = pd.DataFrame({name: values.quantile(q) for name, q in QUARTILES.items()}).reset_index()
    rows["rank"] = rows["median"].where(rows["tier"] == 2, 0.0)  # subsets stay in their own order
    return rows.sort_values(["tier", "rank", "row"], ignore_index=True).drop(columns="rank")


def _choose(table: pd.DataFrame, limit: int) -> pd.DataFrame:
    """Return `limit` images of each class at most: one of the lowest, one of the highest, the others by chance."""
    table = table.sort_values(["chance", "image_id"], ignore_index=True)
    values = table.groupby("row")["value"]
    table["inner"] = ~table.index.isin([*values.idxmin(), *values.idxmax()])
    table = table.sort_values("inner", kind="stable")
    limits = np.where(table["tier"] == 2, limit, MAX_ROW_POINTS)
    return table[table.groupby("row").cumcount() < limits].copy()


def _hues(labels: pd.Series) -> tuple[list[str], str]:
    """Return the classes that have a colour of their own, and what to say of the others."""
    counts = labels.value_counts().rename_axis("label").reset_index()
    largest = counts.sort_values(["count", "label"], ascending=[False, True])["label"].head(HUES)
    others = f"the {HUES} largest of {len(counts)} classes in colour, the others grey; "
    return list(largest), others if len(counts) > HUES else ""


def _ends(n: int) -> list[int]:
    """Return the places of what is shown of n ordered classes: all, or as many from either end."""
    half = MAX_CLASSES // 2
    return list(range(n)) if n <= MAX_CLASSES else [*range(half), *range(n - half, n)]


def _classes(n: int, which: str) -> str:
    if n > MAX_CLASSES:
        return f"{MAX_CLASSES} of {n} classes, those {which}"
    return f"{n} class" if n == 1 else f"{n} classes"


def _chance(subset: str, image_id: str) -> int:
    return seeding.derive("plot", subset, image_id)


def _half_octave(kilobytes: pd.Series) -> pd.Series:
    return np.floor(2 * np.log2(kilobytes.clip(lower=2**-0.5))).astype("int64")


def _kilobytes(edge: float) -> str:
    return f"{edge:.3g}" if edge < 100 else f"{edge:.0f}"
