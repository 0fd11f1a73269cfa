"""Decode one image file into upright RGB pixels and a note, or report why it cannot be used.

The file's content decides its format. Grey, palette and 1-bit images become RGB. Transparent pixels are laid on
white; alpha that is 0 everywhere is ignored. 16 bits are scaled to 8, by prepare.bit_depth. CMYK is converted without a
colour profile, and profiles of RGB images are not applied either. EXIF rotation is applied. Only the first of several
frames is decoded. The note lists these changes.
"""

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, UnidentifiedImageError

from podium.core.errors import legible
from podium.images import heic

Pixels = NDArray[np.uint8]  # (height, width, 3) RGB

ENDINGS = {  # PIL's name of a format -> its file endings
    "AVIF": {".avif", ".avifs"},
    "BMP": {".bmp", ".dib"},
    "GIF": {".gif"},
    heic.FORMAT: heic.ENDINGS,
    "JPEG": {".jpg", ".jpeg", ".jpe", ".jfif"},
    "MPO": {".jpg", ".jpeg", ".mpo"},  # a JPEG followed by more pictures
    "PNG": {".png", ".apng"},
    "PPM": {".ppm", ".pgm", ".pbm", ".pnm", ".pfm"},
    "TIFF": {".tif", ".tiff"},
    "WEBP": {".webp"},
}
# Formats that PIL may try for any file; its JPEG reader detects MPO itself
FORMATS = sorted(set(ENDINGS) - {"MPO", heic.FORMAT})

SCALED = ("JPEG", "MPO")  # formats that `decoding: scaled` decodes at a part of their size

FULL_DEPTH = 16  # bits of a 16-bit file that uses its format's whole range

MOST_SCANS = 100  # of a progressive JPEG; writers make about ten

_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])", re.DOTALL)  # not of bytes of data, and not of a restart
_START_OF_SCAN, _END_OF_IMAGE = b"\xda", b"\xd9"
_SIXTEEN_BITS = {"I;16", "I;16B", "I;16L", "I;16N"}
_ORIENTATION = 0x0112  # EXIF and TIFF tag
_BITS_PER_SAMPLE = 258  # TIFF tags
_PHOTOMETRIC = 262
_PLANES = 284
_SAMPLE_FORMAT = 339
_WHITE_IS_ZERO = 0
_SEPARATE_PLANES = 2
_UNSIGNED = 1


@dataclass(frozen=True)
class DecodedImage:
    """The result of decoding one file.

    Attributes:
        pixels: None if there is a problem.
        width, height: of the upright original, in pixels; 0 if there is a problem.
        mode, format: PIL's names; "" if the file is no image.
        problem: why the image cannot be used; "" if it can.
        note: how decoding changed the image; "" if it did not.
        bits: that the largest value of a 16-bit file needs; 0 for other files.
    """

    pixels: Pixels | None = None
    width: int = 0
    height: int = 0
    mode: str = ""
    format: str = ""
    problem: str = ""
    note: str = ""
    bits: int = 0


class ProblemError(Exception):
    """Why an image cannot be used, in words for the user."""


def decode(
    file: BinaryIO,
    *,
    name: str,
    short_side: int,
    max_megapixels: float,
    bit_depth: int = FULL_DEPTH,
    decoding: str = "full",
) -> DecodedImage:
    """Decode an open file; never raise because of its content.

    Args:
        name: of the file; its ending is compared with the format.
        short_side: pixels; larger images are shrunk to it, smaller ones stay as they are.
        max_megapixels: an image with more, according to its header, is refused before it is decoded.
        bit_depth: of the values in 16-bit files; 2 ** bit_depth - 1 and more become white.
        decoding: "full", or "scaled" for JPEGs at 1/2, 1/4 or 1/8 of their size where that is not below the short side.
    """
    with warnings.catch_warnings(record=True) as caught, limited_to(max_megapixels):
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", UserWarning)  # PIL's warning of damage that it could ignore
        decoded = _decode(file, name, short_side, bit_depth, decoding)
    messages = dict.fromkeys(" ".join(str(warning.message).split()) for warning in caught)
    note = "; ".join(filter(None, [decoded.note, *messages]))
    return replace(decoded, note=legible(note), problem=legible(decoded.problem))  # PIL may quote the file's bytes


def is_known(path: Path) -> bool:
    """Return whether the content of a file starts like an image of FORMATS; True if that cannot be found out."""
    try:
        with path.open("rb") as file, Image.open(file, formats=FORMATS):
            return True
    except UnidentifiedImageError:
        return False
    except Exception:  # too large, or damaged behind its first bytes
        return True


def shrink(pixels: Pixels, short_side: int, whole: tuple[int, int] | None = None) -> Pixels:
    """Shrink by area interpolation so that the short side is at most `short_side`; never enlarge.

    Args:
        short_side: pixels.
        whole: width and height of the image that the pixels were decoded from at a part of its size; libjpeg rounds
            up, so their sides may have another ratio.
    """
    width, height = whole or pixels.shape[1::-1]
    scale = short_side / min(height, width)
    if scale >= 1:
        return pixels
    size = (round(width * scale), round(height * scale))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """Undo an EXIF orientation (1 to 8; 1 is upright already).

    Source: EXIF 2.32, tag 0x0112, names the sides that row 0 and column 0 show; 5 to 8 swap rows and columns.
    """
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in {2, 3, 6, 7}:
        pixels = pixels[:, ::-1]
    if orientation in {3, 4, 7, 8}:
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


@contextmanager
def limited_to(max_megapixels: float) -> Iterator[None]:
    """Set PIL's limit of pixels for the whole process; PIL warns above it and raises above twice the limit."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = int(max_megapixels * 1e6 / 2)
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _decode(file: BinaryIO, name: str, short_side: int, bit_depth: int, decoding: str) -> DecodedImage:
    result = DecodedImage()
    try:
        with open_image(file) as image:
            result = DecodedImage(mode=image.mode, format=image.format or "")
            size = _reduced(image, short_side) if decoding == "scaled" else None
            pixels, notes, bits = _upright_rgb(image, file, bit_depth)
    except ProblemError as problem:
        return replace(result, problem=str(problem))
    except Image.DecompressionBombError as error:
        remedy = "raise it if the image is meant to be so large"
        return replace(result, problem=f"more than prepare.max_megapixels, not decoded ({error}); {remedy}")
    except Exception as error:  # a damaged file can make PIL's parsers raise anything
        return replace(result, problem=f"truncated or damaged: {str(error) or type(error).__name__}")
    width, height = size or pixels.shape[1::-1]
    notes.insert(0, _ending_note(result.format, name))
    small = shrink(pixels, short_side, (width, height))
    return replace(result, pixels=small, width=width, height=height, note="; ".join(filter(None, notes)), bits=bits)


def _reduced(image: Image.Image, short_side: int) -> tuple[int, int] | None:
    """Let libjpeg decode a large JPEG at a part of its size; return its whole size, upright, or None.

    Each block of 8 x 8 pixels becomes 4 x 4, 2 x 2 or 1 x 1 from its lowest frequencies, which takes less time than to
    decode and shrink the whole.
    """
    width, height = image.size
    image.draft(None, (short_side, short_side))
    if image.size == (width, height):
        return None
    return (height, width) if exif_orientation(image) >= 5 else (width, height)


def open_image(file: BinaryIO) -> Image.Image:
    """Open an image of FORMATS, or HEIC.

    Raises:
        ProblemError: it is none, or HEIC and no package that reads it is installed.
    """
    start = file.read(heic.SNIFFED)
    if not start:
        raise ProblemError("empty file (0 bytes)")
    file.seek(0)
    is_heic = heic.is_heic(start)
    if is_heic and not heic.register():
        raise ProblemError(heic.MISSING)
    try:
        image = Image.open(file, formats=[heic.FORMAT] if is_heic else FORMATS)
    except UnidentifiedImageError:
        raise ProblemError(f"no image (read are {', '.join(FORMATS)}), or broken before its pixels") from None
    if image.info.get("progressive") and (count := _scans(file, MOST_SCANS + 1)) > MOST_SCANS:
        image.close()
        raise ProblemError(f"a JPEG of {count} scans or more, each over the whole image: save it again")
    return image


def _scans(file: BinaryIO, limit: int) -> int:
    """Count the scans of a JPEG up to a limit; the file stays where it is.

    Source: ITU-T T.81, B.1.1: a segment says how long it is, and the data of a scan ends at the next marker.
    """
    before = file.tell()
    file.seek(0)
    data, place, count = file.read(), 2, 0
    file.seek(before)
    while count < limit and (found := _MARKER.search(data, place)) and found[1] != _END_OF_IMAGE:
        count += found[1] == _START_OF_SCAN
        place = found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big")
    return count


def _upright_rgb(image: Image.Image, file: BinaryIO, bit_depth: int) -> tuple[Pixels, list[str], int]:
    """Return the pixels, notes on how they were changed, and the bits of the largest value (0 if not 16-bit)."""
    which = "main one of several images" if image.format == heic.FORMAT else "first of several frames"
    notes = [which] if getattr(image, "is_animated", False) else []
    tags = dict(getattr(image, "tag_v2", {}))  # of a TIFF
    is_deep = image.mode != "CMYK" and is_sixteen_bit(image, tags)
    image.load()  # PIL turns a TIFF upright here and drops the tag
    is_grey = image.mode in {"I", *_SIXTEEN_BITS}
    coloured, bits, note = (image, 0, "") if is_grey or not is_deep else _deep_colour(image, file, bit_depth)
    if is_grey and is_deep:
        bits = int(np.asarray(image).max()).bit_length()
    pixels, changes = _rgb(coloured, tags, bit_depth if is_deep else 0)
    orientation = exif_orientation(image)
    turned = max(orientation, _valid_orientation(tags.get(_ORIENTATION)))
    notes += [note, changes, f"turned upright from EXIF orientation {turned}" if turned > 1 else ""]
    return upright(pixels, orientation), notes, bits


def is_sixteen_bit(image: Image.Image, tags: Mapping[int, Any]) -> bool:
    """Return whether a file that is not loaded yet declares unsigned samples of the whole range of 16 bits."""
    if image.format == "TIFF":
        is_deep = set(tags.get(_BITS_PER_SAMPLE, ())) == {16} and set(tags.get(_SAMPLE_FORMAT, (1,))) == {_UNSIGNED}
        if is_deep and tags.get(_PLANES) == _SEPARATE_PLANES and image.mode not in _SIXTEEN_BITS:
            raise ProblemError("16 bits in separate planes, which PIL misreads: save it with interleaved channels")
        return is_deep
    tiles: Any = getattr(image, "tile", [])
    arguments = tiles[0].args if tiles else ()
    words = arguments if isinstance(arguments, tuple) else (arguments,)
    return any(str(word).endswith(";16B") for word in words) or (image.format == "PPM" and 65535 in words)


def _deep_colour(image: Image.Image, file: BinaryIO, bit_depth: int) -> tuple[Image.Image, int, str]:
    """Scale the colours of a 16-bit file to 8 bits; PIL has read the upper 8 bits only.

    Returns:
        the image, the bits that its largest value needs, and a note.
    """
    clear = image.info.get("transparency")
    if isinstance(clear, tuple):
        image.info["transparency"] = tuple(value >> 8 for value in clear)
    upper = np.asarray(image.convert("RGB"))
    values = sixteen_bit_values(file, upper)
    deepest = int(upper.max()) * 256 + 255 if values is None else int(values.max())
    bits = deepest.bit_length()
    if bit_depth == FULL_DEPTH:
        return image, bits, ""
    note = f"16 bits scaled to 8, 0 to {2**bit_depth - 1} becoming 0 to 255{_clipping_note(bits, bit_depth)}"
    if values is None:
        values, note = upper.astype(np.uint16) * 256, f"{note}; only the upper 8 of 16 bits could be read"
    scaled = Image.fromarray(as_bytes(values, 0, 2**bit_depth - 1))
    if image.has_transparency_data:
        scaled.putalpha(image.convert("RGBA").getchannel("A"))
    return scaled, bits, note


def sixteen_bit_values(file: BinaryIO, upper: Pixels) -> NDArray[np.uint16] | None:
    """Read colours (height, width, channels) in 16 bits by OpenCV; None if their upper bytes are not those of PIL.

    PIL rounds where it reads a PPM.
    """
    file.seek(0)
    try:
        values = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    count = upper.shape[2]
    if values is None or values.dtype != np.uint16 or values.ndim != 3 or not 3 <= count <= values.shape[2]:
        return None
    colours: NDArray[np.uint16] = values[..., [2, 1, 0, 3][:count]]  # OpenCV has blue first
    agrees = colours.shape == upper.shape and np.abs((colours >> 8).astype(np.int16) - upper).max() <= 1
    return colours if agrees else None


def _clipping_note(bits: int, bit_depth: int) -> str:
    return f"; values above it, of up to {bits} bits, become white" if bits > bit_depth else ""


def _rgb(image: Image.Image, tags: Mapping[int, Any], bit_depth: int) -> tuple[Pixels, str]:
    """Return the pixels and a note; `bit_depth` is 0 for a file that is not 16-bit."""
    if image.mode in _SIXTEEN_BITS or image.mode in {"I", "F"}:
        return _deep_grey(image, tags, bit_depth)
    note = ""
    if image.has_transparency_data:
        image, note = on_white(image)
    elif image.mode == "CMYK":
        image, note = _printed(image), "CMYK made RGB without a colour profile"
    try:
        return np.asarray(image if image.mode == "RGB" else image.convert("RGB")), note
    except ValueError as error:
        raise ProblemError(f"its colours cannot be made RGB ({error}): save it as RGB") from None


def on_white(image: Image.Image) -> tuple[Image.Image, str]:
    """Lay an image with transparency on white; return it and a note. Alpha that is 0 everywhere is ignored."""
    layered = image.convert("RGBA")
    alpha, colours = layered.getchannel("A"), layered.convert("RGB")
    if alpha.getextrema() == (0, 0) and (image.format == "BMP" or not _is_one_colour(colours)):
        return colours, "alpha is 0 everywhere, ignored"  # its writer left the bytes unset: white would hide it all
    white = Image.new("RGB", layered.size, "white")
    white.paste(layered, mask=alpha)
    return white, "alpha laid on white" if alpha.getextrema() != (255, 255) else ""


def _is_one_colour(image: Image.Image) -> bool:
    pixels = np.asarray(image)
    return bool((pixels == pixels[0, 0]).all())


def _printed(image: Image.Image) -> Image.Image:
    """Undo an inversion: PIL inverts every CMYK JPEG, but only those with an Adobe marker need it."""
    wrongly_inverted = image.format in {"JPEG", "MPO"} and "adobe" not in image.info
    return ImageChops.invert(image) if wrongly_inverted else image


def _deep_grey(image: Image.Image, tags: Mapping[int, Any], bit_depth: int) -> tuple[Pixels, str]:
    """Scale grey of more than 8 bits to 8: by the format's full range if it has one, else by the image's extremes.

    Values of 16-bit files have the range of `bit_depth`, because their format does not say how many bits they use.
    """
    values = np.asarray(image)
    low, high = (0.0, float(2**bit_depth - 1)) if bit_depth else _value_range(image, values, tags)
    grey = as_bytes(values, low, high)
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:  # PIL inverts only such TIFFs of at most 8 bits
        grey = 255 - grey
    note = f"{image.mode} scaled to 8 bits, {low:g} to {high:g} becoming 0 to 255"
    note += _clipping_note(int(values.max()).bit_length(), bit_depth) if bit_depth else ""
    clear = image.info.get("transparency")
    if clear is not None:
        grey[values == clear] = 255
        note += "; alpha laid on white"
    return np.repeat(grey[..., None], 3, axis=2), note


def as_bytes(values: NDArray[Any], low: float, high: float) -> Pixels:
    """Return values as bytes, low becoming 0 and high 255; values outside are clipped."""
    scaled = values.astype(np.float32)  # from here on in place: images may be large
    scaled -= low
    scaled *= 255 / (high - low) if high > low else 0
    return np.rint(scaled, out=scaled).clip(0, 255, out=scaled).astype(np.uint8)


def _value_range(image: Image.Image, values: NDArray[Any], tags: Mapping[int, Any]) -> tuple[float, float]:
    if image.mode in _SIXTEEN_BITS:
        bits = tags.get(_BITS_PER_SAMPLE, (16,))[0]
        return 0.0, float(2**bits - 1)
    if image.format == "PPM" and image.mode == "I":
        return 0.0, 65535.0  # PIL scales to this for every maximum of the file
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise ProblemError("holds values that are not finite numbers")
    if image.mode == "F" and low >= 0 and high <= 1:
        return 0.0, 1.0
    return low, high


def exif_orientation(image: Image.Image) -> int:
    """Return 1 to 8; 1 if EXIF has no valid orientation."""
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception as error:  # damaged EXIF can make the parser raise anything; the pixels can be used anyway
        warnings.warn(f"EXIF cannot be read: {type(error).__name__}", UserWarning, stacklevel=2)
        return 1
    return _valid_orientation(orientation)


def _valid_orientation(value: Any) -> int:
    return int(value) if value in range(1, 9) else 1


def _ending_note(kind: str, name: str) -> str:
    ending = PurePosixPath(name).suffix
    fits = not ending or ending.lower() in ENDINGS.get(kind, set())
    return "" if fits else f"is a {kind}, named {ending}"
