"""What is known of an image without understanding it: its file, its name, its mean colour; as numbers."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

CATEGORIES = 30  # kept of a text column, the most frequent ones; the others are one category more
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
FILE = ("width", "height", "aspect_ratio", "bytes", "bytes_per_pixel", "format", "mode")
NAME = ("file_order", "name_length", "name_digits", "name_number", "name_prefix", "name_ending", "name_folder")
COLOURS = ("red", "green", "blue", "brightness")


@dataclass(frozen=True)
class Features:
    """Columns that tell images apart.

    Attributes:
        names: of the features.
        values: (n_images, n_features); categories as whole numbers from 0, missing numbers as nan.
        categorical: (n_features,).
    """

    names: tuple[str, ...]
    values: NDArray[np.float64]
    categorical: NDArray[np.bool_]


def of_files(facts: pd.DataFrame) -> pd.DataFrame:
    """Return the columns `FILE` by image_id: pixels, bytes and texts.

    Args:
        facts: contracts.FACTS of readable images.
    """
    table = facts.set_index("image_id")
    table["aspect_ratio"] = table["width"] / table["height"]
    table["bytes_per_pixel"] = table["bytes"] / (table["width"] * table["height"])
    return table[list(FILE)]


def of_names(image_ids: Sequence[str], class_folders: bool) -> pd.DataFrame:
    """Return the columns `NAME` by image_id: place in the sorted list, length, digits, and the words around them.

    The order of rows in a label CSV is none of them: it is the person's, and no test image has it.

    Args:
        image_ids: paths in the image folder.
        class_folders: the first folder is the class; it is left out of everything, the order too.
    """
    names = [PurePosixPath(*PurePosixPath(i).parts[1:]) if class_folders else PurePosixPath(i) for i in image_ids]
    digits = [re.findall(r"\d+", name.stem) for name in names]
    table = {
        "file_order": pd.Series([str(name) for name in names]).rank().to_numpy(),
        "name_length": [len(name.stem) for name in names],
        "name_digits": [sum(map(len, runs)) for runs in digits],
        "name_number": [float(runs[-1][-15:]) if runs else np.nan for runs in digits],  # more do not fit a float
        "name_prefix": [re.split(r"\d", name.stem, maxsplit=1)[0] for name in names],
        "name_ending": [name.suffix for name in names],
        "name_folder": [str(name.parent) for name in names],
    }
    kinds = {name: "str" if name in ("name_prefix", "name_ending", "name_folder") else "float64" for name in NAME}
    return pd.DataFrame(table, index=pd.Index(image_ids, name="image_id")).astype(kinds)


def of_colours(pack: Mapping[str, NDArray[np.uint8]] | Any, image_ids: Sequence[str]) -> pd.DataFrame:
    """Return the columns `COLOURS` by image_id: the means over an image's pixels, in [0, 255].

    Args:
        pack: of podium.core.pixels: image_id -> pixels (height, width, 3).
        image_ids: in the pack.
    """
    means = np.array([cv2.mean(pack[image_id])[:3] for image_id in image_ids]).reshape(-1, 3)
    table = pd.DataFrame(means, columns=list(COLOURS[:3]), index=pd.Index(image_ids, name="image_id"))
    return table.assign(brightness=means @ LUMA)


def encode(table: pd.DataFrame) -> Features:
    """Turn columns into numbers; a column in which all images are alike is left out."""
    columns = {name: _codes(column) if column.dtype == "str" else column for name, column in table.items()}
    kept = [str(name) for name, column in columns.items() if column.nunique(dropna=False) > 1]
    values = (
        np.column_stack([columns[name].to_numpy("float64") for name in kept]) if kept else np.empty((len(table), 0))
    )
    return Features(tuple(kept), values, np.array([table[name].dtype == "str" for name in kept], dtype=bool))


def _codes(column: pd.Series) -> pd.Series:
    """Number the texts by their frequency; those that stand once, and the rarest ones, share a number."""
    counts = column.value_counts().rename_axis("text").reset_index(name="n").query("n > 1")
    often = counts.sort_values(["n", "text"], ascending=[False, True])["text"][:CATEGORIES]
    codes = pd.Series(range(len(often)), index=often)
    return column.map(codes).fillna(CATEGORIES)
