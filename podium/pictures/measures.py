"""Numbers of every image that people compare by class and by subset: sizes, brightness and colour."""

from collections.abc import Iterable
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from podium.core.errors import InputError, some

LUMA = np.array([0.299, 0.587, 0.114])  # of red, green, blue: ITU-R BT.601


class Pack(Protocol):
    """What is needed of a pack of pixels (podium.core.pixels.PixelPack)."""

    def __getitem__(self, image_id: str) -> npt.NDArray[np.uint8]:
        """Return the image, (height, width, 3)."""
        ...


def of_images(facts: pd.DataFrame, pack: Pack, image_ids: Iterable[str]) -> pd.DataFrame:
    """Measure images.

    Args:
        facts: contracts.FACTS, a row for each of the images at least.
        pack: their pixels.
        image_ids: the images, each once.

    Returns:
        A row per image in the order of image_ids: image_id, width, height (pixels), aspect_ratio (width / height),
        megapixels, kilobytes, brightness (mean grey level, 0 black to 255 white), red_minus_blue (mean levels,
        -255 to 255) and colour (the mean one, as CSS writes it).

    Raises:
        InputError: the pack or facts lack one of them.
    """
    seen = pd.DataFrame([(i, *_colour(pack[i])) for i in image_ids], columns=list(_SEEN)).astype(_SEEN)
    lacking = sorted(set(seen["image_id"]) - set(facts["image_id"]))
    if lacking:
        raise InputError(
            f"facts.csv does not fit the pixels beside it: lacks {some(lacking)}; run `dvc repro -f prepare`"
        )
    sizes = facts[["image_id", "width", "height", "bytes"]]
    table = seen.merge(sizes, on="image_id", how="left", validate="one_to_one")
    table["aspect_ratio"] = table["width"] / table["height"]
    table["megapixels"] = table["width"] * table["height"] / 1e6
    table["kilobytes"] = table.pop("bytes") / 1e3
    return table


_SEEN = {"image_id": "str", "brightness": "float64", "red_minus_blue": "float64", "colour": "str"}


def _colour(pixels: npt.NDArray[np.uint8]) -> tuple[float, float, str]:
    mean = np.array(cv2.mean(pixels)[:3])  # 18 times as fast as numpy's
    red, green, blue = (int(level) for level in mean.round())
    return float(mean @ LUMA), float(mean[0] - mean[2]), f"#{red:02x}{green:02x}{blue:02x}"
