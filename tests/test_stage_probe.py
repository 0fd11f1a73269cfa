"""Stage probe on a tiny contest."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from podium.core import tables
from podium.models import predict
from podium.predictions import prediction_files
from stages import probe, weights
from tests import tiny


def probed(root: Path, **changes: Any) -> np.ndarray:
    """Probabilities (16 images, 2 classes) of a member's probe."""
    tiny.write(root, {"a": tiny.member(**changes)})
    weights.main("a", root=root)
    probe.main("a", root=root)
    folds = tables.read(root / "data/split/folds.csv", tables.FOLDS)
    read = prediction_files.read_train(
        [root / "data/probe/a.parquet"],
        image_ids=list(folds["image_id"]),
        folds=list(folds["fold"]),
        classes=tiny.CLASSES,
        image_sizes=[32],
        transforms=["identity"],
    )
    return read.reshape(16, 2)


def test_random_features_of_easy_images_beat_chance_and_a_rerun_gives_the_same_bytes(tmp_path: Path) -> None:
    probs = probed(tmp_path)
    assert (probs.argmax(1) == np.arange(16) % 2).mean() > 0.75
    before = (tmp_path / "data/probe/a.parquet").read_bytes()
    probe.main("a", root=tmp_path)
    assert (tmp_path / "data/probe/a.parquet").read_bytes() == before


def test_only_the_models_section_reaches_it(tmp_path: Path) -> None:
    predicted = []
    for name, changes in {
        "one": {},
        "two": {"finetune": {"epochs": 9, "lr": 1.0}, "infer": {"image_sizes": [99]}},
    }.items():
        root = tmp_path / name
        root.mkdir()
        predicted.append(probed(root, **changes))
    assert (predicted[0] == predicted[1]).all()


def test_features_are_computed_once_for_all_folds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    features = predict.features

    def counted(model: Any, images: Any, **kwargs: Any) -> Any:
        seen.append(images.image_ids)
        return features(model, images, **kwargs)

    monkeypatch.setattr(predict, "features", counted)
    probed(tmp_path)
    assert seen == [[f"{i:02}.png" for i in range(16)]]


def test_skipped_images_have_rows_and_unreadable_ones_none(tmp_path: Path) -> None:
    tiny.write(tmp_path, {"a": tiny.member()})
    path = tmp_path / "data/split/folds.csv"
    folds = tables.read(path, tables.FOLDS)
    folds.loc[folds["image_id"] == "00.png", ["label", "use", "reason"]] = ["", "skip", "no label"]
    folds.loc[folds["image_id"] == "01.png", ["use", "reason", "fold"]] = ["skip", "unreadable", ""]
    tables.write(folds, path, tables.FOLDS)
    weights.main("a", root=tmp_path)
    probe.main("a", root=tmp_path)
    rows = tables.read(tmp_path / "data/probe/a.parquet", tables.PREDICTIONS)
    assert list(rows["image_id"]) == [f"{i:02}.png" for i in range(16) if i != 1]
    assert set(rows["subset"]) == {"train"}
    assert list(rows["fold"]) == [str(i // 2 % 2) for i in range(16) if i != 1]
