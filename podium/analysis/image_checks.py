"""Blurry, dark, light, empty, grey, oddly sized or shaped images, by cleanvision, on the pixels of a pack.

cleanvision's own classes measure, score and judge; its `Imagelab` is left aside, since it opens image files and
only `prepare` does that. What differs from an `Imagelab` on the files:

- Pixels are upright RGB of the first frame, alpha laid on white, shrunk to prepare.short_side. Blurriness hardly
  feels that: cleanvision shrinks to 64 pixels itself. Palette images are judged by their colours, not their indices.
- The percentiles of brightness are those of a grid of pixels.
- An image whose three channels are equal is grey, however it is stored; cleanvision goes by the file's mode `L`. Its
  entropy is that of one channel too: an RGB file of the same picture would have log2(3) bits more.
- Sizes and aspect ratios are the original ones, from contracts.FACTS.

Source: cleanlab/cleanvision 0.3.7 (Apache-2.0).
"""

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

if TYPE_CHECKING:
    from cleanvision.issue_managers.image_property_issue_manager import ImagePropertyIssueManager

CHECKS = ("blurry", "dark", "grayscale", "light", "low_information", "odd_aspect_ratio", "odd_size")
BRIGHTNESS_SIDE = 256  # pixels, the longer side of the grid on which brightness is sampled

Pixels = npt.NDArray[np.uint8]
Row = tuple[str, str, str, str, str]  # in the order of contracts.FINDINGS


class Pack(Protocol):
    """What is needed of a pack of pixels (podium.core.pixels.Packed)."""

    def __getitem__(self, image_id: str) -> Pixels:
        """Return the image, (height, width, 3)."""
        ...


def measure(pack: Pack, image_ids: Iterable[str]) -> pd.DataFrame:
    """Return image_id and what cleanvision measures of the pixels, one row an image; 4 ms each at 384 x 592 pixels."""
    properties = _manager().image_properties
    rows = []
    for image_id in image_ids:
        picture = _picture(pack[image_id])
        row: dict[str, Any] = {"image_id": image_id}
        for check in ("blurry", "low_information", "grayscale"):
            row |= properties[check].calculate(picture)
        row |= properties["dark"].calculate(_sampled(picture))  # which `light` judges too
        rows.append(row)
    return pd.DataFrame(rows)


def find(measured: pd.DataFrame, facts: pd.DataFrame, subset: str, thresholds: Mapping[str, float]) -> list[Row]:
    """Judge the images of one subset: rows of contracts.FINDINGS.

    A value is cleanvision's score in [0, 1], which is odd below the threshold: dark, the brightness that 1% of the
    pixels exceed; light, 1 minus the brightness that 95% exceed; low_information, a tenth of the entropy in bits;
    odd_aspect_ratio, short over long side; blurry, what edges and grey levels say of sharpness. The value of odd_size
    is the root of width x height in pixels, odd more than 3 interquartile ranges outside the quartiles of its subset;
    the threshold is the range of those that are not.

    Args:
        measured: what `measure` returned.
        facts: contracts.FACTS of the same subset; images that were not measured are passed over.
        subset: "train" or "test"; judged by itself, so that a test image changes no finding on a train image.
        thresholds: check -> score, for those that cleanvision gives one.
    """
    if measured.empty:
        return []
    table = _with_sizes(measured, facts)
    manager = _manager()
    manager.update_params({check: {"threshold": float(threshold)} for check, threshold in thresholds.items()})
    manager.issues = pd.DataFrame(index=table.index)
    manager.update_issues(table, list(CHECKS))
    rows: list[Row] = []
    for check in CHECKS:
        odd = manager.issues[f"is_{check}_issue"]
        threshold = manager.params[check].get("threshold")
        values, held_against = _worded(check, table, manager.issues[f"{check}_score"], odd, threshold)
        rows += [(image_id, subset, check, value, held_against) for image_id, value in values[odd].items()]
    return rows


def _worded(
    check: str, table: pd.DataFrame, scores: "pd.Series[float]", odd: "pd.Series[bool]", threshold: float | None
) -> tuple["pd.Series[str]", str]:
    """Return the value of each image and the threshold as text; cleanvision's size score would tell nobody a size."""
    if check == "grayscale":
        return "stored as " + table["mode"], ""
    if check == "odd_size":
        usual = table.loc[~odd, "size"]
        return table["size"].map("{:.1f}".format), f"{usual.min():.1f} to {usual.max():.1f}"
    return scores.map("{:z.4f}".format), f"{threshold:g}"


def _with_sizes(measured: pd.DataFrame, facts: pd.DataFrame) -> pd.DataFrame:
    """Join what pixels say to what cleanvision would measure of the original sizes."""
    sizes = facts[["image_id", "width", "height", "mode"]]
    table = measured.merge(sizes, on="image_id", how="left", validate="one_to_one").set_index("image_id")
    table["size"] = np.sqrt(table["width"]) * np.sqrt(table["height"])
    table["aspect_ratio"] = table[["width", "height"]].min(axis=1) / table[["width", "height"]].max(axis=1)
    return table


def _picture(pixels: Pixels) -> Image.Image:
    """Return what cleanvision judges; where the channels are equal, one of them."""
    first = pixels[..., 0]
    grey = all(np.array_equal(first, pixels[..., channel]) for channel in (1, 2))
    return Image.fromarray(np.ascontiguousarray(first) if grey else pixels)


def _sampled(picture: Image.Image) -> Image.Image:
    """Take pixels out of a large picture, without blending them: percentiles stay, and cost a tenth of the time."""
    sample = picture.copy()
    sample.thumbnail((BRIGHTNESS_SIDE, BRIGHTNESS_SIDE), Image.Resampling.NEAREST)
    return sample


def _manager() -> "ImagePropertyIssueManager":
    """Import cleanvision and return its judge.

    cleanvision loads matplotlib, which nothing here uses and which warns on stderr of a home it cannot write to.
    """
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    from cleanvision.issue_managers.image_property_issue_manager import ImagePropertyIssueManager

    return ImagePropertyIssueManager()
