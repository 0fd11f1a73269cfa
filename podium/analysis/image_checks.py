"""Find blurry, dark, light, empty, grey, oddly sized or oddly shaped images with cleanvision, on packed pixels.

cleanvision's own classes measure the images and apply the thresholds. Its `Imagelab` is not used, because it opens
image files, and only `prepare` does that. Differences from an `Imagelab` on the files:

- Pixels are upright RGB of the first frame, with alpha laid on white, shrunk to prepare.short_side. That hardly changes
  blurriness, because cleanvision itself shrinks to 64 pixels. Palette images are measured by their colours, not by
  their indices.
- The percentiles of brightness are taken over a grid of pixels.
- An image whose three channels are equal is grey; cleanvision checks whether the file's mode is `L`. The entropy of
  such an image is that of one channel: as an RGB file it would have log2(3) bits more.
- Sizes and aspect ratios are the original ones, from contracts.FACTS.

Source: cleanlab/cleanvision 0.3.7 (Apache-2.0).
"""

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from podium.analysis.fingerprints import ImageSource

if TYPE_CHECKING:
    from cleanvision.issue_managers.image_property_issue_manager import ImagePropertyIssueManager

CHECKS = ("blurry", "dark", "grayscale", "light", "low_information", "odd_aspect_ratio", "odd_size")
BRIGHTNESS_SIDE = 256  # pixels, the longer side of the grid on which brightness is sampled

Pixels = npt.NDArray[np.uint8]
Row = tuple[str, str, str, str, str]  # in the order of contracts.FINDINGS


def measure(pack: ImageSource, image_ids: Iterable[str]) -> pd.DataFrame:
    """Return image_id and cleanvision's measurements, one row per image; 4 ms each at 384 x 592 pixels."""
    properties = _manager().image_properties
    rows = []
    for image_id in image_ids:
        picture = _picture(pack[image_id])
        row: dict[str, Any] = {"image_id": image_id}
        for check in ("blurry", "low_information", "grayscale"):
            row |= properties[check].calculate(picture)
        row |= properties["dark"].calculate(_sampled(picture))  # `light` uses it too
        rows.append(row)
    return pd.DataFrame(rows)


def find(measured: pd.DataFrame, facts: pd.DataFrame, subset: str, thresholds: Mapping[str, float]) -> list[Row]:
    """Return the findings of one subset: rows of contracts.FINDINGS.

    A value is cleanvision's score in [0, 1]; an image is reported if it is below the threshold. dark: the brightness
    that 1% of the pixels exceed. light: 1 minus the brightness that 95% exceed. low_information: a tenth of the entropy
    in bits. odd_aspect_ratio: short side over long side. blurry: a score of sharpness from edges and grey levels.
    odd_size is different: its value is the root of width x height in pixels. An image is reported if that is more than
    3 interquartile ranges outside the quartiles of its subset; the threshold is the range of the other images.

    Args:
        measured: of `measure`.
        facts: contracts.FACTS of the same subset; images that were not measured are ignored.
        subset: "train" or "test"; each is checked alone, so that a test image changes no finding of a train image.
        thresholds: check -> score, for the checks that have a threshold in cleanvision.
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
        values, limit = _as_text(check, table, manager.issues[f"{check}_score"], odd, threshold)
        rows += [(image_id, subset, check, value, limit) for image_id, value in values[odd].items()]
    return rows


def _as_text(
    check: str, table: pd.DataFrame, scores: "pd.Series[float]", odd: "pd.Series[bool]", threshold: float | None
) -> tuple["pd.Series[str]", str]:
    """Return each image's value and the threshold as text; for odd_size in pixels instead of cleanvision's score."""
    if check == "grayscale":
        return "stored as " + table["mode"], ""
    if check == "odd_size":
        others = table.loc[~odd, "size"]
        return table["size"].map("{:.1f}".format), f"{others.min():.1f} to {others.max():.1f}"
    return scores.map("{:z.4f}".format), f"{threshold:g}"


def _with_sizes(measured: pd.DataFrame, facts: pd.DataFrame) -> pd.DataFrame:
    """Add the size and aspect ratio, as cleanvision would measure them on the original files."""
    sizes = facts[["image_id", "width", "height", "mode"]]
    table = measured.merge(sizes, on="image_id", how="left", validate="one_to_one").set_index("image_id")
    table["size"] = np.sqrt(table["width"]) * np.sqrt(table["height"])
    table["aspect_ratio"] = table[["width", "height"]].min(axis=1) / table[["width", "height"]].max(axis=1)
    return table


def _picture(pixels: Pixels) -> Image.Image:
    """Return the image for cleanvision: RGB, or one channel if all channels are equal."""
    first = pixels[..., 0]
    grey = all(np.array_equal(first, pixels[..., channel]) for channel in (1, 2))
    return Image.fromarray(np.ascontiguousarray(first) if grey else pixels)


def _sampled(picture: Image.Image) -> Image.Image:
    """Sample pixels of a large picture without blending them: same percentiles in a tenth of the time."""
    sample = picture.copy()
    sample.thumbnail((BRIGHTNESS_SIDE, BRIGHTNESS_SIDE), Image.Resampling.NEAREST)
    return sample


def _manager() -> "ImagePropertyIssueManager":
    """Import cleanvision and return its issue manager.

    cleanvision imports matplotlib, which nothing here uses. It would warn on stderr if it cannot write to the home
    folder.
    """
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    from cleanvision.issue_managers.image_property_issue_manager import ImagePropertyIssueManager

    return ImagePropertyIssueManager()
