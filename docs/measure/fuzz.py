"""Feed damaged files to Podium: `python -m docs.measure.fuzz [--seed N] [--images N] [--tables N] [--params N]`.

Damaged images go through the reader of `prepare`, damaged CSVs and params.yaml through `check settings` and `label`.
Each must end in a result, or in an error that names the file or the key. Each is tried in a process of its own, which
the system ends after SECONDS of processor time, and which gets a MemoryError beyond MEMORY bytes. The table shows how
the files ended; those that ended in neither way are listed, and stay in --keep.
"""

import argparse
import contextlib
import io
import os
import random
import resource
import signal
import struct
import subprocess
import tempfile
import traceback
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from PIL import Image

from podium.core import cli
from podium.core.errors import InputError
from podium.images import image_files
from podium.images.arrays import Scaling
from podium.images.settings import PrepareSettings
from stages import check, label, prepare

SECONDS = 20  # of processor time for one file; of the clock ten times that
MEMORY = 4 * 2**30  # bytes of address space for one file, beside what Python and its libraries have
GOOD = ("result", "named error")
CHANNELS = (3, 2)  # each image is read as RGB, and as a stack of two frames
NAMES = ("labels.csv", "template.csv", "overrides.csv", "params.yaml", "contest.")  # one is in every error's message
CONTEST = {
    "images": {"train": "c/train", "test": "c/test"},
    "labels": "c/labels.csv",
    "overrides": "c/overrides.csv",
    "template": "c/template.csv",
    "columns": {"id": "image_id", "label": "label", "group": None, "fold": None},
}
Damage = Callable[[bytes, random.Random], bytes]


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _flip(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data or b"\0")
    for _ in range(rng.randint(1, 20)):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _header(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for place in rng.sample(range(min(64, len(data))), min(4, len(data))):
        changed[place] = rng.randrange(256)
    return bytes(changed)


def _length(data: bytes, rng: random.Random) -> bytes:
    """Write an extreme number over four bytes, where formats keep sizes, counts and offsets."""
    place, value = rng.randrange(max(1, min(400, len(data) - 4))), rng.choice((0, 1, 2**31 - 1, 2**31, 2**32 - 1))
    return data[:place] + value.to_bytes(4, rng.choice(("big", "little"))) + data[place + 4 :]


def _splice(data: bytes, rng: random.Random) -> bytes:
    place, other = rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)
    return data[:place] + rng.randbytes(rng.choice((1, 100, 5000))) + data[other:]


def _png(width: int, height: int, pixels: bytes, *extra: tuple[bytes, bytes]) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", head), *extra, (b"IDAT", zlib.compress(pixels)), (b"IEND", b""))
    written = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(written)


def deflated_dicom(megabytes: int) -> bytes:
    """Return a DICOM file that unpacks to zeros; it has a thousandth of their length."""
    data = dicom(np.zeros((8, 8), np.uint16), "1.2.840.10008.1.2.1.99")
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    zeros = packer.compress(bytes(10**6)) + packer.flush(zlib.Z_FULL_FLUSH)
    return data[: 144 + int.from_bytes(data[140:144], "little")] + zeros * megabytes + packer.flush()


def scans(data: bytes, count: int) -> bytes:
    """Return a progressive JPEG with its last scan repeated."""
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * count + data[-2:]


def _bomb(_: bytes, rng: random.Random) -> bytes:
    """Return a small file that declares or unpacks to much more than it holds."""
    side, zeros = rng.choice((9_000, 40_000, 2**31 - 1)), b"k\0\0" + zlib.compress(bytes(50_000_000))
    npy = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({side}, {side}), }}".ljust(117) + "\n"
    grey = np.zeros((8, 8), np.uint16)
    bombs: tuple[Callable[[], bytes], ...] = (
        lambda: _png(side, side, bytes(10**6)),
        lambda: _png(8, 8, bytes(10**8)),
        lambda: _png(8, 8, bytes(72), (b"zTXt", zeros)),
        lambda: _png(8, 8, bytes(72), (b"iCCP", zeros)),
        lambda: b"P6 %d %d 255\n" % (side, side),
        lambda: b"BM" + struct.pack("<IIIIiiHHIIiiII", 54, 0, 54, 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0),
        lambda: b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0) + bytes(6) + b"\x2c" + bytes(8) + b"\x00;",
        lambda: b"\x93NUMPY\x01\0v\0" + npy.encode(),
        lambda: scans(_saved(Image.new("RGB", (3000, 3000)), "JPEG", progressive=True), 20_000),
        lambda: dicom(grey, Columns=65535, Rows=65535),
        lambda: dicom(grey, NumberOfFrames=2**30),
        lambda: deflated_dicom(2_000),
    )
    return rng.choice(bombs)()


def _animation(_: bytes, rng: random.Random) -> bytes:
    """Return an animation of many frames that is shown without end, or with a chain of frames that is a circle."""
    frames = [Image.new("P", (8, 8), number % 256) for number in range(rng.choice((2, 2000)))]
    kind = rng.choice(("GIF", "WEBP", "PNG", "TIFF"))
    data = _saved(frames[0], kind, save_all=True, append_images=frames[1:], **{} if kind == "TIFF" else {"loop": 0})
    if kind == "TIFF":  # the offset of the next frame follows the entries of this one
        end = 8 + 2 + 12 * int.from_bytes(data[8:10], "little")
        return data[:end] + rng.choice((b"\x08\0\0\0", data[end : end + 4])) + data[end + 4 :]
    return data.replace(b"acTL\0\0", b"acTL\xff\xff") if rng.random() < 0.5 else data


def _profile(_: bytes, rng: random.Random) -> bytes:
    """Return a JPEG, PNG or WEBP whose ICC profile and EXIF are noise or point to themselves."""
    loop = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x87\x69\0\x04\0\0\0\x01\0\0\0\x08\0\0\0\x08"
    return _saved(
        Image.new("RGB", (16, 16)),
        rng.choice(("JPEG", "PNG", "WEBP")),
        icc_profile=rng.randbytes(rng.choice((10, 60_000))),
        exif=rng.choice((loop, b"Exif\0\0" + rng.randbytes(rng.choice((6, 5000))))),
    )


IMAGE_DAMAGES: dict[str, Damage] = {
    "cut": _cut,
    "bits": _flip,
    "header": _header,
    "length": _length,
    "splice": _splice,
    "bomb": _bomb,
    "animation": _animation,
    "profile": _profile,
    "another format's ending": lambda data, _: data,
}


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def dicom(values: np.ndarray[Any, Any], syntax: str = "1.2.840.10008.1.2.1", **tags: Any) -> bytes:
    """Return a DICOM file of unsigned 16-bit grey (height, width), with a transfer syntax and other tags."""
    import pydicom

    data = pydicom.Dataset()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = "1.2.3"
    known = {"Rows": values.shape[0], "Columns": values.shape[1], "SamplesPerPixel": 1, "PixelRepresentation": 0}
    known |= {"BitsAllocated": 16, "BitsStored": 12, "HighBit": 11, "WindowCenter": 500, "WindowWidth": 1000}
    for name, value in {**known, "PhotometricInterpretation": "MONOCHROME2", **tags}.items():
        setattr(data, name, value)
    data.PixelData = values.astype("<u2").tobytes()
    buffer = io.BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def whole_images() -> dict[str, bytes]:
    """Return an image of each format that Podium reads, and of some variants, by ending."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 52, 3), dtype=np.uint8)
    image, grey = Image.fromarray(noise), Image.fromarray(noise[..., 0])
    several: dict[str, Any] = {"save_all": True, "append_images": [Image.fromarray(noise // 2)]}
    array = io.BytesIO()
    np.save(array, noise.astype(np.float32))
    return {
        "jpg": _saved(image, "JPEG"),
        "progressive.jpg": _saved(image, "JPEG", progressive=True),
        "png": _saved(image, "PNG"),
        "apng": _saved(image, "PNG", **several),
        "deep.png": _saved(Image.fromarray(noise[..., 0].astype(np.uint16) * 256), "PNG"),
        "gif": _saved(image.convert("P"), "GIF", **several),
        "bmp": _saved(image, "BMP"),
        "ppm": _saved(image, "PPM"),
        "tif": _saved(image, "TIFF"),
        "lzw.tif": _saved(image, "TIFF", compression="tiff_lzw"),
        "jpeg.tif": _saved(image, "TIFF", compression="jpeg"),
        "stack.tif": _saved(grey, "TIFF", save_all=True, append_images=[grey]),
        "webp": _saved(image, "WEBP"),
        "lossless.webp": _saved(image, "WEBP", lossless=True),
        "mpo": _saved(image, "MPO", **several),
        "avif": _saved(image, "AVIF"),
        "npy": array.getvalue(),
        "dcm": dicom(noise[..., 0].astype(np.uint16) * 4),
    }


def damaged_images(count: int, rng: random.Random) -> Iterator[tuple[str, str, bytes]]:
    """Yield (kind, file name, content) of damaged images, all kinds and formats in turn."""
    whole, kinds = whole_images(), list(IMAGE_DAMAGES)
    for number in range(count):
        kind, ending = kinds[number % len(kinds)], list(whole)[number // len(kinds) % len(whole)]
        shown = rng.choice(list(whole)) if kind == kinds[-1] else ending
        yield kind, f"{number:04}.{shown}", IMAGE_DAMAGES[kind](whole[ending], rng)


def _text(change: Callable[[str, random.Random], str]) -> Damage:
    return lambda data, rng: change(data.decode(), rng).encode("utf-8", "surrogatepass")


def _row(text: str, rng: random.Random) -> str:
    """Replace, repeat or remove a line, the header too."""
    lines = text.splitlines(keepends=True)
    place = rng.randrange(len(lines))
    lines[place] = rng.choice(("", "\n\n", lines[place] * 2, "x" * 10**6 + "\n", ",,,,\n", lines[0], '"', "\0\n"))
    return "".join(lines)


ODD_CELLS = (
    *("", "nan", "NA", "None", "True", "0", "-0.0", "1e999", "1e999999999", "=1+1", "../../etc/passwd", "/", "."),
    *("\ud800", "\u200b", "\x1b[2J", "x" * 10**5, "\u0661", "{red|blue}", "red blue", "\\", "c/train/0.png", "0.png "),
)  # fmt: skip


def _cell(text: str, rng: random.Random) -> str:
    rows = [line.split(",") for line in text.splitlines()]
    row = rng.choice(rows)
    row[rng.randrange(len(row))] = rng.choice(ODD_CELLS)
    return "\n".join(map(",".join, rows)) + "\n"


def _encoding(data: bytes, rng: random.Random) -> bytes:
    text = data.decode()
    return rng.choice(
        (
            text.encode("utf-16"),
            text.encode("utf-32"),
            b"\xef\xbb\xbf" + data,
            text.replace("\n", "\r\n").encode(),
            text.replace("\n", "\r").encode(),
            text.replace(",", rng.choice(";\t|")).encode(),
            text.replace("red", "r\u00e9d").encode("latin-1"),
            zlib.compress(data),
        )
    )


TABLE_DAMAGES: dict[str, Damage] = {
    "cut": _cut,
    "bits": _flip,
    "splice": _splice,
    "row": _text(_row),
    "cell": _text(_cell),
    "encoding": _encoding,
}


def _value(text: str, rng: random.Random) -> str:
    """Replace a random value of params.yaml, or remove its key."""
    values = yaml.safe_load(text)
    place, key = values, rng.choice(list(values))
    while isinstance(place[key], dict | list) and place[key] and rng.random() < 0.8:
        place = place[key]
        key = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
    place[key] = rng.choice((None, [], {}, "", -1, 0, 1e308, float("nan"), True, "x" * 1000, [[1]], {"a": {}}, 10**30))
    if rng.random() < 0.2:
        del place[key]
    return yaml.safe_dump(values, sort_keys=False)


def _yaml_form(text: str, rng: random.Random) -> str:
    """Return YAML that is built to harm its reader."""
    laughs = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 30))
    return rng.choice(
        (
            laughs + text,
            text.replace("folds:", laughs + "folds:"),
            laughs + text.replace("accuracy", "*a29"),
            text + "members: &m {a: *m}\n",
            text + "x: " + "[" * 10_000,
            text + "x: " + "[" * 400 + "]" * 400,
            text + "x: !!python/object/apply:os.system [true]\n",
            text + "x: 2026-13-45\n",
            text + "x: 0x" + "f" * 10_000 + "\n",
            text + "folds: [0]\n",
            text.replace("  ", "\t"),
            text + "? [a]\n: b\n",
            text + "---\nsecond: document\n",
            text + "1: 2\n",
        )
    )


PARAMS_DAMAGES: dict[str, Damage] = {
    "cut": _cut,
    "bits": _flip,
    "splice": _splice,
    "value": _text(_value),
    "form": _text(_yaml_form),
}


def write_project(root: Path, values: dict[str, Any]) -> dict[str, bytes]:
    """Write a contest of 12 train and 4 test images and params.yaml; return the content of the files to damage.

    Args:
        root: folder, made a repository with a commit.
        values: of params.yaml; its section `contest` is replaced.
    """
    for subset, count in (("train", 12), ("test", 4)):
        (root / "c" / subset).mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (16, 16), (20 * i, 9, 99)).save(root / "c" / subset / f"{i}.png")
    files = {
        "c/labels.csv": "image_id,label\n" + "".join(f"{i}.png,{('red', 'blue')[i % 2]}\n" for i in range(12)),
        "c/template.csv": "image_id,label\n" + "".join(f"{i}.png,red\n" for i in range(4)),
        "c/overrides.csv": "image_id,action,reason\n2.png,blue,seen\n3.png,drop,blurred\n",
        "params.yaml": yaml.safe_dump(values | {"contest": {**values["contest"], **CONTEST}}, sort_keys=False),
    }
    for name, text in files.items():
        (root / name).write_text(text, encoding="utf-8")
    identity = ("-c", "user.name=tester", "-c", "user.email=tester@example.invalid")
    for words in (("init", "-q"), (*identity, "commit", "-q", "--allow-empty", "-m", "start")):
        subprocess.run(("git", *words), cwd=root, check=True)
    with contextlib.redirect_stdout(io.StringIO()):
        prepare.main("train", root=root)
    return {name: text.encode() for name, text in files.items()}


def damaged_inputs(
    whole: dict[str, bytes], tables: int, params: int, rng: random.Random
) -> Iterator[tuple[str, str, bytes]]:
    """Yield (kind, file name, content) of damaged CSVs and params.yaml; `whole` is what write_project returns."""
    names = [name for name in whole if name.endswith(".csv")]
    for count, files, damages in ((tables, names, TABLE_DAMAGES), (params, ["params.yaml"], PARAMS_DAMAGES)):
        kinds = list(damages)
        for number in range(count):
            kind, name = kinds[number % len(kinds)], files[number // len(kinds) % len(files)]
            yield f"{Path(name).name}: {kind}", name, damages[kind](whole[name], rng)


def read_image(path: Path) -> str:
    """Read an image as `prepare` does; return how it ended."""
    scaling = [Scaling.of(PrepareSettings(channels=channels)) for channels in CHANNELS]
    found = [image_files.read(image_files.of_file(path), scaling=one)[0]["problem"] for one in scaling]
    return GOOD[all(found)]


def run_stages(root: Path) -> str:
    """Run `check` and `label`; return how they ended."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            check.main("settings", root=root)
            label.main(root=root)
    except InputError as error:
        return GOOD[1] if any(name in str(error) for name in NAMES) else f"an error that names no file: {error}"
    return GOOD[0]


class Ending(NamedTuple):
    """How a file ended: one of GOOD or what went wrong, after seconds of processor time and a peak of memory."""

    found: str
    seconds: float
    mebibytes: float


def tried(action: Callable[[], str]) -> Ending:
    """Call `action` in a process of its own, with limits."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        resource.setrlimit(resource.RLIMIT_AS, (_address_space() + MEMORY,) * 2)
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        signal.alarm(10 * SECONDS)
        try:
            found = action()
        except BaseException:
            found = f"traceback: {traceback.format_exc()[-1500:]}"
        os.write(writing, found.encode(errors="replace")[:4000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as said:
        found = said.read().decode()
    _, status, used = os.wait4(child, 0)
    found = found or f"ended by signal {-os.waitstatus_to_exitcode(status)}"
    return Ending(found, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def _address_space() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()


def _report(endings: dict[str, list[Ending]]) -> None:
    print("| kind | files | results | named errors | others | longest, s of processor time | peak memory, MiB |")
    print("|---|---|---|---|---|---|---|")
    for kind, ends in endings.items():
        counts = Counter(end.found for end in ends)
        others = len(ends) - sum(counts[good] for good in GOOD)
        seconds, peak = max(end.seconds for end in ends), max(end.mebibytes for end in ends)
        print(
            f"| {kind} | {len(ends)} | {counts[GOOD[0]]} | {counts[GOOD[1]]} | {others} | {seconds:.2f} | {peak:.0f} |"
        )


def main(*words: str) -> None:
    """Write the damaged files, try them and print the table."""
    parser = argparse.ArgumentParser(prog="python -m docs.measure.fuzz", description="Damaged files.")
    parser.add_argument("--seed", type=int, default=0)
    for name, count in (("images", 540), ("tables", 216), ("params", 100)):
        parser.add_argument(f"--{name}", type=int, default=count)
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir(), "podium_fuzz"), help="a folder")
    asked = parser.parse_args(words)
    rng, endings, bad = random.Random(asked.seed), defaultdict[str, list[Ending]](list), list[str]()
    asked.keep.mkdir(exist_ok=True)

    def keep(kind: str, name: str, data: bytes, end: Ending) -> None:
        endings[kind].append(end)
        if end.found not in GOOD:
            (asked.keep / name).write_bytes(data)
            bad.append(f"{kind}: {asked.keep / name}: {end.found}")

    with tempfile.TemporaryDirectory() as top:
        for kind, name, data in damaged_images(asked.images, rng):
            Path(top, name).write_bytes(data)
            keep(f"image: {kind}", name, data, tried(lambda path=Path(top, name): read_image(path)))  # type: ignore[misc]
        root = Path(top, "project")
        whole = write_project(root, yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8")))
        for number, (kind, name, data) in enumerate(damaged_inputs(whole, asked.tables, asked.params, rng)):
            (root / name).write_bytes(data)
            keep(kind, f"{number:04}.{Path(name).name}", data, tried(lambda: run_stages(root)))
            (root / name).write_bytes(whole[name])
    _report(endings)
    print("\n".join(bad))
    if bad:
        raise SystemExit(1)


if __name__ == "__main__":
    cli.run(main)
