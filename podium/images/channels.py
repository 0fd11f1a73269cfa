"""Decode an image of PIL's formats into a number of channels other than 3: grey, grey and alpha, RGBA, CMYK, stacks."""

from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageSequence

from podium.core.colours import GREY, RGB
from podium.images import arrays, decode
from podium.images.arrays import Scaling, Values
from podium.images.decode import DecodedImage, ProblemError

LUMA = np.array([0.299, 0.587, 0.114])  # of red, green and blue, as PIL makes colours grey (ITU-R 601-2)


def read(file: BinaryIO, scaling: Scaling) -> DecodedImage:
    """Decode an open file.

    A file of several grey frames, e.g. a TIFF stack, has a channel per frame. For one channel colours become grey.

    Raises:
        ProblemError: it has another number of channels.
    """
    with decode.limited_to(scaling.max_megapixels), decode.open_image(file) as image:
        mode, kind = image.mode, image.format or ""
        is_deep = decode.is_sixteen_bit(image, dict(getattr(image, "tag_v2", {})))
        if is_deep and len(image.getbands()) > GREY:
            values, note = _deep_colours(image, file, scaling.channels)
        else:
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
    mode = image.mode
    if mode == "P":
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    if len(image.getbands()) == channels:
        return _plain(np.asarray(image)), note
    if channels == GREY:
        image, alpha = decode.on_white(image) if image.has_transparency_data else (image, "")
        return np.asarray(image.convert("L")), "; ".join(filter(None, [note, alpha, f"{mode} made grey"]))
    raise _wrong_bands(image, channels)


def _wrong_bands(image: Image.Image, channels: int) -> ProblemError:
    return ProblemError(f"has {len(image.getbands())} channels ({image.mode}), and prepare.channels is {channels}")


def _deep_colours(image: Image.Image, file: BinaryIO, channels: int) -> tuple[Values, str]:
    """Return the colours of a 16-bit file, of which PIL reads the upper 8 bits alone, by OpenCV.

    Raises:
        ProblemError: it has another number of channels.
    """
    upper = np.asarray(image)
    if upper.shape[2] != channels and channels != GREY:
        raise _wrong_bands(image, channels)
    deep = decode.sixteen_bit_values(file, upper)
    values: Values = upper.astype(np.uint16) << 8 if deep is None else deep
    note = "only the upper 8 of 16 bits could be read" if deep is None else ""
    if channels != GREY:
        return values, note
    grey = values[..., :RGB] @ LUMA if values.shape[2] >= RGB else values[..., 0]
    return np.asarray(grey).astype(np.uint16), "; ".join(filter(None, [note, f"{image.mode} made grey"]))


def _plain(values: Values) -> Values:
    """Return 16-bit values in this machine's order of bytes; PIL reads those of PNG as 32-bit integers."""
    kind: Any = values.dtype
    return values.astype(np.uint16) if kind.kind in "ui" and kind.itemsize == 2 else values
