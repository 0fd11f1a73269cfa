"""Decode a file by the decoder that knows its content: an image of PIL's formats, a NumPy array, or DICOM."""

import warnings
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import BinaryIO

from podium.core.colours import RGB
from podium.core.errors import legible
from podium.images import arrays, channels, decode, dicom, heic
from podium.images.arrays import Scaling
from podium.images.decode import DecodedImage, ProblemError

ENDINGS = decode.ENDINGS | {"DICOM": {".dcm", ".dicom"}, "NPY": {".npy"}}
IMAGE_ENDINGS = frozenset[str]().union(*ENDINGS.values())
SNIFFED = max(dicom.PREAMBLE + len(dicom.MAGIC), heic.SNIFFED)


def decode_file(file: BinaryIO, *, name: str, scaling: Scaling) -> DecodedImage:
    """Decode an open file; never raise because of its content.

    Args:
        file: at its beginning.
        name: of the file.
        scaling: how its values become pixels.
    """
    start = file.read(SNIFFED)
    file.seek(0)
    kind = sniffed(start)
    if kind in READERS:
        return _guarded(READERS[kind], file, scaling, kind)
    if scaling.channels != RGB:
        return _guarded(channels.read, file, scaling, "")
    return decode.decode(
        file,
        name=name,
        short_side=scaling.short_side,
        max_megapixels=scaling.max_megapixels,
        bit_depth=scaling.bit_depth,
        decoding=scaling.decoding,
    )


READERS: dict[str, Callable[[BinaryIO, Scaling], DecodedImage]] = {"NPY": arrays.decode, "DICOM": dicom.decode}


def sniffed(start: bytes) -> str:
    """Return the kind of a file that PIL alone does not read, by its first SNIFFED bytes; "" for others."""
    if start.startswith(arrays.NPY):
        return "NPY"
    if start[dicom.PREAMBLE :][: len(dicom.MAGIC)] == dicom.MAGIC:
        return "DICOM"
    return heic.FORMAT if heic.is_heic(start) else ""


def lacking(names: list[str]) -> str:
    """Return what has to be installed to read files of these names; "" if nothing."""
    is_dicom = any(PurePosixPath(name).suffix.lower() in ENDINGS["DICOM"] for name in names)
    return dicom.MISSING if is_dicom and not dicom.is_installed() else ""


def _guarded(
    reader: Callable[[BinaryIO, Scaling], DecodedImage], file: BinaryIO, scaling: Scaling, kind: str
) -> DecodedImage:
    """Call a reader; what it raises becomes the file's problem."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = reader(file, scaling)
    except ProblemError as problem:
        return DecodedImage(format=kind, problem=legible(str(problem)))
    except Exception as error:  # a damaged file can make parsers raise anything
        return DecodedImage(format=kind, problem=legible(f"truncated or damaged: {str(error) or type(error).__name__}"))
    return found
