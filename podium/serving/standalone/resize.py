"""OpenCV's `resize` of 8-bit images in numpy: by area where an image shrinks, else bilinear or cubic.

It follows modules/imgproc/src/resize.cpp of OpenCV 4, and Intel's IPP for the cubic kernel, which OpenCV uses on x86.
Without IPP up to 5% of OpenCV's cubic values are another by one grey level; its weights have 11 bits there.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

INTER_AREA, INTER_CUBIC = "area", "cubic"
FIXED = 2048  # OpenCV's fixed-point weights of bilinear interpolation
A = -0.75  # of the cubic kernel
IMREAD_UNCHANGED = -1

Image = NDArray[np.uint8]
Places = NDArray[np.int64]
Weights = NDArray[Any]  # (output pixels, input pixels)


class error(Exception):  # the name that OpenCV gives it
    """An error of OpenCV; none is raised here."""


def imdecode(_content: NDArray[np.uint8], _flags: int) -> NDArray[np.generic] | None:
    """Read nothing: of colours in 16 bits the bundle has the upper 8, as Pillow reads them."""
    return None


def resize(image: Image, size: tuple[int, int], interpolation: str) -> Image:
    """Resize an image (height, width, 3).

    Args:
        image: 8-bit pixels.
        size: width and height of the result.
        interpolation: INTER_AREA or INTER_CUBIC.
    """
    width, height = size
    if (height, width) == image.shape[:2]:
        return image.copy()
    if interpolation == INTER_AREA and (height > image.shape[0] or width > image.shape[1]):
        return _bilinear(image, height, width)
    if interpolation == INTER_AREA and not (image.shape[0] % height or image.shape[1] % width):
        return _blocks(image, height, width)
    kind, number = {INTER_AREA: (_area, np.float32), INTER_CUBIC: (_cubic, np.float64)}[interpolation]
    rows, columns = kind(image.shape[0], height).astype(number), kind(image.shape[1], width).astype(number)
    values = _along(image.astype(number), columns, 1)
    return np.asarray(np.rint(_along(values, rows, 0)).clip(0, 255), np.uint8)


def enlarged(images: NDArray[Any], side: int) -> NDArray[Any]:
    """Enlarge normalised images (batch, channels, n, n) to (batch, channels, side, side) by the cubic kernel."""
    weights = _cubic(images.shape[2], side).astype(np.float32)
    return np.asarray(weights @ images @ weights.T)


def _blocks(image: Image, height: int, width: int) -> Image:
    """Average whole blocks of pixels."""
    down, across = image.shape[0] // height, image.shape[1] // width
    sums = image.reshape(height, down, width, across, 3).sum(axis=(1, 3), dtype=np.int64)
    if (down, across) == (2, 2):
        return np.asarray((sums + 2) >> 2, np.uint8)
    return np.asarray(np.rint(sums.astype(np.float32) * np.float32(1 / (down * across))), np.uint8)


def _bilinear(image: Image, height: int, width: int) -> Image:
    """Interpolate in OpenCV's whole numbers, as its INTER_AREA does where one side grows."""
    (left, right, columns), (above, below, rows) = _pairs(image.shape[1], width), _pairs(image.shape[0], height)
    pixels, columns, rows = image.astype(np.int64), columns[None, :, None], rows[:, None, None]
    values = (pixels[:, left] * (FIXED - columns) + pixels[:, right] * columns) >> 4
    total = ((values[above] * (FIXED - rows)) >> 16) + ((values[below] * rows) >> 16)
    return np.asarray(((total + 2) >> 2).clip(0, 255), np.uint8)


def _pairs(source: int, target: int) -> tuple[Places, Places, Places]:
    """Return two input pixels for each output pixel, and the weight of the second one in units of 1 / FIXED."""
    inverse, places = target / source, np.arange(target)  # 1 / inverse is not always source / target to the last bit
    first = np.floor(places * (1 / inverse)).astype(np.int64)
    share = ((places + 1) - (first + 1) * inverse).astype(np.float32)
    share = np.where(share <= 0, 0, share - np.floor(share))
    return first, np.minimum(first + 1, source - 1), np.rint(share * FIXED).astype(np.int64)


def _along(values: NDArray[Any], weights: Weights, axis: int) -> NDArray[Any]:
    """Apply weights (output, input) along an axis; only the inputs of each output that weigh anything."""
    reach = int((weights != 0).sum(axis=1).max())
    places = np.argsort(weights == 0, axis=1, kind="stable")[:, :reach]
    chosen = np.take_along_axis(weights, places, axis=1)
    shape = (-1, 1, 1) if axis == 0 else (1, -1, 1)
    total = values.take(places[:, 0], axis=axis) * chosen[:, 0].reshape(shape)
    for step in range(1, reach):
        total += values.take(places[:, step], axis=axis) * chosen[:, step].reshape(shape)
    return np.asarray(total)


def _area(source: int, target: int) -> Weights:
    """Weigh every input pixel by the share of the output pixel that it covers."""
    scale, weights = source / target, np.zeros((target, source))
    for place in range(target):
        start, stop = place * scale, min((place + 1) * scale, source)
        pixels = np.arange(math.floor(start), min(math.ceil(stop), source))
        covered = np.minimum(pixels + 1, stop) - np.maximum(pixels, start)
        weights[place, pixels] = np.where(covered > 1e-3, covered, 0) / (stop - start)
    return weights


def _cubic(source: int, target: int) -> Weights:
    """Weigh four input pixels; those beyond the border repeat it."""
    scale, weights = source / target, np.zeros((target, source))
    for place in range(target):
        centre = (place + 0.5) * scale - 0.5
        left = math.floor(centre)
        share = centre - left
        shares = [_kernel(1 + share), _kernel(share), _kernel(1 - share)]
        for offset, weight in zip((-1, 0, 1, 2), [*shares, 1 - sum(shares)], strict=True):
            weights[place, min(max(left + offset, 0), source - 1)] += weight
    return weights


def _kernel(x: float) -> float:
    """Return the cubic kernel at a distance of 0 to 2 pixels."""
    if x <= 1:
        return ((A + 2) * x - (A + 3)) * x * x + 1
    return ((A * x - 5 * A) * x + 8 * A) * x - 4 * A
