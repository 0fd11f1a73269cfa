"""A class-activation map over its image."""

import cv2
import numpy as np
from numpy.typing import NDArray

from podium.core import pixels

SIDE = 144  # pixels, as large as the page's thumbnails
SHARE = 0.6  # of the map's colour; the rest is the image in grey


def draw(image: NDArray[np.uint8], cells: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the image in grey under the map's colours (SIDE, SIDE, 3), RGB.

    The colours are viridis, from dark violet (0) to yellow (1). Their lightness rises with the value, so the map is
    colour-blind safe.

    Args:
        image: (height, width, 3), RGB, as square as the network saw it.
        cells: the map (side, side), 0 to 1.
    """
    seen = pixels.resized(image, SIDE, SIDE, shrinks=image.shape[0] > SIDE)
    grey = cv2.cvtColor(seen, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
    heat = np.clip(cv2.resize(cells, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC), 0, 1)
    colours = cv2.applyColorMap(np.round(heat * 255).astype(np.uint8), cv2.COLORMAP_VIRIDIS)[..., ::-1]
    drawn: NDArray[np.uint8] = np.round((1 - SHARE) * grey + SHARE * colours).astype(np.uint8)
    return drawn
