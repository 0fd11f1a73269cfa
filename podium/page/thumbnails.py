"""Small JPEG images within the page."""

import base64
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from podium.pictures.pack import ImagePack

SIDE, QUALITY = 144, 78  # longest side in pixels; JPEG quality: 3 to 9 kB for a photo


@dataclass(frozen=True)
class Thumbnail:
    """One image of the page.

    Attributes:
        uri: the image as a data URI; "" for an image that could not be read.
        alt: for those who do not see it.
        lines: the caption; the first line is the image's id.
        marked: whether it gets a frame.
        map_uri: its class-activation map as a data URI; "" where there is none.
        map_alt: the map for those who do not see it.
    """

    uri: str
    alt: str
    lines: tuple[str, ...]
    marked: bool = False
    map_uri: str = ""
    map_alt: str = ""


def of_image(
    pack: ImagePack, image_id: str, *, lines: tuple[str, ...], alt: str = "", marked: bool = False
) -> Thumbnail:
    """Return the thumbnail of an image of a pack; the caption begins with its id."""
    uri = data_uri(pack[image_id]) if image_id in pack else ""
    return Thumbnail(uri, alt or f"{image_id}, {', '.join(lines)}", (image_id, *lines), marked)


def data_uri(pixels: NDArray[np.uint8]) -> str:
    """Return an image (height, width, 3), RGB, as a JPEG of at most SIDE pixels a side."""
    height, width = pixels.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    done, coded = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise ValueError(f"JPEG cannot hold an image of shape {small.shape}")
    return f"data:image/jpeg;base64,{base64.b64encode(coded.tobytes()).decode()}"
