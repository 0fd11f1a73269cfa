"""What this package needs of a file of pixels (podium.core.pixels)."""

from typing import Protocol

import numpy as np
import numpy.typing as npt


class ImagePack(Protocol):
    """Images by image_id; a plain dict will do."""

    def __getitem__(self, image_id: str) -> npt.NDArray[np.uint8]:
        """Return the image, (height, width, 3)."""
        ...

    def __contains__(self, image_id: object) -> bool:
        """Return whether the image could be read."""
        ...
