"""Feed damaged files to Podium: `python -m docs.measure.fuzz [--seed N] [--images N] [--tables N] [--params N]`.

Damaged images go through the reader of `prepare`, damaged CSVs and params.yaml through `check` and `label`. Each must
end in a result or in an error that names the file or the key. A process that takes longer than LIMIT seconds for a file
ends by SIGALRM, and one that needs more than MEMORY bytes gets a MemoryError. The table shows how the files ended.
"""

import argparse
import contextlib
import io
import json
import random
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from podium.core import cli
from podium.core.errors import InputError
from podium.images import image_files
from stages import check, label, prepare

LIMIT = 20  # seconds for one file
MEMORY = 8 * 2**30  # bytes of address space of a process; torch's libraries alone take some
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


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(width: int, height: int, pixels: bytes, *extra: bytes) -> bytes:
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(extra) + _chunk(b"IDAT", zlib.compress(pixels)) + _chunk(b"IEND", b"")


def _bomb(_: bytes, rng: random.Random) -> bytes:
    """Return a small file that declares or unpacks to much more than it holds."""
    side = rng.choice((9_000, 40_000, 2**31 - 1))
    zeros = zlib.compress(bytes(50_000_000))
    return rng.choice(
        (
            _png(side, side, bytes(10**6)),
            _png(8, 8, bytes(10**8)),
            _png(8, 8, bytes(72), _chunk(b"zTXt", b"k\0\0" + zeros)),
            _png(8, 8, bytes(72), _chunk(b"iCCP", b"k\0\0" + zeros)),
            b"P6 %d %d 255\n" % (side, side),
            b"BM" + struct.pack("<IIIIiiHHIIiiII", 54, 0, 54, 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0),
            b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0) + bytes(6) + b"\x2c" + bytes(8) + b"\x00;",
        )
    )


def _animation(_: bytes, rng: random.Random) -> bytes:
    """Return an animation of many frames that is shown without end."""
    frames = [Image.new("P", (8, 8), number % 256) for number in range(rng.choice((2, 2000)))]
    buffer = io.BytesIO()
    frames[0].save(buffer, rng.choice(("GIF", "WEBP", "PNG")), save_all=True, append_images=frames[1:], loop=0)
    data = buffer.getvalue()
    return data.replace(b"acTL\0\0", b"acTL\xff\xff") if rng.random() < 0.5 else data


def _profile(data: bytes, rng: random.Random) -> bytes:
    """Return a JPEG, PNG or WEBP whose ICC profile and EXIF are noise or point to themselves."""
    loop = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x87\x69\0\x04\0\0\0\x01\0\0\0\x08\0\0\0\x08"
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(
        buffer,
        rng.choice(("JPEG", "PNG", "WEBP")),
        icc_profile=rng.randbytes(rng.choice((10, 60_000))),
        exif=rng.choice((loop, b"Exif\0\0" + rng.randbytes(rng.choice((6, 5000))))),
    )
    return buffer.getvalue()


IMAGE_DAMAGES: dict[str, Damage] = {
    "cut": _cut,
    "bits": _flip,
    "header": _header,
    "length": _length,
    "splice": _splice,
    "bomb": _bomb,
    "animation": _animation,
    "profile": _profile,
    "ending": lambda data, _: data,
}


def _whole_images() -> dict[str, bytes]:
    """Return an image of each format that Podium reads, and of some variants, by ending."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 52, 3), dtype=np.uint8)
    image, frames = Image.fromarray(noise), [Image.fromarray(noise // 2)]
    forms: dict[str, tuple[Image.Image, str, dict[str, Any]]] = {
        "jpg": (image, "JPEG", {}),
        "progressive.jpg": (image, "JPEG", {"progressive": True}),
        "png": (image, "PNG", {}),
        "apng": (image, "PNG", {"save_all": True, "append_images": frames}),
        "deep.png": (Image.fromarray(noise[..., 0].astype(np.uint16) * 256), "PNG", {}),
        "gif": (image.convert("P"), "GIF", {"save_all": True, "append_images": frames}),
        "bmp": (image, "BMP", {}),
        "ppm": (image, "PPM", {}),
        "tif": (image, "TIFF", {}),
        "lzw.tif": (image, "TIFF", {"compression": "tiff_lzw"}),
        "jpeg.tif": (image, "TIFF", {"compression": "jpeg"}),
        "webp": (image, "WEBP", {}),
        "lossless.webp": (image, "WEBP", {"lossless": True}),
        "mpo": (image, "MPO", {"save_all": True, "append_images": frames}),
        "avif": (image, "AVIF", {}),
    }
    whole = {}
    for ending, (picture, kind, options) in forms.items():
        buffer = io.BytesIO()
        picture.save(buffer, kind, **options)
        whole[ending] = buffer.getvalue()
    return whole


def damaged_images(count: int, rng: random.Random) -> Iterator[tuple[str, str, bytes]]:
    """Yield (kind, file name, content) of damaged images, each kind as often and of every format."""
    whole, kinds = _whole_images(), list(IMAGE_DAMAGES)
    for number in range(count):
        kind, ending = kinds[number % len(kinds)], rng.choice(list(whole))
        shown = rng.choice(list(whole)) if kind == "ending" else ending
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
    "",
    "nan",
    "NA",
    "None",
    "True",
    "../../etc/passwd",
    "/",
    "\u200b",
    "=1+1",
    "\x1b[2J",
    "x" * 10**5,
    "0",
    "-0.0",
    "1e999",
)


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
    place: Any = values
    while True:
        key = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or rng.random() < 0.2:
            break
        place = inner
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
            text + "members: &m {a: *m}\n",
            text + "x: " + "[" * 10_000,
            text + "x: !!python/object/apply:os.system [true]\n",
            text + "x: 2026-13-45\n",
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
            kind, name = kinds[number % len(kinds)], files[number % len(files)]
            yield f"{Path(name).name}: {kind}", name, damages[kind](whole[name], rng)


def outcome_of_image(path: Path) -> str:
    """Read an image as `prepare` does; return "result" or "named error"."""
    facts, _ = image_files.read(image_files.of_file(path), short_side=384, max_megapixels=120.0)
    return "named error" if facts["problem"] else "result"


def outcome_of_input(root: Path, whole: dict[str, bytes], name: str, data: bytes) -> str:
    """Run `check` and `label` with a damaged file in place of a whole one; return how it ended."""
    (root / name).write_bytes(data)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            check.main("settings", root=root)
            label.main(root=root)
    except InputError as error:
        return "named error" if any(known in str(error) for known in NAMES) else f"unnamed error: {error}"
    finally:
        (root / name).write_bytes(whole[name])
    return "result"


def _work(folder: Path, root: Path, whole: dict[str, bytes]) -> None:
    """Try the files of a folder that stdin names; print a line of JSON before and after each (in a process of its own)."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for line in sys.stdin:
        case = json.loads(line)
        print(json.dumps({"begun": case["file"]}), flush=True)
        path, started = folder / case["file"], time.monotonic()
        signal.alarm(LIMIT)
        try:
            found = (
                outcome_of_image(path)
                if not case["name"]
                else outcome_of_input(root, whole, case["name"], path.read_bytes())
            )
        except Exception as error:
            found = f"traceback: {type(error).__name__}: {str(error)[:200]}"
        signal.alarm(0)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({"file": case["file"], "found": found, "seconds": time.monotonic() - started, "peak": peak}))


def run(cases: list[dict[str, str]], folder: Path, root: Path) -> list[dict[str, Any]]:
    """Try all cases in processes of their own; a file that ends its process is a result "process ended by ..."."""
    done: list[dict[str, Any]] = []
    while len(done) < len(cases):
        rest = cases[len(done) :]
        worker = subprocess.run(
            (sys.executable, "-m", "docs.measure.fuzz", "--work", str(folder), str(root)),
            input="".join(json.dumps(case) + "\n" for case in rest),
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        lines = [json.loads(line) for line in worker.stdout.splitlines()]
        done += [line for line in lines if "found" in line]
        if len(done) < len(cases):
            ended = f"traceback: process ended by {worker.returncode}"
            done.append({"file": cases[len(done)]["file"], "found": ended, "seconds": float(LIMIT), "peak": 0})
    return done


def _report(cases: list[dict[str, str]], done: list[dict[str, Any]]) -> int:
    """Print the table, and the files that ended in neither a result nor a named error; return their number."""
    print(
        "| kind | files | results | named errors | others | longest, s | peak memory, MiB |\n|---|---|---|---|---|---|---|"
    )
    bad = [(case, end) for case, end in zip(cases, done, strict=True) if end["found"] not in ("result", "named error")]
    for kind in dict.fromkeys(case["kind"] for case in cases):
        ends = [end for case, end in zip(cases, done, strict=True) if case["kind"] == kind]
        found = [end["found"] for end in ends]
        good = [found.count(one) for one in ("result", "named error")]
        longest, peak = max(end["seconds"] for end in ends), max(end["peak"] for end in ends)
        counts = f"{len(ends)} | {good[0]} | {good[1]} | {len(ends) - sum(good)}"
        print(f"| {kind} | {counts} | {longest:.2f} | {peak / 2**20:.0f} |")
    for case, end in bad:
        print(f"{case['kind']}: {case['file']}: {end['found']}")
    return len(bad)


def main(*words: str) -> None:
    """Write the damaged files, try them and print the table."""
    parser = argparse.ArgumentParser(prog="python -m docs.measure.fuzz", description="Damaged files.")
    parser.add_argument("--seed", type=int, default=0)
    for name, count in (("images", 540), ("tables", 216), ("params", 100)):
        parser.add_argument(f"--{name}", type=int, default=count)
    parser.add_argument("--work", nargs=2, type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args(words)
    if asked.work:
        folder, root = asked.work
        _work(folder, root, {name: (root / name).read_bytes() for name in (*FILES, "params.yaml")})
        return
    rng = random.Random(asked.seed)
    with tempfile.TemporaryDirectory() as top:
        folder, root = Path(top, "damaged"), Path(top, "project")
        folder.mkdir()
        root.mkdir()
        whole = write_project(root, yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8")))
        cases = []
        for kind, name, data in damaged_images(asked.images, rng):
            (folder / name).write_bytes(data)
            cases.append({"kind": f"image: {kind}", "file": name, "name": ""})
        for number, (kind, name, data) in enumerate(damaged_inputs(whole, asked.tables, asked.params, rng)):
            (folder / f"input{number}").write_bytes(data)
            cases.append({"kind": kind, "file": f"input{number}", "name": name})
        if _report(cases, run(cases, folder, root)):
            raise SystemExit(1)


FILES = ("c/labels.csv", "c/template.csv", "c/overrides.csv")

if __name__ == "__main__":
    cli.run(main)
