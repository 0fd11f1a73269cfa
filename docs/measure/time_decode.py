"""Measure decoders of JPEG: `python -m docs.measure.time_decode [--images FOLDER]`.

Each decoder turns the same bytes into pixels that are shrunk to `prepare.short_side`, by turns in one process with one
thread. The process keeps freed memory as `prepare` does; with `--give-back` it gives it back to the system. Prints
processor time, its ratio to that of `prepare`'s own decoder, and how far the pixels are from that decoder's. A second
table says what each does with JPEGs that are not plain. simplejpeg is measured where it is installed; Podium does not
need it.
"""

import argparse
import io
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from podium.core import cli, freed_memory
from podium.images import decode, image_files
from podium.images.decode import Pixels
from podium.images.settings import PrepareSettings

OWN = "Podium"
SIZES = {0.3: (640, 480), 2: (1632, 1224), 12: (4000, 3000)}  # megapixels -> width, height
QUALITY = 90
TILE = 500  # pixels of the photos that make up a large one, whose details an enlarged photo would not have
MOST_REDUCED = 8  # of the scales 1/2, 1/4, 1/8 that JPEG can be decoded in
SECOND = 1000  # ms
REDUCED = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}
Decoder = Callable[[bytes, int], Pixels]


def main(*words: str) -> None:
    """Print a table for each size of photos, and one of the JPEGs that are not plain."""
    default = PrepareSettings().short_side
    parser = argparse.ArgumentParser(prog="python -m docs.measure.time_decode", description="Decoders of JPEG.")
    parser.add_argument("--images", type=Path, help="folder with photos; default: generated ones, without details")
    parser.add_argument("--megapixels", type=float, nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--short-sides", type=int, nargs="+", default=[default // 2, default])
    parser.add_argument("--photos", type=int, default=4, help="different ones of each size")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--give-back", action="store_true", help="freed memory, as processes do by default")
    asked = parser.parse_args(words)
    cv2.setNumThreads(1)
    if not asked.give_back:
        freed_memory.keep(image_files.KEPT)
    print("| megapixels | bits a pixel | short side | decoder | ms | ratio | mean difference | largest |")
    print("|---|---|---|---|---|---|---|---|")
    for megapixels in asked.megapixels:
        files = [as_jpeg(photo) for photo in photos(asked.images, SIZES[megapixels], asked.photos)]
        bits = 8 * sum(map(len, files)) / len(files) / np.prod(SIZES[megapixels])
        for short_side in asked.short_sides:
            for row in rows(files, short_side, asked.repeats):
                print(f"| {megapixels:g} | {bits:.1f} | {short_side} | {row} |", flush=True)
    print(f"\n| decoder | {' | '.join(specials())} |\n|{'---|' * (len(specials()) + 1)}")
    for name, decoder in decoders().items():
        print(f"| {name} | {' | '.join(outcome(decoder, file) for file in specials().values())} |")


def decoders() -> dict[str, Decoder]:
    """Return name -> function of a file's bytes and the short side of the pixels wanted."""
    found: dict[str, Decoder] = {
        OWN: by_podium,
        "PIL": lambda file, side: by_pil(file, side, draft=False),
        "PIL, draft": lambda file, side: by_pil(file, side, draft=True),
        "cv2": lambda file, side: by_cv2(file, side, cv2.IMREAD_COLOR),
        "cv2, reduced": lambda file, side: by_cv2(file, side, REDUCED.get(scale_of(file, side), cv2.IMREAD_COLOR)),
    }
    if find_spec("simplejpeg") is not None:
        found["simplejpeg"] = lambda file, side: by_simplejpeg(file, side, scaled=False)
        found["simplejpeg, scaled"] = lambda file, side: by_simplejpeg(file, side, scaled=True)
    return found


def by_podium(file: bytes, short_side: int) -> Pixels:
    """Decode as `prepare` does."""
    found = decode.decode(io.BytesIO(file), name="a.jpg", short_side=short_side, max_megapixels=100)
    if found.pixels is None:
        raise ValueError(found.problem)
    return found.pixels


def by_pil(file: bytes, short_side: int, *, draft: bool) -> Pixels:
    """Decode by PIL without Podium's checks; with `draft` libjpeg decodes in a smaller scale."""
    with Image.open(io.BytesIO(file)) as image:
        if draft:
            scale = short_side / min(image.size)
            image.draft(None, (int(image.width * scale) + 1, int(image.height * scale) + 1))
        return decode.shrink(np.asarray(image.convert("RGB")), short_side)


def by_cv2(file: bytes, short_side: int, flag: int) -> Pixels:
    """Decode by OpenCV, which turns by EXIF itself."""
    found = cv2.imdecode(np.frombuffer(file, np.uint8), flag)
    if found is None:
        raise ValueError("not read")
    return np.asarray(cv2.cvtColor(decode.shrink(np.asarray(found, np.uint8), short_side), cv2.COLOR_BGR2RGB), np.uint8)


def by_simplejpeg(file: bytes, short_side: int, *, scaled: bool) -> Pixels:
    """Decode by simplejpeg, which raises where libjpeg warns."""
    import simplejpeg  # type: ignore[import-not-found]

    least = short_side if scaled else 0
    return decode.shrink(simplejpeg.decode_jpeg(file, "RGB", min_height=least, min_width=least), short_side)


def scale_of(file: bytes, short_side: int) -> int:
    """Return the largest of 1, 2, 4, 8 by which a JPEG can be reduced without falling below the short side."""
    with Image.open(io.BytesIO(file)) as image:
        fits = [scale for scale in (1, *REDUCED) if min(image.size) >= short_side * scale]
    return max(fits, default=1)


def rows(files: Sequence[bytes], short_side: int, repeats: int) -> Iterator[str]:
    """Measure all decoders by turns; yield name, least ms an image, ratio, and mean and largest difference."""
    ways = decoders()
    seconds = {name: [float("inf")] * len(files) for name in ways}
    for _ in range(repeats):
        for name, decoder in ways.items():
            for k, file in enumerate(files):
                start = time.process_time()
                decoder(file, short_side)
                seconds[name][k] = min(seconds[name][k], time.process_time() - start)
    own = [by_podium(file, short_side).astype(np.int16) for file in files]
    for name, decoder in ways.items():
        apart = [np.abs(decoder(file, short_side) - pixels) for file, pixels in zip(files, own, strict=True)]
        mean, most = float(np.mean([one.mean() for one in apart])), max(int(one.max()) for one in apart)
        took = float(np.mean(seconds[name]))
        ratio = took / float(np.mean(seconds[OWN]))
        yield f"{name} | {took * SECOND:.1f} | {ratio:.2f} | {mean:.2f} | {most}"


def photos(folder: Path | None, size: tuple[int, int], count: int) -> Iterator[Pixels]:
    """Yield photos (height, width, 3) of a width and height; large ones are tiled with many small ones."""
    paths = sorted(folder.rglob("*.jpg")) if folder is not None else []
    width, height = size
    across, down = max(1, width // TILE), max(1, height // TILE)
    for number in range(count):
        tiles = [_tile(paths, number + count * k) for k in range(across * down)]
        lines = [np.concatenate(tiles[k : k + across], axis=1) for k in range(0, len(tiles), across)]
        yield np.asarray(cv2.resize(np.concatenate(lines), size, interpolation=cv2.INTER_AREA), np.uint8)


def _tile(paths: Sequence[Path], number: int) -> Pixels:
    if paths:
        photo = by_pil(paths[number % len(paths)].read_bytes(), TILE, draft=False)
    else:
        corners = np.random.default_rng(number).integers(0, 256, (12, 16, 3), dtype=np.uint8)
        photo = np.asarray(cv2.resize(corners, (TILE, TILE), interpolation=cv2.INTER_CUBIC), np.uint8)
    return np.asarray(cv2.resize(photo, (TILE, TILE)), np.uint8)


def as_jpeg(photo: Pixels, mode: str = "RGB", **options: object) -> bytes:
    """Return a photo as the bytes of a JPEG."""
    file = io.BytesIO()
    Image.fromarray(photo).convert(mode).save(file, "JPEG", quality=QUALITY, **options)
    return file.getvalue()


def specials() -> dict[str, bytes]:
    """Return JPEGs that need more than plain decoding."""
    photo = next(photos(None, SIZES[0.3], 1))
    plain = as_jpeg(photo)
    exif = Image.Exif()
    exif[decode._ORIENTATION] = 6
    return {
        "plain": plain,
        "progressive": as_jpeg(photo, progressive=True),
        "grey": as_jpeg(photo, "L"),
        "CMYK": as_jpeg(photo, "CMYK"),
        "EXIF turns it": as_jpeg(photo, exif=exif.tobytes()),
        "second half missing": plain[: len(plain) // 2],
        "damaged in the middle": plain[: len(plain) // 2] + b"\xff\xd9" * 20 + plain[len(plain) // 2 + 40 :],
    }


def outcome(decoder: Decoder, file: bytes) -> str:
    """Return "same" pixels as Podium's, how far they are from them, or "error"."""
    own, other = _decoded(by_podium, file), _decoded(decoder, file)
    if own is None or other is None:
        return "error" if other is None else "pixels, no error"
    if own.shape != other.shape:
        return "not turned"
    return "same" if (own == other).all() else f"differs by up to {np.abs(own - other).max()}"


def _decoded(decoder: Decoder, file: bytes) -> NDArray[np.int16] | None:
    try:
        return decoder(file, SIZES[0.3][1]).astype(np.int16)
    except Exception:  # whatever a decoder raises
        return None


if __name__ == "__main__":
    cli.run(main)
