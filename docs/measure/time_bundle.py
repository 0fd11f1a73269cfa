"""Time a bundle against `make predict`'s code, and compare their tables: `python -m docs.measure.time_bundle ...`.

    python -m docs.measure.time_bundle ROOT BUNDLE IMAGES [--images 1000] [--cores 1 2] [--rounds 1]

ROOT is a finished project and BUNDLE a bundle of it. Both ways predict the same images with the bundle's recipe, each
in a new process on the first cores of the machine, in turns, so that other work on the machine meets both. IMAGES is a
folder; its images are repeated until there are enough. Times: `start` is until the first image is predicted, imports
included; `one` is the median of five single images after that; `many` is for all of them. Processor seconds (on one
core alone, where images are decoded in the same process) depend less on other work than seconds do.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from podium.core import cli, tables

WAYS = ("onnx", "torch")
ONE = 5  # single images
Predict = Callable[[list[Path]], pd.DataFrame]


def main(*words: str) -> None:
    """Print a row of times per way and number of cores, and how far the tables differ."""
    parser = argparse.ArgumentParser(prog="python -m docs.measure.time_bundle", description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("folder", type=Path, metavar="IMAGES")
    parser.add_argument("--images", type=int, default=0, help="how many; default: as many as there are")
    parser.add_argument("--cores", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=1, help="the fastest one counts")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    asked = parser.parse_args(words)
    if asked.way:
        _child(asked)
        return
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as name:
        images = _repeated(asked.folder, asked.images, Path(name))
        for cores in asked.cores:
            rounds = [{way: _run(asked, images, cores, way) for way in WAYS} for _ in range(asked.rounds)]
            for way in WAYS:
                _print_row(way, cores, [found[way] for found in rounds])
        _compare(*(tables.read_text_csv(images.parent / f"{way}.csv").set_index("image_id") for way in WAYS))


def _repeated(folder: Path, wanted: int, home: Path) -> Path:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    (home / "images").mkdir()
    for k in range(wanted or len(files)):
        source = files[k % len(files)]
        shutil.copy(source, home / f"images/{k // len(files)}_{'_'.join(source.relative_to(folder).parts)}")
    return home / "images"


def _run(asked: argparse.Namespace, images: Path, cores: int, way: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "docs.measure.time_bundle", str(asked.root), str(asked.bundle), str(images)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(cores), "PODIUM_PROGRESS": "0"}
    environment |= {"PODIUM_WORKERS": "0"} if cores == 1 else {}
    done = subprocess.run(
        [*command, "--way", way, "--cores", str(cores)], env=environment, text=True, stdout=subprocess.PIPE, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _print_row(way: str, cores: int, rounds: list[dict[str, Any]]) -> None:
    least = {key: min(found[key] for found in rounds) for key in rounds[0]}
    own = f" ({least['one_cpu']:.3f} and {least['many_cpu']:.1f} processor s)" if cores == 1 else ""
    print(
        f"{way}, {cores} cores: start {least['start']:.1f} s, one image {least['one']:.3f} s, {least['n']} images"
        f" {least['many']:.1f} s{own}"
    )


def _compare(one: pd.DataFrame, other: pd.DataFrame) -> None:
    columns = [name for name in one.columns if name.startswith(tables.PROBABILITY)]
    read = (one["problem"] == "") & (other.loc[one.index, "problem"] == "")
    first, second = (table.loc[one.index][read] for table in (one, other))
    differ = {name: int((first[name] != second[name]).sum()) for name in ("label", "unlike_training")}
    largest = (first[columns].astype(float) - second[columns].astype(float)).abs().to_numpy().max()
    print(f"{len(first)} images; that differ: {differ}; largest difference in probability {largest:.1e}")


def _child(asked: argparse.Namespace) -> None:
    """Predict in this process and print the times."""
    begun = time.perf_counter()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: asked.cores[0]])
    files = sorted(path for path in asked.folder.iterdir() if path.is_file())
    predict = _onnx(asked) if asked.way == "onnx" else _torch(asked)
    predict(files[:1])
    found: dict[str, Any] = {"n": len(files), "start": time.perf_counter() - begun}
    singles = [_timed(predict, [file]) for file in files[1 : 1 + ONE]]
    found["one"], found["one_cpu"] = (statistics.median(times) for times in zip(*singles, strict=True))
    clock, processor = time.perf_counter(), time.process_time()
    table = predict(files)
    found["many"], found["many_cpu"] = time.perf_counter() - clock, time.process_time() - processor
    table.to_csv(asked.folder.parent / f"{asked.way}.csv", index=False)
    print(json.dumps(found))


def _timed(predict: Predict, files: list[Path]) -> tuple[float, float]:
    clock, processor = time.perf_counter(), time.process_time()
    predict(files)
    return time.perf_counter() - clock, time.process_time() - processor


def _onnx(asked: argparse.Namespace) -> Predict:
    """Return the bundle's way."""
    sys.path.insert(0, str(asked.bundle))
    import predict as script  # type: ignore[import-not-found]

    bundle = script.load(asked.bundle)
    header = ["image_id", "label", "unlike_training", "novelty", "problem"]
    header += [tables.PROBABILITY + name for name in bundle.recipe["classes"]]

    def run(files: list[Path]) -> pd.DataFrame:
        named = [(file.name, file) for file in files]
        starts = range(0, len(named), script.CHUNK)
        return pd.DataFrame([row for k in starts for row in bundle.rows(named[k : k + script.CHUNK])], columns=header)

    return run


def _torch(asked: argparse.Namespace) -> Predict:
    """Return the way of `make predict`, with the bundle's recipe."""
    from podium.ensembling import recipe_schema
    from podium.images import image_files
    from podium.models.settings import TorchSettings
    from podium.serving import image_stream, network_passes, new_predictions

    recipe = recipe_schema.read(asked.bundle / "recipe.json")
    settings = TorchSettings(device="cpu", threads=asked.cores[0])
    builder = network_passes.NetworkBuilder(recipe, asked.root, settings)
    predictor = new_predictions.BlendPredictor(recipe, asked.root, builder)
    size = new_predictions.chunk_size(network_passes.batch_sizes(recipe))

    def run(files: list[Path]) -> pd.DataFrame:
        chunks = image_stream.chunks([image_files.of_file(file) for file in files], recipe.prepare, size)
        found = [
            new_predictions.rows(recipe, chunk.problems, chunk.packed.image_ids, *predictor.predict(chunk))
            for chunk in chunks
        ]
        return pd.concat(found)

    return run


if __name__ == "__main__":
    cli.run(main)
