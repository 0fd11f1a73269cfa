"""The teacher of `distill`: what each fold's blend predicts of test images, chosen without the fold's labels."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from podium.core import tables
from podium.ensembling import nested_cv, teacher
from podium.ensembling.nested_cv import NONE_HELD_OUT
from stages import ensemble
from tests import test_stage_ensemble as contest
from tests.test_nested_cv import evaluation_set, members_of, simulated

STUDENT = {"b": {"epochs": 1, "lr": 0.01}}


def run(root: Path, *, flip_fold_0: bool = False) -> list[bytes]:
    """Write a contest and run `ensemble`; return the teacher's files."""
    contest.write_inputs(root, distill=STUDENT, ensemble={"method": "auto"})
    path = root / "data/split/folds.csv"
    folds = tables.read(path, tables.FOLDS)
    if flip_fold_0:
        held = folds["fold"] == "0"
        folds.loc[held, "label"] = folds.loc[held, "label"].map({"red": "blue", "blue": "red"})
        tables.write(folds, path, tables.FOLDS)
    ensemble.main(root=root)
    return [(root / f"data/ensemble/teacher/{fold}.parquet").read_bytes() for fold in contest.FOLDS]


def test_it_predicts_every_readable_test_image_and_changes_nothing_else(tmp_path: Path) -> None:
    run(tmp_path / "on")
    for fold in contest.FOLDS:
        table = tables.read(tmp_path / f"on/data/ensemble/teacher/{fold}.parquet", tables.PREDICTIONS)
        assert list(table["image_id"]) == contest.READABLE
        assert set(table["fold"]) == {fold}
        np.testing.assert_allclose(contest.probs(table).sum(axis=1), 1, atol=1e-5)
    contest.write_inputs(tmp_path / "off", ensemble={"method": "auto"})
    ensemble.main(root=tmp_path / "off")
    for name in contest.OUTPUTS:
        on, off = (tmp_path / run / "data/ensemble" / name for run in ("on", "off"))
        assert on.read_bytes() == off.read_bytes()
    assert tables.read(tmp_path / "off/data/ensemble/teacher/0.parquet", tables.PREDICTIONS).empty


def test_no_label_of_a_fold_reaches_its_teacher_and_a_leak_would_be_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = run(tmp_path / "one"), run(tmp_path / "other", flip_fold_0=True)
    assert one[0] == other[0]
    assert one[1] != other[1]
    for folder in ("one", "other"):
        shutil.rmtree(tmp_path / folder)
    monkeypatch.setattr(teacher, "held_out_sets", lambda _images, n_folds: [NONE_HELD_OUT] * n_folds)
    assert run(tmp_path / "one")[0] != run(tmp_path / "other", flip_fold_0=True)[0]


@pytest.mark.parametrize("methods", [["equal", "weighted"], ["greedy"]])
def test_of_two_folds_both_halves_are_left_out(methods: list[str]) -> None:
    probs, targets = simulated(3, [1.0, 0.5], n=80)
    images = evaluation_set(targets, n_folds=2)
    sets = teacher.held_out_sets(images, 2)
    assert [len(held_out) for held_out in sets] == [2, 2]
    turned = evaluation_set(np.where(images.folds == 0, (targets + 1) % 3, targets), n_folds=2)
    blends = []
    for here in (images, turned):
        members = [
            nested_cv.choose_member(member, [*nested_cv.held_out_sets(here, len(methods)), *sets])
            for member in members_of(probs, here)
        ]
        nested = nested_cv.NestedCv(here, members, methods, 10)
        nested.outcome()
        rows = np.arange(len(targets))
        blends.append([nested.recipe_without(one).blended(nested.calibrated(one, rows)) for one in sets])
    np.testing.assert_array_equal(blends[0][0], blends[1][0])
    assert (blends[0][1] != blends[1][1]).any()
