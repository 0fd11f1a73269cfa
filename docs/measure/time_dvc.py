"""Measure the time that DVC itself takes for a graph: `python -m docs.measure.time_dvc [--members M] [--folds F]`.

Builds a temporary repository with the real dvc.yaml, M members and F folds. Its stages are quick stand-ins
(tests/standin.py), so nearly all of the time is DVC's own and that of starting Python. Prints processor time and time
by the clock; on an idle machine the two are about the same. `--images N` adds N files of a few bytes to the train
folder, outside git as after `dvc add`. `--checkout PATH` measures the dvc.yaml of another checkout, such as a git
worktree of an older commit.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import yaml

from podium.core import cli
from podium.core.errors import InputError
from tests import graph

REPEATS = 3  # of the run with nothing to do
CODE = ("podium/", "stages/")


def main(*words: str) -> None:
    """Build the repository, run it, and print counts and seconds."""
    parser = argparse.ArgumentParser(prog="python -m docs.measure.time_dvc", description="Time of DVC itself.")
    parser.add_argument("--members", type=int, default=5)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--images", type=int, default=0, help="more train images than a few")
    parser.add_argument("--checkout", type=Path, default=graph.PROJECT, help="default: this one")
    parser.add_argument("--no-force", action="store_true", help="measure the first run and the idle one alone")
    asked = parser.parse_args(words)
    if asked.members < 1 or asked.folds < 1:
        parser.error("--members and --folds must be at least 1")
    if not (asked.checkout / "dvc.yaml").exists():
        raise InputError(f"--checkout {asked.checkout}: has no dvc.yaml")
    members = {f"m{index}": graph.member() for index in range(asked.members)}
    with tempfile.TemporaryDirectory() as folder:
        repository = graph.build(Path(folder), range(asked.folds), members, asked.checkout.resolve(), plain_dvc=True)
        _add_images(repository.root / "data/contest", asked.images)
        first = _timed(repository)
        repository.commit()
        size = f"{asked.members} members, {asked.folds} folds, {asked.images} more images"
        print(f"{size}: {len(repository.stages())} stages")
        print(f"dvc.yaml: {_lines(repository, 'dvc.yaml')} lines, {code_entries(asked.checkout)} code entries in deps")
        print(f"dvc.lock: {_lines(repository, 'dvc.lock')} lines", flush=True)
        _print("dvc repro of everything, the first time", first)
        _print(f"dvc repro with nothing to do, least of {REPEATS}", min(_timed(repository) for _ in range(REPEATS)))
        if not asked.no_force:
            _print("dvc repro -f", _timed(repository, "-f"))


def _add_images(contest: Path, count: int) -> None:
    if count:
        (contest / ".gitignore").write_text("/train/\n", encoding="utf-8")
    for number in range(count):
        (contest / f"train/{number:08}.jpg").write_text(f"{number}", encoding="utf-8")


def code_entries(checkout: Path) -> int:
    """Count the files and folders of code in the deps of dvc.yaml."""
    stages = yaml.safe_load((checkout / "dvc.yaml").read_text(encoding="utf-8"))["stages"].values()
    return sum(dep.startswith(CODE) for stage in stages for dep in stage.get("do", stage)["deps"])


def _lines(repository: graph.Graph, name: str) -> int:
    return len(repository.read(name).splitlines())


def _timed(repository: graph.Graph, *options: str) -> tuple[float, float]:
    """Return seconds of processor time, and by the clock."""
    clock, used = time.perf_counter(), _used()
    repository.repro(*options)
    return _used() - used, time.perf_counter() - clock


def _used() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _print(what: str, seconds: tuple[float, float]) -> None:
    print(f"{what}: {seconds[0]:.2f} s of processor time, {seconds[1]:.2f} s by the clock", flush=True)


if __name__ == "__main__":
    cli.run(main)
