"""Stage distill on a tiny contest: a student learns from its own fold's teacher alone."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from podium.core import tables
from podium.core.errors import InputError
from stages import distill
from tests import test_stage_pseudo as pseudo

SETTINGS = {**pseudo.SETTINGS, **pseudo.STRONG}
TRAIN, TEST = "data/prepare/train/pixels.arrow", "data/prepare/test/pixels.arrow"


@pytest.fixture(scope="module")
def contests(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The same contest twice, its test images the same as its train images; in the second one, all labels of fold 0 are
    turned over.
    """
    found = []
    for flip in (False, True):
        root = tmp_path_factory.mktemp("contest")
        pseudo.train(root, ("0",), flip_fold_0=flip)
        shutil.copy(root / TRAIN, root / TEST)
        found.append(root)
    return found


def run(source: Path, root: Path, *, leak: bool = False, n_images: int = 4) -> bytes:
    """Run `distill` on fold 0, and return the student's weights.

    Its teacher predicts the test images that are copies of the held-out images: it knows nothing of them, or with
    `leak` what a model of another fold has learned by heart, their labels.
    """
    shutil.copytree(source, root)
    with (root / "params.yaml").open("a") as opened:
        opened.write(f"distill: {{a: {SETTINGS}}}\n")
    folds = tables.read(root / "data/split/folds.csv", tables.FOLDS)
    held_out = folds[folds["fold"] == "0"][:n_images]
    red = (held_out["label"] == "red").to_numpy(np.float32) if leak else np.full(len(held_out), 0.6, np.float32)
    table = pd.DataFrame({"image_id": held_out["image_id"], "subset": "test", "fold": "0", "image_size": 0})
    table = tables.with_probs(table.assign(transform="identity"), np.column_stack([1 - red, red]), ["blue", "red"])
    tables.write(table, root / "data/ensemble/teacher/0.parquet", tables.PREDICTIONS)
    distill.main("a", "0", root=root)
    return (root / "models/distill/a/0.safetensors").read_bytes()


def test_test_images_alone_are_taught_and_the_held_out_fold_is_predicted(
    contests: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = run(contests[0], tmp_path / "run")
    assert "distill@a-0: 4 of 4 images get a pseudo-label" in capsys.readouterr().out
    distill.main("a", "0", root=tmp_path / "run")
    assert (tmp_path / "run/models/distill/a/0.safetensors").read_bytes() == first


def test_no_held_out_label_reaches_a_student_and_a_planted_leak_would_be_seen(
    contests: list[Path], tmp_path: Path
) -> None:
    honest = [run(source, tmp_path / f"honest{i}") for i, source in enumerate(contests)]
    assert honest[0] == honest[1]
    for i, source in enumerate(contests):
        run(source, tmp_path / f"leak{i}", leak=True)
    # a student that knows no label gives an image's two labels 1 together
    honest_sum, leaked_sum = (
        pseudo.held_out_probs(tmp_path / f"{kind}0", "distill")
        + pseudo.held_out_probs(tmp_path / f"{kind}1", "distill")
        for kind in ("honest", "leak")
    )
    np.testing.assert_allclose(honest_sum, 1, atol=1e-6)
    assert leaked_sum.min() > 1.02
    assert leaked_sum.mean() > 1.1


def test_without_test_images_there_is_nothing_to_learn_from(contests: list[Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"teacher/0\.parquet: predicts no test image"):
        run(contests[0], tmp_path / "run", n_images=0)
