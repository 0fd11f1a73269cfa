"""Stage distill on a tiny contest: a student learns from its own fold's teacher alone."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from podium.core import tables
from podium.core.errors import InputError
from stages import distill, infer
from tests import test_stage_pseudo as pseudo

SETTINGS = {"epochs": 8, "batch_size": 4, "lr": 0.01, "weight": 4}


def write_teacher(root: Path, of_fold: str) -> None:
    """Write what the models of `of_fold` predict of test images as the teacher of fold 0."""
    rows = tables.read(root / "data/infer/a.parquet", tables.PREDICTIONS)
    rows = rows[(rows["subset"] == "test") & (rows["image_size"] == 32) & (rows["transform"] == "identity")]
    table = rows[rows["fold"] == of_fold].assign(fold="0", image_size=0)
    tables.write(table, root / "data/ensemble/teacher/0.parquet", tables.PREDICTIONS)


@pytest.fixture(scope="module")
def contests(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The same contest twice; in the second one, all labels of fold 0 are turned over."""
    found = []
    for flip in (False, True):
        root = tmp_path_factory.mktemp("contest")
        pseudo.train(root, flip_fold_0=flip)
        infer.main("a", root=root)
        found.append(root)
    return found


def run(source: Path, root: Path, teacher: str = "0", **settings: Any) -> bytes:
    """Copy a trained contest, write a teacher, run `distill` on fold 0, and return the student's weights."""
    shutil.copytree(source, root)
    with (root / "params.yaml").open("a") as opened:
        opened.write(f"distill: {{a: {SETTINGS | settings}}}\n")
    write_teacher(root, teacher)
    distill.main("a", "0", root=root)
    return (root / "models/distill/a/0.safetensors").read_bytes()


def label_probs(root: Path) -> Any:
    return pseudo.held_out_probs(root, "distill")


def test_test_images_alone_are_taught_and_the_held_out_fold_is_predicted(
    contests: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = run(contests[0], tmp_path / "run")
    assert "distill@a-0: 4 of 4 images get a pseudo-label" in capsys.readouterr().out
    assert len(label_probs(tmp_path / "run")) == 4
    distill.main("a", "0", root=tmp_path / "run")
    assert (tmp_path / "run/models/distill/a/0.safetensors").read_bytes() == first


def test_no_held_out_label_reaches_a_student_and_a_planted_leak_would_be_seen(
    contests: list[Path], tmp_path: Path
) -> None:
    honest = [run(source, tmp_path / f"honest{i}") for i, source in enumerate(contests)]
    assert honest[0] == honest[1]
    for i, source in enumerate(contests):
        run(source, tmp_path / f"leak{i}", teacher="1")  # fold 1's model has learned the labels of fold 0
    leaked = label_probs(tmp_path / "leak0") + label_probs(tmp_path / "leak1")
    assert np.mean(leaked) > 1.2  # a student that knows no label gives the two labels 1 together
    np.testing.assert_allclose(label_probs(tmp_path / "honest0") + label_probs(tmp_path / "honest1"), 1, atol=1e-6)


def test_without_test_images_there_is_nothing_to_learn_from(contests: list[Path], tmp_path: Path) -> None:
    shutil.copytree(contests[0], tmp_path, dirs_exist_ok=True)
    with (tmp_path / "params.yaml").open("a") as opened:
        opened.write(f"distill: {{a: {SETTINGS}}}\n")
    path = tmp_path / "data/ensemble/teacher/0.parquet"
    tables.write(tables.empty_predictions(["blue", "red"]), path, tables.PREDICTIONS)
    with pytest.raises(InputError, match=r"teacher/0\.parquet: predicts no test image"):
        distill.main("a", "0", root=tmp_path)
