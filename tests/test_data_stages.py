"""The data stages one after the other, on contests of every shape, without DVC."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml

from podium import contracts
from podium.core import tables
from podium.core.errors import InputError
from stages import analyze, audit, label, picture, prepare, split

IMAGES = {"train": "c/train", "test": "c/test"}


def contest(root: Path, labels: list[str], *, folds: int = 2, n_test: int = 3, changes: Any = None) -> None:
    """Write a contest of noise images, one per label, and params.yaml."""
    random = np.random.default_rng(0)
    for subset, count in (("train", len(labels)), ("test", n_test)):
        (root / "c" / subset).mkdir(parents=True)
        for i in range(count):
            image = random.integers(0, 255, (*random.integers(20, 40, 2), 3), dtype=np.uint8)
            cv2.imwrite(str(root / f"c/{subset}/{subset[:2]}{i:04}.png"), image)
    table = pd.DataFrame({"image_id": [f"tr{i:04}" for i in range(len(labels))], "label": labels})
    table.to_csv(root / "c/labels.csv", index=False)
    (root / "c/overrides.csv").write_text("image_id,action,reason\n")
    values = {
        "contest": {"images": IMAGES, "layout": "csv", "labels": "c/labels.csv", "overrides": "c/overrides.csv"},
        "prepare": {"short_side": 16},
        "analyze": {},
        "folds": list(range(folds)),
        "split": {"seed": 0},
    }
    (root / "params.yaml").write_text(yaml.safe_dump({**values, **(changes or {})}))


def run(root: Path) -> pd.DataFrame:
    """Run them, and return folds.csv."""
    for subset in ("train", "test"):
        prepare.main(subset, root=root)
    for stage in (label, analyze, split, audit, picture):
        stage.main(root=root)
    return tables.read(root / "data/split/folds.csv", tables.FOLDS)


def test_a_contest_without_test_images(tmp_path: Path) -> None:
    contest(tmp_path, ["a", "b"] * 10, n_test=0)
    folds = run(tmp_path)
    assert folds.groupby(["fold", "label"]).size().tolist() == [5, 5, 5, 5]
    assert (tmp_path / "data/picture/classes").is_dir()
    asked = tables.read_json(tmp_path / "data/audit/summary.json")
    assert "no test" in str(asked["test_from_metadata"])


@pytest.mark.slow
def test_many_classes(tmp_path: Path) -> None:
    contest(tmp_path, [f"class {i % 60}" for i in range(120)])
    folds = run(tmp_path)
    assert folds.groupby("label")["fold"].nunique().eq(2).all()
    assert len(tables.read(tmp_path / "data/split/balance.csv", contracts.BALANCE)) == 120


def test_a_class_with_an_image_too_few_is_named(tmp_path: Path) -> None:
    contest(tmp_path, ["a", "b", "b", "a", "rare", "rare"], folds=3)
    with pytest.raises(InputError, match=r"'rare' \(2 images in 2 groups\)"):
        run(tmp_path)


def test_broken_images_alone_are_refused(tmp_path: Path) -> None:
    contest(tmp_path, ["a", "b"])
    for path in (tmp_path / "c/train").iterdir():
        path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(InputError, match="c/train"):
        run(tmp_path)


def test_broken_test_images_are_reported_and_stop_nothing(tmp_path: Path) -> None:
    contest(tmp_path, ["a", "b"] * 4)
    for path in (tmp_path / "c/test").iterdir():
        path.write_bytes(b"")
    run(tmp_path)
    findings = tables.read(tmp_path / "data/analyze/findings.csv", contracts.FINDINGS)
    assert (findings["check"] == "unusable").sum() == 3
