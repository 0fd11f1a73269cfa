"""Pack a trained project for a Kaggle notebook without internet: `python -m tools.kaggle [kaggle] [podium] [bundle]`.

It writes a folder for each data set: project (code, settings, folds), weights (pretrained), bundle (of `make bundle`)
and wheels (onnxruntime, which Kaggle lacks). docs/kaggle.md says how to upload them and what to type in the notebook.
"""

import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from podium.core import cli, params, tables
from podium.core.errors import InputError, some
from podium.core.placeholders import NO_FILE
from podium.serving import zip_files

HERE = Path(__file__).parents[1]
CODE = (
    *("podium", "stages", "tools", "recipes", "placeholders", ".dvc/plots", ".dvc/config", ".dvcignore", ".gitignore"),
    *("dvc.yaml", "params.schema.json", "pyproject.toml", "requirements.lock", "Makefile"),
)
OWN = ("params.yaml", "data/split/folds.csv")  # of the trained project
WHEELS = ("flatbuffers", "protobuf", "packaging")  # what onnxruntime needs beside numpy
PYTHONS = ("3.11", "3.12", "3.13")  # Kaggle changes its version now and then
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux2014_x86_64")
OWNER = "OWNER"  # to be replaced by the user's name


def main(out: str = "kaggle", prefix: str = "podium", bundle_folder: str = "bundle", *, root: Path = Path()) -> None:
    """Write the data sets' folders.

    Args:
        out: their folder.
        prefix: of their names, which Kaggle wants to be 6 to 50 characters long.
        bundle_folder: of `make bundle`.
        root: of the project.

    Raises:
        InputError: the bundle is missing, or the project is not trained.
    """
    if not (root / bundle_folder / "manifest.json").is_file():
        raise InputError(f"{bundle_folder}: no bundle there; run `make bundle` first")
    if missing := [name for name in OWN if not (root / name).is_file()]:
        raise InputError(f"{missing[0]}: not found; run `make` first")
    weights = _weights(root)
    names = ("project", "bundle", "wheels", *(["weights"] if weights else []))
    folders = {name: Path(out) / f"{prefix}-{name}" for name in names}
    for folder in folders.values():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        metadata = {"title": folder.name, "id": f"{OWNER}/{folder.name}", "licenses": [{"name": "other"}]}
        tables.write_json(metadata, folder / "dataset-metadata.json")
    _pack_project(folders["project"] / "project", root)
    for path in weights:
        _copy(root / path, folders["weights"] / "weights" / path)
    shutil.copytree(root / bundle_folder, folders["bundle"] / "bundle")
    for name in folders.keys() - {"wheels"}:
        zip_files.write(folders[name] / name)
        shutil.rmtree(folders[name] / name)
    _download_wheels(folders["wheels"])
    print(f"kaggle: put your user name in place of {OWNER} in {out}/*/dataset-metadata.json, then upload each folder:")
    for folder in folders.values():
        print(f"kaggle:   kaggle datasets create -p {folder}   ({_megabytes(folder):.1f} MB)")
    print("kaggle: docs/kaggle.md has the notebook's cell")


def _pack_project(folder: Path, root: Path) -> None:
    overrides = str(params.section(params.read(root), "contest").get("overrides", NO_FILE))
    for name in CODE:
        _copy(HERE / name, folder / name)
    for name in (*OWN, *([] if Path(overrides).is_absolute() or not (root / overrides).is_file() else [overrides])):
        _copy(root / name, folder / name)


def _weights(root: Path) -> list[str]:
    """Return the paths of the pretrained weights that params.yaml names."""
    members: dict[str, Any] = params.section(params.read(root), "members")
    named = {str(member["model"].get("weights_file", NO_FILE)) for member in members.values()} - {NO_FILE}
    if absolute := sorted(path for path in named if Path(path).is_absolute()):
        print(f"kaggle: WARNING: {some(absolute)}: an absolute path, which the notebook does not have; left out")
    return sorted(named.difference(absolute))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def _download_wheels(folder: Path) -> None:
    """Get onnxruntime for each version of Python that the notebook may have; say so where pip cannot."""
    platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--retries=1"]
    for python in PYTHONS:
        words = ["--python-version", python, *platforms, "--dest", str(folder)]
        wanted = [f"onnxruntime=={version('onnxruntime')}", *WHEELS]
        done = subprocess.run([*command, *words, *wanted], text=True, capture_output=True, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            print(f"kaggle: WARNING: pip cannot get onnxruntime for Python {python}: {last}")


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


if __name__ == "__main__":
    cli.run(main)
