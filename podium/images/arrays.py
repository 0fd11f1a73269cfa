"""Values of any type and number of channels -> pixels: of NumPy's .npy files, DICOM and images other than RGB.

Bytes stay as they are. Other values are scaled by prepare.value_range; without it unsigned 16-bit values by
prepare.bit_depth, and others by each image's own smallest and largest value.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from podium.core import pixels
from podium.core.colours import GREY, RGB
from podium.images.decode import FULL_DEPTH, DecodedImage, ProblemError, as_bytes
from podium.images.settings import PrepareSettings

Values = NDArray[Any]
NPY = b"\x93NUMPY"  # how a .npy file begins


@dataclass(frozen=True)
class Scaling:
    """How values become pixels: the keys of `prepare` of the same names.

    Attributes:
        short_side: pixels.
        max_megapixels: of height x width.
        bit_depth: of unsigned 16-bit values.
        channels: that every image has.
        value_range: (what becomes 0, what becomes 255); None for each image's own extremes.
        decoding: of JPEGs, "full" or "scaled".
    """

    short_side: int
    max_megapixels: float
    bit_depth: int
    channels: int
    value_range: tuple[float, float] | None
    decoding: str = "full"

    @classmethod
    def of(cls, settings: PrepareSettings) -> Self:
        """Return what the section `prepare` says."""
        return cls(
            settings.short_side,
            settings.max_megapixels,
            settings.bit_depth or FULL_DEPTH,
            settings.channels,
            settings.value_range,
            settings.decoding,
        )

    def require_small(self, height: int, width: int) -> None:
        """Refuse an image before its values are read.

        Raises:
            ProblemError: it has more than max_megapixels.
        """
        if height * width > self.max_megapixels * 1e6:
            raise ProblemError(
                f"more than prepare.max_megapixels, not decoded ({height} x {width}); raise it if the image is meant to"
                " be so large"
            )


def decode(file: BinaryIO, scaling: Scaling) -> DecodedImage:
    """Decode a .npy file: (height, width), or with channels in front or behind.

    Raises:
        ProblemError: it holds no image of scaling.channels.
    """
    shape, dtype = header(file)
    if len(shape) not in (2, 3):
        raise ProblemError(f"an array of shape {shape}: save (height, width), or with the channels behind or in front")
    is_first = len(shape) == 3 and shape[-1] not in _allowed(scaling) and shape[0] in _allowed(scaling)
    height, width = shape[1:] if is_first else shape[:2]
    scaling.require_small(height, width)
    count = GREY if len(shape) == 2 else shape[0] if is_first else shape[-1]
    if count not in _allowed(scaling):  # before the values are read: a header may promise any number
        raise ProblemError(_wrong_channels(min(shape[0], count), scaling.channels))
    file.seek(0)
    values = np.load(file, allow_pickle=False)
    note = "channels in front" if is_first else ""
    return finished(np.moveaxis(values, 0, -1) if is_first else values, scaling, "NPY", str(dtype), note=note)


def first_shape(folder: Path, images: Iterable[str]) -> tuple[str, tuple[int, ...]] | None:
    """Return the name and the shape of the first .npy file among images; None if there is none, or it is damaged."""
    name = next((image for image in images if image.lower().endswith(".npy")), None)
    if name is None:
        return None
    try:
        with (folder / name).open("rb") as file:
            return name, header(file)[0]
    except (OSError, ProblemError):
        return None


def header(file: BinaryIO) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and type of the array in a .npy file.

    Raises:
        ProblemError: it is damaged, or holds Python objects.
    """
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
    except ValueError as error:
        raise ProblemError(f"truncated or damaged: {error}") from None
    if dtype.kind not in "buif" or min(shape, default=0) < 1:
        raise ProblemError(f"an array of shape {shape} and type {dtype}: save numbers")
    return shape, dtype


def finished(
    values: Values,
    scaling: Scaling,
    kind: str,
    mode: str,
    *,
    note: str = "",
    limits: tuple[float, float] | None = None,
) -> DecodedImage:
    """Return the image of values (height, width) or (height, width, channels), upright.

    Args:
        values: of the file.
        scaling: of `prepare`.
        kind: the file's format, for its facts.
        mode: of its values, for its facts.
        note: how it was read.
        limits: what becomes 0 and 255, where the file says so and scaling.value_range does not.

    Raises:
        ProblemError: it has another number of channels, or values that are not finite.
    """
    values = with_channels(values, scaling.channels)
    height, width = values.shape[:2]
    bits = int(values.max()).bit_length() if values.dtype == np.uint16 and limits is None else 0
    data, scaled = _bytes(values, scaling, limits)
    note = "; ".join(filter(None, [note, scaled]))
    return DecodedImage(_shrunk(data, scaling.short_side), width, height, mode, kind, note=note, bits=bits)


def with_channels(values: Values, channels: int) -> Values:
    """Return (height, width, channels); grey becomes RGB where RGB is wanted.

    Raises:
        ProblemError: there are others.
    """
    values = values[..., None] if values.ndim == 2 else values
    if values.shape[2] == GREY and channels == RGB:
        return np.repeat(values, RGB, axis=2)
    if values.shape[2] != channels:
        raise ProblemError(_wrong_channels(values.shape[2], channels))
    return values


def _wrong_channels(count: int, channels: int) -> str:
    return f"has {count} channels, and prepare.channels is {channels}"


def _allowed(scaling: Scaling) -> set[int]:
    return {scaling.channels, GREY} if scaling.channels == RGB else {scaling.channels}


def _bytes(values: Values, scaling: Scaling, limits: tuple[float, float] | None) -> tuple[pixels.Pixels, str]:
    """Return the values as bytes, and a note on how they were scaled."""
    if values.dtype == np.uint8 and limits is None:
        return values, ""
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * 255, ""
    low, high = _limits(values, scaling, limits)
    return as_bytes(values, low, high), f"{low:g} to {high:g} becoming 0 to 255"


def _limits(values: Values, scaling: Scaling, limits: tuple[float, float] | None) -> tuple[float, float]:
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ProblemError("holds values that are not finite numbers")
    if (chosen := scaling.value_range or limits) is not None:
        return chosen
    if values.dtype == np.uint16:
        return 0.0, float(2**scaling.bit_depth - 1)
    return float(values.min()), float(values.max())


def _shrunk(values: pixels.Pixels, short_side: int) -> pixels.Pixels:
    height, width = values.shape[:2]
    scale = short_side / min(height, width)
    if scale >= 1:
        return np.ascontiguousarray(values)
    return pixels.resized(values, round(height * scale), round(width * scale), shrinks=True)
