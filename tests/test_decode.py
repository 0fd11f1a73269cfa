"""Decoding: each kind of image becomes RGB, and damage is reported rather than decoded as a picture."""

import io
import struct
import sys
import types
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import BinaryIO

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps, PngImagePlugin

from docs.measure import time_decode
from podium.images import decode, heic
from podium.images.decode import DecodedImage


def scene(height: int = 48, width: int = 64, seed: int = 0) -> np.ndarray:
    """Smooth colours with a little noise, so that lossy formats stay close."""
    rng = np.random.default_rng(seed)
    coarse = cv2.resize(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8), (width, height))
    return np.clip(coarse + rng.integers(-9, 10, coarse.shape), 0, 255).astype(np.uint8)


def coded(image: np.ndarray | Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, kind, **options)
    return buffer.getvalue()


def read(
    data: bytes, name: str = "image", short_side: int = 1000, max_megapixels: float = 1.0, **options: object
) -> DecodedImage:
    return decode.decode(io.BytesIO(data), name=name, short_side=short_side, max_megapixels=max_megapixels, **options)


def pixels(data: bytes, **arguments: object) -> np.ndarray:
    decoded = read(data, **arguments)
    assert decoded.problem == ""
    assert decoded.pixels is not None
    assert (decoded.pixels.dtype, decoded.pixels.ndim, decoded.pixels.shape[2]) == (np.uint8, 3, 3)
    return decoded.pixels


def png(width: int, height: int, data: bytes, *, bits: int = 8, colour: int = 0, extra: bytes = b"") -> bytes:
    """Write a PNG by hand: what PIL does not write, and headers that lie."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


LOSSLESS: dict[str, Callable[[np.ndarray], bytes]] = {
    "PNG": lambda a: coded(a, "PNG"),
    "BMP": lambda a: coded(a, "BMP"),
    "PPM": lambda a: coded(a, "PPM"),
    "TIFF": lambda a: coded(a, "TIFF"),
    "TIFF packed": lambda a: coded(a, "TIFF", compression="tiff_lzw"),
    "WEBP": lambda a: coded(a, "WEBP", lossless=True),
}
LOSSY: dict[str, Callable[[np.ndarray], bytes]] = {
    "JPEG": lambda a: coded(a, "JPEG", quality=95),
    "JPEG progressive": lambda a: coded(a, "JPEG", quality=95, progressive=True),
    "GIF": lambda a: coded(a, "GIF"),
    "AVIF": lambda a: coded(a, "AVIF", quality=90),
}


@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_kinds_come_back_as_they_were(kind):
    data = LOSSLESS[kind](scene())
    decoded = read(data)
    np.testing.assert_array_equal(pixels(data), scene())
    assert (decoded.width, decoded.height, decoded.mode, decoded.note) == (64, 48, "RGB", "")
    assert decoded.format == kind.split()[0]


@pytest.mark.parametrize("kind", LOSSY)
def test_lossy_kinds_come_back_close(kind):
    assert np.abs(pixels(LOSSY[kind](scene())).astype(int) - scene()).mean() < 12


@pytest.mark.parametrize("kind", [*LOSSLESS, *LOSSY])
def test_a_cut_file_is_a_problem_or_whole_all_the_same(kind):
    data = ({**LOSSLESS, **LOSSY})[kind](scene())
    whole, cuts = pixels(data), [*range(1, len(data), max(1, len(data) // 25)), *range(len(data) - 9, len(data))]
    unread = 0
    for cut in cuts:
        decoded = read(data[:cut])
        unread += bool(decoded.problem)
        if not decoded.problem:  # what was cut off held no pixels
            np.testing.assert_array_equal(decoded.pixels, whole)
    assert unread > 20


@settings(max_examples=60, deadline=None)
@given(data=st.data(), kind=st.sampled_from([*LOSSLESS, *LOSSY]))
def test_damaged_bytes_never_raise(data, kind):
    damaged = bytearray(({**LOSSLESS, **LOSSY})[kind](scene(12, 16)))
    for _ in range(4):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    decoded = read(bytes(damaged))
    assert (decoded.pixels is None) == bool(decoded.problem)
    assert (decoded.width == 0) == bool(decoded.problem)


@pytest.mark.parametrize("data", [b"id,label\n1,ant\n", b"<html>404</html>", b"%PDF-1.7", bytes(500), b"\x80\x04."])
def test_a_file_that_is_no_image_is_a_problem(data):
    first, second = read(data), read(data)
    assert first == second  # no address of an object in its words
    assert first.problem.startswith("no image")
    assert (first.pixels, first.format, first.mode) == (None, "", "")


def test_an_empty_file_is_a_problem():
    assert read(b"").problem == "empty file (0 bytes)"


def test_a_bomb_is_refused_by_its_header():
    tiny = zlib.compress(bytes(100))
    for width, height in [(50_000, 50_000), (1001, 1000)]:
        assert "prepare.max_megapixels" in read(png(width, height, tiny)).problem
    assert "truncated" in read(png(1000, 1000, tiny)).problem  # small enough to try
    assert pixels(coded(scene(), "PNG"), max_megapixels=48 * 64 / 1e6).shape == (48, 64, 3)
    assert "prepare.max_megapixels" in read(coded(scene(), "PNG"), max_megapixels=48 * 63 / 1e6).problem


def test_a_jpeg_of_endless_scans_is_refused_before_they_are_decoded():
    data = coded(scene(), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")

    def repeated(count: int) -> bytes:
        return data[:last] + data[last:-2] * count + data[-2:]

    assert "101 scans" in read(repeated(500)).problem
    np.testing.assert_array_equal(pixels(repeated(1) + b"\xff\xda" * 200), pixels(data))  # behind the image is a film
    thumbnail = b"\xff\xe1" + (602).to_bytes(2, "big") + b"\xff\xda" * 300
    np.testing.assert_array_equal(pixels(data[:2] + thumbnail + data[2:]), pixels(data))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_only_the_first_frame_is_decoded(kind):
    frames = [Image.fromarray(scene(seed=i)) for i in range(3)]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = coded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert "first of several frames" in read(data).note
    assert np.abs(pixels(data).astype(int) - scene(seed=0)).mean() < 12


def test_grey_palette_and_one_bit_become_rgb():
    grey = scene()[..., 0]
    np.testing.assert_array_equal(pixels(coded(grey, "PNG")), np.repeat(grey[..., None], 3, 2))
    palette = Image.fromarray(scene()).quantize(16)
    np.testing.assert_array_equal(pixels(coded(palette, "PNG")), np.asarray(palette.convert("RGB")))
    bits = Image.fromarray(grey > 99)
    np.testing.assert_array_equal(pixels(coded(bits, "PNG"))[..., 1], (grey > 99) * 255)
    assert [read(coded(i, "PNG")).mode for i in (palette, bits)] == ["P", "1"]


def test_alpha_is_laid_on_white_with_a_note():
    alpha = np.linspace(0, 255, 48 * 64).reshape(48, 64).astype(np.uint8)
    data = coded(np.dstack([scene(), alpha]), "PNG")
    share = alpha[..., None] / 255
    assert np.abs(pixels(data) - (scene() * share + 255 * (1 - share))).max() <= 1
    assert read(data).note == "alpha laid on white"
    opaque = coded(np.dstack([scene(), np.full_like(alpha, 255)]), "PNG")
    assert (read(opaque).mode, read(opaque).note) == ("RGBA", "")
    np.testing.assert_array_equal(pixels(opaque), scene())


def bmp(image: np.ndarray) -> bytes:
    """Write a BMP with an alpha channel (height, width, 4): PIL's own have none."""
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    height, width = image.shape[:2]
    header = struct.pack("<IiiHHIIiiIIIIII", 56, width, height, 1, 32, 3, image.size, 1, 1, 0, 0, *masks)
    start = 14 + len(header)
    rows = image[::-1, :, [2, 1, 0, 3]].tobytes()
    return b"BM" + struct.pack("<IHHI", start + image.size, 0, 0, start) + header + rows


def test_alpha_of_0_everywhere_hides_nothing():
    """Some writers leave the bytes of alpha unset. An image of one colour has nothing to hide, except in a BMP."""
    unset = np.dstack([scene(), np.zeros((48, 64), np.uint8)])
    for data in (bmp(unset), coded(unset, "PNG"), coded(unset, "TIFF")):
        np.testing.assert_array_equal(pixels(data), scene())
        assert read(data).note == "alpha is 0 everywhere, ignored"
    red = np.full((4, 5, 4), (255, 0, 0, 0), np.uint8)
    assert (pixels(bmp(red)) == (255, 0, 0)).all()
    assert (pixels(coded(red, "PNG")) == 255).all()


@pytest.mark.parametrize("form", ["LA", "palette", "colour key"])
def test_every_form_of_transparency_is_laid_on_white(form):
    black = Image.new("RGB", (8, 6), "black")
    black.paste("red", (0, 0, 4, 6))
    if form == "LA":
        image, options = Image.new("LA", (8, 6), (0, 0)), {}
        image.paste((76, 255), (0, 0, 4, 6))
    elif form == "palette":
        image = black.quantize(2)
        options = {"transparency": bytes(255 * (image.getpalette()[3 * i] > 0) for i in range(2))}
    else:
        image, options = black, {"transparency": (0, 0, 0)}
    decoded = read(coded(image, "PNG", **options))
    assert decoded.note == "alpha laid on white"
    assert decoded.pixels is not None
    assert (decoded.pixels[:, 4:] == 255).all()
    assert (decoded.pixels[:, :4, 0] >= 76).all()
    assert (decoded.pixels[:, :4, 1] < 100).all()


def test_sixteen_bits_are_scaled_not_clipped():
    ramp = np.linspace(0, 65535, 48 * 64).reshape(48, 64).astype(np.uint16)
    wanted = np.rint(ramp / 257).astype(int)
    for kind in ("PNG", "TIFF"):
        data = coded(ramp, kind)
        np.testing.assert_array_equal(pixels(data)[..., 2], wanted)
        assert "scaled to 8 bits, 0 to 65535" in read(data).note
    np.testing.assert_array_equal(pixels(b"P5 64 48 65535\n" + ramp.astype(">u2").tobytes())[..., 0], wanted)
    white_is_zero = coded(Image.fromarray(ramp), "TIFF", tiffinfo={262: 0})
    assert np.abs(pixels(white_is_zero)[..., 0] - (255 - wanted)).max() <= 1


TWELVE = np.linspace(0, 4095, 48 * 64).reshape(48, 64).astype(np.uint16)
TWELVE_RGB = np.dstack([TWELVE, TWELVE[::-1], TWELVE[:, ::-1]])
TWELVE_BITS = {
    "grey PNG": (coded(TWELVE, "PNG"), np.dstack([TWELVE] * 3)),
    "grey TIFF": (coded(TWELVE, "TIFF"), np.dstack([TWELVE] * 3)),
    "PGM": (b"P5 64 48 65535\n" + TWELVE.astype(">u2").tobytes(), np.dstack([TWELVE] * 3)),
    "PNG": (cv2.imencode(".png", TWELVE_RGB[..., ::-1])[1].tobytes(), TWELVE_RGB),
    "TIFF": (cv2.imencode(".tiff", TWELVE_RGB[..., ::-1])[1].tobytes(), TWELVE_RGB),
    "PPM": (b"P6 64 48 65535\n" + TWELVE_RGB.astype(">u2").tobytes(), TWELVE_RGB),
}


@pytest.mark.parametrize("kind", TWELVE_BITS)
def test_the_bit_depth_of_16_bit_files_decides_how_they_are_scaled(kind):
    data, values = TWELVE_BITS[kind]
    np.testing.assert_array_equal(pixels(data, bit_depth=12), np.rint(values / (4095 / 255)))
    np.testing.assert_array_equal(pixels(data, bit_depth=10), np.rint(np.minimum(values / (1023 / 255), 255)))
    assert "12 bits, become white" in read(data, bit_depth=10).note
    assert "become white" not in read(data, bit_depth=12).note + read(data).note
    assert {read(data, bit_depth=depth).bits for depth in (10, 12, 16)} == {12}
    assert len(np.unique(pixels(data))) < 18  # of the whole range


def test_a_range_that_the_file_declares_needs_no_bit_depth():
    declared = b"P5 64 48 4095\n" + TWELVE.astype(">u2").tobytes()
    np.testing.assert_array_equal(pixels(declared, bit_depth=10)[..., 0], np.rint(TWELVE / (4095 / 255)))
    assert {read(data).bits for data in (declared, coded(scene(), "PNG"), coded(TWELVE.astype("i4"), "TIFF"))} == {0}


def test_what_pil_misreads_is_a_problem():
    """PIL takes 16-bit samples in separate planes for 8-bit ones."""
    one, two = (struct.pack("<HHIHH", 284, 3, 1, value, 0) for value in (1, 2))
    data = TWELVE_BITS["TIFF"][0]
    assert "separate planes" in read(data.replace(one, two)).problem


def test_sixteen_bit_colour_and_its_transparent_value():
    deep = (scene().astype(np.uint16) * 257).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in deep)
    np.testing.assert_array_equal(pixels(png(64, 48, zlib.compress(rows), bits=16, colour=2)), scene())
    grey = deep[..., :1].copy()
    grey[:9] = 777
    rows = b"".join(b"\0" + row.tobytes() for row in grey)
    data = png(64, 48, zlib.compress(rows), bits=16, extra=chunk(b"tRNS", struct.pack(">H", 777)))
    assert (pixels(data)[:9] == 255).all()
    np.testing.assert_array_equal(pixels(data)[9:, :, 0], scene()[9:, :, 0])


def test_floats_are_scaled_and_nan_is_a_problem():
    ramp = np.linspace(0, 1, 48 * 64, dtype=np.float32).reshape(48, 64)
    wanted = np.rint(ramp * 255)
    assert np.abs(pixels(coded(ramp, "TIFF"))[..., 0] - wanted).max() <= 1
    assert np.abs(pixels(coded(ramp * 900 - 300, "TIFF"))[..., 0] - wanted).max() <= 1
    assert (pixels(coded(np.full_like(ramp, 0.5), "TIFF")) == 128).all()
    assert (pixels(coded(np.full_like(ramp, 1e30), "TIFF")) == 0).all()
    ramp[3, 3] = np.nan
    assert read(coded(ramp, "TIFF")).problem == "holds values that are not finite numbers"


def test_cmyk_with_and_without_adobe_marker():
    """An Adobe marker means inverted inks; PIL writes both, so a file without one is made by cutting it out."""
    image = Image.fromarray(cv2.GaussianBlur(scene(), (0, 0), 2))
    data = coded(image.convert("CMYK"), "JPEG", quality=100)
    assert np.abs(pixels(data).astype(int) - np.asarray(image)).mean() < 6
    assert read(data).note == "CMYK made RGB without a colour profile"
    start = data.index(b"\xff\xee")
    length = struct.unpack(">H", data[start + 2 : start + 4])[0]
    plain = data[:start] + data[start + 2 + length :]
    inks = np.asarray(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(pixels(plain), np.asarray(Image.fromarray(255 - inks, "CMYK").convert("RGB")))
    np.testing.assert_array_equal(
        pixels(coded(image.convert("CMYK"), "TIFF")), np.asarray(image.convert("CMYK").convert("RGB"))
    )


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_every_exif_orientation_is_turned_upright(orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    data = coded(scene(), kind, exif=exif, **options)
    with Image.open(io.BytesIO(data)) as image:
        wanted = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    decoded = read(data)
    np.testing.assert_array_equal(decoded.pixels, wanted)
    assert (decoded.height, decoded.width) == wanted.shape[:2] == ((64, 48) if orientation > 4 else (48, 64))
    assert decoded.note == ("" if orientation == 1 else f"turned upright from EXIF orientation {orientation}")


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize(("kind", "mode"), [("JPEG", "RGB"), ("JPEG", "L"), ("JPEG", "CMYK"), ("MPO", "RGB")])
def test_scaled_decoding_of_a_large_jpeg_gives_its_size_and_nearly_its_pixels(kind, mode, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo = Image.fromarray(cv2.resize(scene(), (401, 322), interpolation=cv2.INTER_CUBIC)).convert(mode)
    data = coded(photo, kind, quality=95, exif=exif.tobytes(), **({"save_all": True} if kind == "MPO" else {}))
    full, scaled = (read(data, short_side=70, decoding=decoding) for decoding in ("full", "scaled"))
    assert scaled.pixels.shape == full.pixels.shape
    assert 0 < np.abs(scaled.pixels.astype(int) - full.pixels).mean() < 4
    assert replace(scaled, pixels=None) == replace(full, pixels=None)
    assert "truncated" in read(data[: len(data) // 2], short_side=70, decoding="scaled").problem


@pytest.mark.parametrize("size", [(1023, 517), (517, 1023), (513, 513), (1500, 521)])
def test_scaled_decoding_gives_the_size_of_full_decoding_whatever_libjpeg_rounds(size):
    data = coded(Image.fromarray(cv2.resize(scene(), size, interpolation=cv2.INTER_CUBIC)), "JPEG", quality=95)
    full, scaled = (pixels(data, short_side=64, decoding=decoding) for decoding in ("full", "scaled"))
    assert scaled.shape == full.shape


def test_scaled_decoding_changes_neither_small_jpegs_nor_other_kinds():
    for data, short_side in ((coded(scene(), "JPEG"), 25), (coded(scene(), "PNG"), 8)):
        both = [pixels(data, short_side=short_side, decoding=decoding) for decoding in ("full", "scaled")]
        np.testing.assert_array_equal(*both)


def test_the_measurement_of_decoders_finds_which_pixels_are_the_same():
    data = time_decode.as_jpeg(scene(240, 320))
    rows = (row.split(" | ") for row in time_decode.rows([data], 100, repeats=1))
    differences = {row[0]: float(row[3]) for row in rows}
    assert differences["PIL"] == differences["cv2"] == 0 < differences["PIL, draft"]
    assert time_decode.outcome(time_decode.decoders()["PIL"], data[: len(data) // 2]) == "error"


def test_bad_exif_costs_the_rotation_not_the_image():
    good = pixels(coded(scene(), "JPEG"))
    for exif in (b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01\x03", b"Exif\0\0nonsense", b"Exif\0\0"):
        np.testing.assert_array_equal(pixels(coded(scene(), "JPEG", exif=exif)), good)
    odd = Image.Exif()
    odd[0x0112] = 77
    np.testing.assert_array_equal(pixels(coded(scene(), "JPEG", exif=odd)), good)


def test_a_wrong_ending_is_noted():
    data = coded(scene(), "PNG")
    assert read(data, name="a/b.jpg").note == "is a PNG, named .jpg"
    assert [read(data, name=name).note for name in ("b.png", "b.PNG", "b")] == ["", "", ""]
    assert read(coded(scene(), "JPEG"), name="b.jfif").note == ""


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 40))
def test_shrinking_keeps_the_short_side_and_the_shape(height, width, short_side):
    image = np.full((height, width, 3), 77, np.uint8)
    small = decode.shrink(image, short_side)
    assert min(small.shape[:2]) == min(height, width, short_side)
    assert (small == 77).all()
    scale = min(1, short_side / min(height, width))
    assert abs(small.shape[0] - height * scale) <= 0.5
    assert abs(small.shape[1] - width * scale) <= 0.5


def test_shrinking_averages_areas():
    image = scene(40, 80)
    means = image.reshape(10, 4, 20, 4, 3).astype(float).mean(axis=(1, 3))
    assert np.abs(decode.shrink(image, 10) - means).max() <= 0.51


def test_extreme_aspect_ratios():
    line = np.tile(np.arange(250, dtype=np.uint8)[:, None, None], (200, 1, 3))  # 50,000 x 1
    assert pixels(coded(line, "PNG"), short_side=16).shape == (50_000, 1, 3)
    assert pixels(coded(np.repeat(line, 4, 1), "PNG"), short_side=2).shape == (25_000, 2, 3)


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"  # how a file starts


def install(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """Put a stand-in in the place of a package; its images are PNG behind HEIC's first bytes."""

    def opened(file: BinaryIO, _name: object) -> Image.Image:
        image = PngImagePlugin.PngImageFile(io.BytesIO(file.read()[len(HEIC) :]))
        image.format = heic.FORMAT
        return image

    module = types.ModuleType(package)
    module.register_heif_opener = lambda **_: Image.register_open(heic.FORMAT, opened, lambda _: True)
    monkeypatch.setitem(sys.modules, package, module)


@pytest.fixture
def without_heic(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in heic.PACKAGES:
        monkeypatch.setitem(sys.modules, name, None)
    yield
    Image.OPEN.pop(heic.FORMAT, None)
    Image.ID[:] = [name for name in Image.ID if name != heic.FORMAT]


@pytest.mark.parametrize("package", heic.PACKAGES)
@pytest.mark.usefixtures("without_heic")
def test_heic_is_read_once_its_package_is_installed(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = HEIC + coded(scene(), "PNG", exif=exif)
    assert "pip install pi-heif" in read(data, "a.heic").problem
    install(monkeypatch, package)
    decoded = read(data, "a.heic")
    np.testing.assert_array_equal(decoded.pixels, np.rot90(scene(), -1))
    assert (decoded.format, decoded.problem) == (heic.FORMAT, "")
    assert read(HEIC + coded(scene(), "PNG"), "a.heic").note == ""
    assert "named .jpg" in read(data, "a.jpg").note
    assert "max_megapixels" in read(data, max_megapixels=0.001).problem
    assert "damaged" in read(data[:-300]).problem or "broken" in read(data[:-300]).problem
    assert "broken" in read(HEIC + b"no image").problem
    assert read(coded(scene(), "AVIF")).format == "AVIF"  # the same container
