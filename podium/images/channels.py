"""Decode an image of PIL's formats into a number of channels other than 3: grey, grey and alpha, RGBA, CMYK, stacks."""

from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageSequence

from podium.core.colours import GREY
from podium.images import arrays, decode
from podium.images.arrays import Scaling, Values
from podium.images.decode import DecodedImage, ProblemError


def read(file: BinaryIO, scaling: Scaling) -> DecodedImage:
    """Decode an open file.

    A file of several grey frames, e.g. a TIFF stack, has a channel per frame. For one channel colours become grey.

    Raises:
        ProblemError: it has another number of channels.
    """
    with decode.limited_to(scaling.max_megapixels), decode.open_image(file) as image:
        mode, kind = image.mode, image.format or ""
        values, note = _values(image, scaling.channels)
        orientation = decode.exif_orientation(image) if getattr(image, "n_frames", 1) == 1 else 1
    values = decode.upright(values if values.ndim == 3 else values[..., None], orientation)
    turned = f"turned upright from EXIF orientation {orientation}" if orientation > 1 else ""
    return arrays.finished(values, scaling, kind, mode, note="; ".join(filter(None, [note, turned])))


def _values(image: Image.Image, channels: int) -> tuple[Values, str]:
    n_frames = getattr(image, "n_frames", 1)
    if n_frames == channels > GREY and len(image.getbands()) == GREY:
        frames = [np.asarray(frame) for frame in ImageSequence.Iterator(image)]
        if len({frame.shape for frame in frames}) > 1:
            raise ProblemError("its frames have different sizes")
        return _plain(np.stack(frames, axis=-1)), f"{n_frames} frames as channels"
    note = "first of several frames" if n_frames > 1 else ""
    if image.mode == "P":
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    if len(image.getbands()) == channels:
        return _plain(np.asarray(image)), note
    if channels == GREY:
        return np.asarray(image.convert("L")), "; ".join(filter(None, [note, f"{image.mode} made grey"]))
    raise ProblemError(f"has {len(image.getbands())} channels ({image.mode}), and prepare.channels is {channels}")


def _plain(values: Values) -> Values:
    """Return 16-bit values in this machine's order of bytes; PIL reads those of PNG as 32-bit integers."""
    kind: Any = values.dtype
    return values.astype(np.uint16) if kind.kind in "ui" and kind.itemsize == 2 else values
