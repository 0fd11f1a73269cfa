"""`infer` does nothing twice: it reads what `finetune` predicted, and it resizes each test image once per size."""

import shutil
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from podium.core import pixels, tables
from podium.core.errors import InputError
from podium.inference import stored_images
from podium.models import predict
from podium.models.preprocessing import Preprocessing
from stages import infer
from tests import tiny
from tests.test_stage_training import chain

PROBS = ["p:blue", "p:red"]
SKIPPED = "03.png"  # of fold 1; predicted by `infer` alone
HELD_OUT = [f"data/finetune/a/{fold}.parquet" for fold in "01"]


@pytest.fixture(scope="module")
def predicted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A member with its predictions; `infer` has batches of another size than `finetune`."""
    root = tmp_path_factory.mktemp("predicted")
    tiny.write(root, {"a": tiny.member(infer={"batch_size": 3})}, n_train=12)
    folds = tables.read(root / "data/split/folds.csv", tables.FOLDS)
    folds.loc[folds["image_id"] == SKIPPED, ["label", "use", "reason"]] = ["", "skip", "no label"]
    tables.write(folds, root / "data/split/folds.csv", tables.FOLDS)
    chain(root)
    return root


@pytest.fixture
def root(predicted: Path, tmp_path: Path) -> Path:
    return shutil.copytree(predicted, tmp_path / "root")


def inferred(root: Path, **settings: Any) -> pd.DataFrame:
    """Run `infer` with other settings; return its rows in their order."""
    path = root / "params.yaml"
    values = yaml.safe_load(path.read_text())
    values["members"]["a"]["infer"] |= settings
    path.write_text(yaml.safe_dump(values))
    infer.main("a", root=root)
    return tables.read(root / "data/infer/a.parquet", tables.PREDICTIONS)


def from_finetune(rows: pd.DataFrame) -> pd.Series:
    """Whether `finetune` predicts a row too."""
    at_training_size = (rows["image_size"] == 32) & (rows["transform"] == "identity")
    return (rows["subset"] == "train") & at_training_size & (rows["image_id"] != SKIPPED)


def test_held_out_predictions_are_those_of_finetune_and_of_a_new_pass(root: Path) -> None:
    rows = inferred(root)
    known = pd.concat([tables.read(root / path, tables.PREDICTIONS) for path in HELD_OUT], ignore_index=True)
    pd.testing.assert_frame_equal(rows[from_finetune(rows)].reset_index(drop=True), known)
    for path in HELD_OUT:
        tables.write(tables.empty_predictions(tiny.CLASSES), root / path, tables.PREDICTIONS)
    anew = inferred(root)
    same = ~from_finetune(rows)
    pd.testing.assert_frame_equal(rows[same], anew[same])  # the skipped image is in it
    assert (rows["image_id"] == SKIPPED).sum() == 2 * 2
    np.testing.assert_allclose(rows[PROBS], anew[PROBS], rtol=0, atol=1e-6)  # batches of 6 and of 3 images


def test_they_are_read_only_where_infer_asks_for_them(root: Path) -> None:
    for path in HELD_OUT:
        table = tables.read(root / path, tables.PREDICTIONS)
        tables.write(table.assign(**dict.fromkeys(PROBS, np.float32(0.5))), root / path, tables.PREDICTIONS)
    rows = inferred(root)
    pd.testing.assert_series_equal(from_finetune(rows), (rows[PROBS] == 0.5).all(axis=1), check_names=False)
    assert set(inferred(root, transforms=["hflip"])["transform"]) == {"hflip"}
    rows = inferred(root, image_sizes=[40], transforms=["identity"])
    assert set(rows["image_size"]) == {40}
    assert not (rows[PROBS] == 0.5).any(axis=None)


def test_nothing_is_predicted_in_identity_where_everything_is_known(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: Counter[tuple[str, ...]] = Counter()
    real = predict.probabilities

    def counting(model: Any, images: Any, *, transforms: Any, **rest: Any) -> Any:
        asked[*transforms] += len(images)
        return real(model, images, transforms=transforms, **rest)

    monkeypatch.setattr(predict, "probabilities", counting)
    inferred(root, image_sizes=[32])
    assert asked == {("hflip",): 12, ("identity",): 1, ("identity", "hflip"): 2 * 4}  # 1 skipped; test by both folds


def test_predictions_of_other_classes_are_refused(root: Path) -> None:
    table = tables.read(root / HELD_OUT[1], tables.PREDICTIONS).rename(columns={"p:red": "p:rot"})
    tables.write(table, root / HELD_OUT[1], tables.PREDICTIONS)
    with pytest.raises(InputError, match=r"finetune/a/1\.parquet.*rot"):
        infer.main("a", root=root)


def test_a_test_image_is_resized_once_per_size_and_a_full_disk_changes_no_byte(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    resized: Counter[int] = Counter()
    real = Preprocessing.to_size

    def counting(self: Preprocessing, image: Any, image_size: int) -> Any:
        resized[image_size] += 1
        return real(self, image, image_size)

    monkeypatch.setattr(Preprocessing, "to_size", counting)
    before = (root / "data/infer/a.parquet").read_bytes()
    inferred(root)
    assert resized == {32: 12 + 1 + 4, 40: 12 + 4}  # train (the skipped image in a pass of its own) and test
    assert (root / "data/infer/a.parquet").read_bytes() == before
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    resized.clear()
    inferred(root)
    assert resized == {32: 12 + 1 + 2 * 4, 40: 12 + 2 * 4}
    assert (root / "data/infer/a.parquet").read_bytes() == before
    assert "free space" in capsys.readouterr().out


def test_all_sizes_together_have_room_on_the_disk(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No file is written before the last size is asked for, so the free space alone does not show what is promised."""
    test = pixels.open_pack(root / "data/prepare/test/pixels.arrow")
    needed = [len(test.image_ids) * 3 * size**2 for size in (32, 40)]
    preprocessing = Preprocessing((0.5,) * 3, (0.5,) * 3, "squash", 1.0)
    for free, stored in ((2 * sum(needed), 2), (2 * sum(needed) - 1, 1)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: SimpleNamespace(free=free))
        with stored_images.shared(test, test.image_ids, tmp_path, "infer") as at_size:
            images = [at_size(preprocessing, size) for size in (32, 40)]
        assert sum(isinstance(each, stored_images.StoredImages) for each in images) == stored
    assert capsys.readouterr().out.count("free space") == 1


def test_no_temporary_file_is_left_after_an_error(root: Path) -> None:
    (root / "models/finetune/a/1.safetensors").write_bytes(b"broken")
    with pytest.raises(InputError, match=r"1\.safetensors"):
        infer.main("a", root=root)
    assert [path.name for path in (root / "data/infer").iterdir()] == ["a.parquet"]
