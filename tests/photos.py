"""Pictures that behave like photos, and what befalls copies of them."""

import cv2
import numpy as np


def photo(seed: int, height: int = 96, width: int = 128) -> np.ndarray:
    """A picture with structure at every scale, as photos have, different for every seed."""
    rng = np.random.default_rng(seed)
    drawn = np.zeros((height, width, 3))
    for side in (3, 6, 12, 24):
        coarse = rng.normal(size=(side, side, 3)).astype(np.float32)
        drawn += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) / np.sqrt(side)
    drawn = (drawn - drawn.min()) / np.ptp(drawn)
    return np.round(drawn * 255).astype(np.uint8)


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    encoded = cv2.imencode(".jpg", np.ascontiguousarray(image), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(encoded, cv2.IMREAD_COLOR)


def brighter(image: np.ndarray, factor: float) -> np.ndarray:
    return np.clip(image * factor, 0, 255).round().astype(np.uint8)


def cropped(image: np.ndarray, top: float, bottom: float, left: float, right: float) -> np.ndarray:
    height, width = image.shape[:2]
    rows = slice(round(height * top), height - round(height * bottom))
    return image[rows, round(width * left) : width - round(width * right)]
