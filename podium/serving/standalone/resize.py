"""OpenCV's `resize` of 8-bit images in numpy: by area where an image shrinks, else bilinear or cubic.

It follows modules/imgproc/src/resize.cpp of OpenCV 4. A few pixels in a million differ by one grey level, where
OpenCV's sums of 32-bit floats round another way.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

INTER_AREA, INTER_CUBIC = "area", "cubic"
FIXED = 2048  # OpenCV's fixed-point weights of bilinear and cubic interpolation
A = -0.75  # of the cubic kernel

Image = NDArray[np.uint8]
Weights = NDArray[np.float64]  # (output pixels, input pixels)


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
    shrinks = height <= image.shape[0] and width <= image.shape[1]
    kind = {INTER_AREA: _area if shrinks else _linear, INTER_CUBIC: _cubic}[interpolation]
    rows, columns = kind(image.shape[0], height), kind(image.shape[1], width)
    values = _along(image.astype(np.float64), columns, 1)
    return np.rint(_along(values, rows, 0)).clip(0, 255).astype(np.uint8)


def _along(values: NDArray[Any], weights: Weights, axis: int) -> NDArray[Any]:
    """Apply weights (output, input) along an axis; only the inputs of each output that weigh anything."""
    reach = int((weights != 0).sum(axis=1).max())
    places = np.argsort(weights == 0, axis=1, kind="stable")[:, :reach]
    chosen = np.take_along_axis(weights, places, axis=1)
    shape = (-1, 1, 1) if axis == 0 else (1, -1, 1)
    total = 0
    for step in range(reach):
        total = total + values.take(places[:, step], axis=axis) * chosen[:, step].reshape(shape)
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


def _linear(source: int, target: int) -> Weights:
    """Weigh two input pixels, as OpenCV's INTER_AREA does where one side grows."""
    scale, weights = source / target, np.zeros((target, source))
    for place in range(target):
        left = math.floor(place * scale)
        share = (place + 1) - (left + 1) / scale
        share = 0.0 if share <= 0 else share - math.floor(share)
        for pixel, weight in ((left, 1 - share), (left + 1, share)):
            weights[place, min(max(pixel, 0), source - 1)] += round(np.float32(weight) * FIXED) / FIXED
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
            weights[place, min(max(left + offset, 0), source - 1)] += round(weight * FIXED) / FIXED
    return weights


def _kernel(x: float) -> float:
    """Return the cubic kernel at a distance of 0 to 2 pixels."""
    if x <= 1:
        return ((A + 2) * x - (A + 3)) * x * x + 1
    return ((A * x - 5 * A) * x + 8 * A) * x - 4 * A
