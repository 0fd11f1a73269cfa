"""A member of images with five channels, from its weights to its predictions; pictures and checks of such images."""

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from podium import contracts
from podium.core import params, pixels, tables
from podium.core.errors import InputError
from podium.models import backbones
from podium.preflight.settings import Podium
from podium.serving import new_predictions
from stages import (
    analyze,
    check,
    ensemble,
    finetune,
    infer,
    infer_pretrain,
    joint_probe,
    label,
    prepare,
    pretrain,
    probe,
    split,
    weights,
)
from tests import tiny
from tests.test_contests import write_params
from tests.test_settings import whole

CHANNELS = 5
COLOURS = {"augmentation": [{"ColorJitter": {}}]}  # takes RGB alone


def repack(root: Path) -> None:
    """Give the images of `tiny` more channels, the class in the last one."""
    for subset in ("train", "test"):
        path = root / f"data/prepare/{subset}/pixels.arrow"
        before = pixels.open_pack(path)
        images = {image_id: before[image_id].copy() for image_id in before.image_ids}
        with pixels.Writer(path, encoding="raw") as writer:
            for image_id, image in images.items():
                red = image[..., :1] > image[..., 2:].mean()
                writer.add(image_id, np.concatenate([image[..., [1, 1, 1, 1]], (red * 200).astype(np.uint8)], axis=2))


def test_a_member_learns_from_images_of_five_channels(tmp_path: Path) -> None:
    model = tiny.write_weights(tmp_path)  # of RGB
    model["model_kwargs"] = {**tiny.member()["model"]["model_kwargs"], "in_chans": CHANNELS}
    augmentation = {"augmentation": [{"HorizontalFlip": {"p": 0.5}}, {"Affine": {"rotate": [-9, 9]}}]}
    tiny.write(tmp_path, {"a": tiny.member(model=model, pretrain=augmentation)})
    repack(tmp_path)
    weights.main("a", root=tmp_path)
    meta = backbones.read(tmp_path / "models/weights/a.safetensors").meta["preprocessing"]
    assert meta["mean"] == [0.4] * CHANNELS
    probe.main("a", root=tmp_path)
    for fold in ("0", "1"):
        pretrain.main("a", fold, root=tmp_path)
        finetune.main("a", fold, root=tmp_path)
    infer.main("a", root=tmp_path)
    rows = tables.read(tmp_path / "data/infer/a.parquet", tables.PREDICTIONS)
    assert set(rows["image_size"]) == {32, 40}
    tiny.write_params(tmp_path, params.read(tmp_path) | {"members": {"a": tiny.member(model=model, pretrain=COLOURS)}})
    with pytest.raises(InputError, match="5 channels"):
        pretrain.main("a", "0", root=tmp_path)


def test_duplicates_and_checks_look_at_all_channels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODIUM_WORKERS", "1")
    rng = np.random.default_rng(0)
    images = {name: rng.integers(0, 256, (40, 50, CHANNELS), dtype=np.uint8) for name in ("a", "b", "c")}
    images |= {"same": images["a"], "last channel": images["a"].copy()}
    images["last channel"][..., -1] = images["b"][..., -1]
    for subset, names in (("train", sorted(images)), ("test", ["c"])):
        with pixels.Writer(tmp_path / f"data/prepare/{subset}/pixels.arrow", encoding="raw") as writer:
            for name in names:
                writer.add(name, images[name])
        facts = pd.DataFrame({"image_id": names, "width": 50, "height": 40, "mode": "uint8", "format": "NPY"})
        facts = facts.assign(bytes=1, sha256=names, problem="", note="")
        tables.write(facts, tmp_path / f"data/prepare/{subset}/facts.csv", contracts.FACTS)
    tiny.write_params(tmp_path, {"analyze": {"max_hash_distance": None}})
    analyze.main(root=tmp_path)
    clusters = tables.read(tmp_path / "data/analyze/clusters.csv", contracts.CLUSTERS)
    assert list(clusters["image_id"]) == ["a", "same"]
    leaks = tables.read(tmp_path / "data/analyze/leaks.csv", contracts.LEAKS)
    assert list(leaks["train_image_id"]) == ["c"]


def test_members_and_images_have_the_same_number_of_channels() -> None:
    values = whole()
    values["prepare"] = {**values["prepare"], "channels": 4}
    with pytest.raises(InputError, match=r"in_chans: 4"):
        params.parse(values, "", Podium)
    for key, value in (("encoding", "jpeg"), ("decoding", "scaled")):
        changed = {**values, "prepare": {**values["prepare"], key: value}}
        with pytest.raises(InputError, match=f"{key} {value}"):
            params.parse(changed, "", Podium)


def test_images_of_four_channels_reach_the_submission_and_new_predictions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PODIUM_WORKERS", "1")
    random, home = np.random.default_rng(0), tmp_path / "data/contest"
    for name, count in (("train", 16), ("test", 4)):
        (home / name).mkdir(parents=True)
        for i in range(count):
            values = random.random((4, 40, 36)).astype(np.float32)
            values[3] += i % 2  # the class
            np.save(home / name / f"{name}{i:02}.npy", values)
    (home / "train.csv").write_text("id,label\n" + "".join(f"train{i:02},{i % 2}\n" for i in range(16)))
    (home / "template.csv").write_text("id,label\n" + "".join(f"test{i:02},0.5\n" for i in range(4)))
    model = tiny.write_weights(tmp_path)
    model["model_kwargs"] = {**tiny.member()["model"]["model_kwargs"], "in_chans": 4}
    none = {phase: {"epochs": 0} for phase in ("pretrain", "finetune")}
    write_params(tmp_path, {
        "images": {"train": "data/contest/train", "test": "data/contest/test"},
        "lists": {"train": "placeholders/none.csv", "test": "placeholders/none.csv"}, "layout": "csv",
        "labels": "data/contest/train.csv", "columns": {"id": "id"}, "label_type": "text", "metric": "roc_auc",
        "overrides": "placeholders/none.csv", "template": "data/contest/template.csv",
        "submission": {"values": "probabilities", "positive": "1"},
    }, channels=4, value_range=[0, 2])  # fmt: skip
    values = params.read(tmp_path) | {"members": {"a": tiny.member(model=model, infer={"image_sizes": [32]}, **none)}}
    values |= {"folds": [0, 1], "torch": {"threads": 1, "device": "cpu"}}
    tiny.write_params(tmp_path, values)
    check.main("settings", root=tmp_path)
    for subset in ("train", "test"):
        prepare.main(subset, root=tmp_path)
    for stage in (label, analyze, split):
        stage.main(root=tmp_path)
    weights.main("a", root=tmp_path)
    probe.main("a", root=tmp_path)
    joint_probe.main(root=tmp_path)
    for fold in ("0", "1"):
        pretrain.main("a", fold, root=tmp_path)
        finetune.main("a", fold, root=tmp_path)
    infer_pretrain.main("a", root=tmp_path)
    infer.main("a", root=tmp_path)
    ensemble.main(root=tmp_path)
    with (tmp_path / "data/ensemble/submission.csv").open() as opened:
        rows = list(csv.DictReader(opened))
    assert [float(row["label"]) > 0.5 for row in rows] == [False, True, False, True]
    new_predictions.write(home / "test", tmp_path / "new.csv", tmp_path)
    new = pd.read_csv(tmp_path / "new.csv", dtype={"label": str})
    assert list(new["label"]) == ["0", "1", "0", "1"]  # not 0.0, as the template's probabilities might be read
    np.testing.assert_allclose(new["p:1"], [float(row["label"]) for row in rows], rtol=1e-6)
