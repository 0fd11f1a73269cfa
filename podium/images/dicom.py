"""Decode a DICOM file by pydicom (MIT), which is optional: the extra `dicom`.

Values are rescaled (modality LUT) and windowed as the file says: its VOI LUT, or else its first window. `MONOCHROME1`,
where low values are white, is inverted. prepare.value_range replaces the window, e.g. [-1000, 400] in Hounsfield units.
Sources: DICOM PS3.3, C.11.1 (rescale), C.11.2 (VOI LUT and window), C.7.6.3.1.2 (photometric interpretation).
"""

import warnings
from importlib.util import find_spec
from typing import Any, BinaryIO

import numpy as np

from podium.images import arrays
from podium.images.arrays import Scaling, Values
from podium.images.decode import DecodedImage, ProblemError

PREAMBLE, MAGIC = 128, b"DICM"  # bytes before the magic word
MISSING = "pydicom is not installed: run `make setup`, or install the extra `dicom`"
_FULL = 255.0
_META = PREAMBLE + len(MAGIC) + 12  # bytes up to the end of the element that holds the length of the others
_DEFLATED = b"1.2.840.10008.1.2.1.99"  # transfer syntax


def is_installed() -> bool:
    """Say whether DICOM can be read here."""
    return find_spec("pydicom") is not None


def decode(file: BinaryIO, scaling: Scaling) -> DecodedImage:
    """Decode an open file.

    Raises:
        ProblemError: pydicom is missing or cannot read it, or it has other channels than wanted.
    """
    if not is_installed():
        raise ProblemError(MISSING)
    import pydicom

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values that break the standard but can be read
        _refuse_deflated(file)
        data = pydicom.dcmread(file, force=True)
        if "PixelData" not in data:
            raise ProblemError("DICOM without an image (no PixelData)")
        scaling.require_small(int(data.Rows), int(data.Columns))
        try:
            values, note = _frame(data, scaling.channels)
            return _finished(data, values, note, scaling)
        except (NotImplementedError, RuntimeError, AttributeError) as error:
            syntax = data.file_meta.TransferSyntaxUID.name if "TransferSyntaxUID" in data.file_meta else "unknown"
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise ProblemError(
                f"DICOM of the transfer syntax {syntax}, which cannot be decoded here ({reason}): decompress it, e.g."
                " by `gdcmconv --raw` or `dcmdjpeg`, or install python-gdcm"
            ) from None


def _refuse_deflated(file: BinaryIO) -> None:
    """Refuse a deflated file: pydicom unpacks it whole before it reads its size, so a small one could fill the memory.

    Source: DICOM PS3.10, 7.1: the file meta information, which names the transfer syntax, begins with its length.
    """
    start = file.read(_META)
    if _DEFLATED in file.read(int.from_bytes(start[-4:], "little")):
        raise ProblemError("a deflated DICOM, which is not read: unpack it, e.g. by `dcmconv +te` or `gdcmconv --raw`")
    file.seek(0)


def _frame(data: Any, channels: int) -> tuple[Values, str]:
    """Return one image: of several frames the first, or frames as channels if there are as many as wanted."""
    from pydicom.pixels import pixel_array

    count = int(data.get("NumberOfFrames", 1) or 1)
    if count == channels > 1 and int(data.get("SamplesPerPixel", 1)) == 1:
        return np.moveaxis(pixel_array(data), 0, -1), f"{count} frames as channels"
    return pixel_array(data, index=0), "first of several frames" if count > 1 else ""  # the others are not decoded


def _finished(data: Any, values: Values, note: str, scaling: Scaling) -> DecodedImage:
    from pydicom.pixels import apply_color_lut, apply_modality_lut

    kind = str(data.get("PhotometricInterpretation", "MONOCHROME2"))
    if kind == "PALETTE COLOR":
        coloured = apply_color_lut(values, data)
        values = (coloured >> 8).astype(np.uint8) if coloured.dtype == np.uint16 else coloured
    if not kind.startswith("MONOCHROME"):  # pydicom makes RGB of YBR
        return arrays.finished(values, scaling, "DICOM", kind, note=note)
    values = np.asarray(apply_modality_lut(values, data), np.float32)
    values, limits = _windowed(values, data) if scaling.value_range is None else (values, None)
    limits = scaling.value_range or limits or (float(values.min()), float(values.max()))
    if kind == "MONOCHROME1":
        low, high = limits
        values, limits = low + high - values, (low, high)
        note = "; ".join(filter(None, [note, "MONOCHROME1 inverted"]))
    return arrays.finished(values, scaling, "DICOM", kind, note=note, limits=limits)


def _windowed(values: Values, data: Any) -> tuple[Values, tuple[float, float] | None]:
    """Return the values and what becomes 0 and 255; None where the file has no window."""
    from pydicom.pixels import apply_voi_lut

    if data.get("VOILUTSequence"):
        bits = int(data.VOILUTSequence[0].LUTDescriptor[2])
        return np.asarray(apply_voi_lut(values.astype(np.int64), data), np.float32), (0.0, float(2**bits - 1))
    centre, width = (_first(data.get(key)) for key in ("WindowCenter", "WindowWidth"))
    if centre is None or width is None or width <= 0:
        return values, None
    function = str(data.get("VOILUTFunction", "LINEAR") or "LINEAR")
    if function == "SIGMOID":
        return _FULL / (1 + np.exp(-4 * (values - centre) / width)), (0.0, _FULL)
    if function == "LINEAR_EXACT":
        return values, (centre - width / 2, centre + width / 2)
    return values, (centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2)


def _first(value: Any) -> float | None:
    """Return the first of one or several numbers."""
    if value is None or value == "":
        return None
    return float(value[0] if hasattr(value, "__getitem__") and not isinstance(value, str) else value)
