"""16-bit images that use a small part of their range, as cameras and scanners write them."""

from collections.abc import Mapping
from pathlib import Path

from podium.core.errors import InputError, some
from podium.images import decode

FEW_BITS = 14  # of 16: such values keep at most 64 of 256 grey levels
DEPTHS = (8, 10, 12, 14)  # that cameras and scanners have


def require(bits: Mapping[str, int], folder: Path) -> None:
    """Refuse 16-bit files that use a small part of their range, because most grey levels would be lost.

    Args:
        bits: image_id -> bits that its largest value needs, of all 16-bit files.
        folder: of the images, for the message.

    Raises:
        InputError: the largest value of all files needs at most 14 bits.
    """
    needed = max(bits.values(), default=decode.FULL_DEPTH)
    if needed <= FEW_BITS:
        depth = next(depth for depth in DEPTHS if depth >= needed)
        raise InputError(
            f"params.yaml: prepare.bit_depth: all {len(bits)} 16-bit files of {folder} hold values below {2**needed},"
            f" so they would keep at most {max(1, 2**needed >> 8)} of 256 grey levels, e.g. {some(list(bits), 3)}; set"
            f" bit_depth: {depth}, or bit_depth: 16 if the images are meant to be so dark"
        )
