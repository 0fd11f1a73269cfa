"""Features of images that do not depend on what is shown: file, file name and mean colour."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

CATEGORIES = 30  # of a text column, the most frequent ones; all others are one more category
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
FILE = ("width", "height", "aspect_ratio", "bytes", "bytes_per_pixel", "format", "mode")
NAME = ("file_order", "name_length", "name_digits", "name_number", "name_prefix", "name_ending", "name_folder")
COLOURS = ("red", "green", "blue", "brightness")


@dataclass(frozen=True)
class Features:
    """Features of images, as numbers.

    Attributes:
        names: of the features (n_features,).
        values: (n_images, n_features); categories as whole numbers from 0, missing numbers as nan.
        categorical: (n_features,), whether a feature is a category.
    """

    names: tuple[str, ...]
    values: NDArray[np.float64]
    categorical: NDArray[np.bool_]


def of_files(facts: pd.DataFrame) -> pd.DataFrame:
    """Return the columns `FILE`, indexed by image_id.

    Args:
        facts: contracts.FACTS of readable images.
    """
    table = facts.set_index("image_id")
    table["aspect_ratio"] = table["width"] / table["height"]
    table["bytes_per_pixel"] = table["bytes"] / (table["width"] * table["height"])
    return table[list(FILE)]


def of_names(image_ids: Sequence[str], class_folders: bool) -> pd.DataFrame:
    """Return the columns `NAME`, indexed by image_id: sorted position, length, digits, and the text around them.

    The order of rows in a label CSV is not among them: the user chose it, and no test image has one.

    Args:
        image_ids: paths in the image folder.
        class_folders: whether the first folder is the class; then no column uses it, not even the order.
    """
    names = [PurePosixPath(*PurePosixPath(i).parts[1:]) if class_folders else PurePosixPath(i) for i in image_ids]
    digits = [re.findall(r"\d+", name.stem) for name in names]
    table = {
        "file_order": pd.Series([str(name) for name in names]).rank().to_numpy(),
        "name_length": [len(name.stem) for name in names],
        "name_digits": [sum(map(len, runs)) for runs in digits],
        "name_number": [
            float(runs[-1][-15:]) if runs else np.nan for runs in digits
        ],  # more digits do not fit into a float
        "name_prefix": [re.split(r"\d", name.stem, maxsplit=1)[0] for name in names],
        "name_ending": [name.suffix for name in names],
        "name_folder": [str(name.parent) for name in names],
    }
    kinds = {name: "str" if name in ("name_prefix", "name_ending", "name_folder") else "float64" for name in NAME}
    return pd.DataFrame(table, index=pd.Index(image_ids, name="image_id")).astype(kinds)


def of_colours(pack: Mapping[str, NDArray[np.uint8]] | Any, image_ids: Sequence[str]) -> pd.DataFrame:
    """Return the columns `COLOURS`, indexed by image_id: means over an image's pixels, in [0, 255].

    Args:
        pack: of podium.core.pixels: image_id -> pixels (height, width, 3).
        image_ids: of images in the pack.
    """
    means = np.array([cv2.mean(pack[image_id])[:3] for image_id in image_ids]).reshape(-1, 3)
    table = pd.DataFrame(means, columns=list(COLOURS[:3]), index=pd.Index(image_ids, name="image_id"))
    return table.assign(brightness=means @ LUMA)


def encode(table: pd.DataFrame) -> Features:
    """Convert columns to numbers; constant columns are left out."""
    columns = {name: _codes(column) if column.dtype == "str" else column for name, column in table.items()}
    varying = [str(name) for name, column in columns.items() if column.nunique(dropna=False) > 1]
    values = (
        np.column_stack([columns[name].to_numpy("float64") for name in varying])
        if varying
        else np.empty((len(table), 0))
    )
    return Features(tuple(varying), values, np.array([table[name].dtype == "str" for name in varying], dtype=bool))


def _codes(column: pd.Series) -> pd.Series:
    """Return a number for each text, by frequency; texts that occur once and the rarest ones share a number."""
    counts = column.value_counts().rename_axis("text").reset_index(name="n").query("n > 1")
    frequent = counts.sort_values(["n", "text"], ascending=[False, True])["text"][:CATEGORIES]
    codes = pd.Series(range(len(frequent)), index=frequent)
    return column.map(codes).fillna(CATEGORIES)
