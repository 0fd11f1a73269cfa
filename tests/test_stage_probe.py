"""Stage probe on a tiny contest."""

import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from podium.core import params, pixels, tables
from podium.core.errors import InputError
from podium.models import backbones, predict, probe_heads
from podium.predictions import member_predictions, prediction_files
from podium.probes import features_file
from podium.probes import joint_probe as joint_probe_of_members
from stages import infer, infer_pretrain, joint_probe, pretrain, probe, weights
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
        transforms=["identity", "hflip"],
    )
    return read[0, 0]


def test_random_features_of_easy_images_beat_chance_and_a_rerun_gives_the_same_bytes(tmp_path: Path) -> None:
    probs = probed(tmp_path)
    assert (probs.argmax(1) == np.arange(16) % 2).mean() > 0.75
    before = (tmp_path / "data/probe/a.parquet").read_bytes()
    probe.main("a", root=tmp_path)
    assert (tmp_path / "data/probe/a.parquet").read_bytes() == before


def test_no_training_setting_reaches_it(tmp_path: Path) -> None:
    predicted = []
    for name, changes in {"one": {}, "two": {"finetune": {"epochs": 9, "lr": 1.0}}}.items():
        root = tmp_path / name
        root.mkdir()
        predicted.append(probed(root, **changes))
    assert (predicted[0] == predicted[1]).all()


def test_every_fold_predicts_the_test_images_at_every_size_in_every_transform(tmp_path: Path) -> None:
    probed(tmp_path)
    for fold in "01":
        probs = prediction_files.read_test(
            tmp_path / "data/probe/a.parquet",
            image_ids=[f"t{i}.png" for i in range(4)],
            fold=fold,
            classes=tiny.CLASSES,
            image_sizes=[32, 40],
            transforms=["identity", "hflip"],
        )
        assert probs.shape == (2, 2, 4, 2)
        assert (probs[0, 0].argmax(1) == np.arange(4) % 2).mean() >= 0.75


def test_the_features_on_disk_are_found_by_image_id(tmp_path: Path) -> None:
    probed(tmp_path)
    path, ids = tmp_path / "data/probe/a.safetensors", ["03.png", "01.png"]
    both = features_file.read(path, "train", ids)
    assert both.shape[:2] == (2, 2)
    assert (both[1] == features_file.read(path, "train", ids[1:])[0]).all()
    with pytest.raises(InputError, match=r"no features of new\.png"):
        features_file.read(path, "test", ["new.png"])


def test_the_joint_probe_is_fitted_on_the_features_of_all_members(tmp_path: Path) -> None:
    tiny.write(tmp_path, {"a": tiny.member(), "b": tiny.member(model={"seed": 1}, infer={"transforms": ["identity"]})})
    for name in "ab":
        weights.main(name, root=tmp_path)
        probe.main(name, root=tmp_path)
    joint_probe.main(root=tmp_path)
    path = tmp_path / "data/joint_probe/predictions.parquet"
    before, folds = path.read_bytes(), tables.read(tmp_path / "data/split/folds.csv", tables.FOLDS)
    probs = prediction_files.read_train(
        [path],
        image_ids=list(folds["image_id"]),
        folds=list(folds["fold"]),
        classes=tiny.CLASSES,
        image_sizes=[0],
        transforms=["identity"],
    )[0, 0]
    assert (probs.argmax(1) == np.arange(16) % 2).mean() > 0.75
    joint_probe.main(root=tmp_path)
    assert path.read_bytes() == before


def test_features_are_averaged_over_transforms_side_by_side_and_no_more_than_two_members_are_in_memory() -> None:
    made: list[weakref.ref[np.ndarray]] = []

    def read() -> Iterator[np.ndarray]:
        for member in range(4):
            features = np.stack([np.full((3, 2), member, np.float32), np.full((3, 2), member + 1, np.float32)], 1)
            made.append(weakref.ref(features))
            assert sum(one() is not None for one in made) <= 2
            yield features

    joined = joint_probe_of_members.side_by_side(read())
    assert joined.shape == (3, 1, 8)
    assert (joined[:, 0] == np.repeat(np.arange(4) + 0.5, 2)).all()


def test_a_single_member_has_no_joint_probe(tmp_path: Path) -> None:
    tiny.write(tmp_path, {"a": tiny.member()})
    joint_probe.main(root=tmp_path)
    assert tables.read(tmp_path / "data/joint_probe/predictions.parquet", tables.PREDICTIONS).empty


def test_phase_1_is_predicted_where_both_phases_are_trained_and_else_there_are_no_rows(tmp_path: Path) -> None:
    tiny.write(tmp_path, {"a": tiny.member(), "b": tiny.member(finetune={"epochs": 0})})
    weights.main("a", root=tmp_path)
    for fold in "01":
        pretrain.main("a", fold, root=tmp_path)
    for name in "ab":
        infer_pretrain.main(name, root=tmp_path)
    rows = tables.read(tmp_path / "data/infer_pretrain/a.parquet", tables.PREDICTIONS)
    assert set(rows["image_size"]) == {32}
    assert rows["subset"].value_counts().to_dict() == {"train": 32, "test": 16}
    assert tables.read(tmp_path / "data/infer_pretrain/b.parquet", tables.PREDICTIONS).empty


def test_features_are_computed_once_for_all_folds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    features = predict.features

    def counted(model: Any, images: Any, **kwargs: Any) -> Any:
        seen.append(images.image_ids)
        return features(model, images, **kwargs)

    monkeypatch.setattr(predict, "features", counted)
    probed(tmp_path)
    train, test = [f"{i:02}.png" for i in range(16)], [f"t{i}.png" for i in range(4)]
    assert seen == [train, test, train, test]  # once at each image size


HEADS = "models/probe/a.safetensors"


def heads(root: Path, **changes: Any) -> dict[str, probe_heads.Head]:
    """The heads by fold that the probe of a pretrained member writes."""
    tiny.write(root, {"a": tiny.member(model=tiny.write_weights(root), **changes)}, n_train=8)
    weights.main("a", root=root)
    probe.main("a", root=root)
    return probe_heads.read(root / HEADS, tiny.CLASSES).heads


def test_the_heads_are_the_probes_of_the_training_size(tmp_path: Path) -> None:
    found = heads(tmp_path)
    rows = tables.read(tmp_path / "data/probe/a.parquet", tables.PREDICTIONS)
    rows = rows[(rows["subset"] == "train") & (rows["image_size"] == 32) & (rows["transform"] == "hflip")]
    inputs = features_file.read(tmp_path / "data/probe/a.safetensors", "train", list(rows["image_id"]))[:, 1]
    assert found.keys() == {"0", "1"}
    for fold, (weight, bias) in found.items():
        probs = torch.from_numpy(inputs @ weight.T + bias).softmax(1).numpy()
        held_out = (rows["fold"] == fold).to_numpy()
        np.testing.assert_allclose(probs[held_out], rows.loc[held_out, ["p:blue", "p:red"]], atol=1e-5)


def test_neither_test_images_nor_settings_of_infer_change_a_byte_of_the_heads(tmp_path: Path) -> None:
    heads(tmp_path)
    before, probs = ((tmp_path / name).read_bytes() for name in (HEADS, "data/probe/a.parquet"))
    model = tiny.write_weights(tmp_path)
    for infer_settings in ({"image_sizes": [40], "transforms": ["hflip"]}, {"transforms": ["identity"]}):
        tiny.write(tmp_path, {"a": tiny.member(model=model, infer=infer_settings)}, n_train=8, n_test=3)
        probe.main("a", root=tmp_path)
        assert (tmp_path / HEADS).read_bytes() == before
        assert (tmp_path / "data/probe/a.parquet").read_bytes() != probs


def test_neither_pixels_nor_labels_of_the_held_out_fold_reach_its_head(tmp_path: Path) -> None:
    before, path = heads(tmp_path), tmp_path / "data/split/folds.csv"
    folds = tables.read(path, tables.FOLDS)
    held = folds["fold"] == "0"
    folds.loc[held, "label"] = folds.loc[held, "label"].map({"red": "blue", "blue": "red"})
    tables.write(folds, path, tables.FOLDS)
    with pixels.Writer(tmp_path / "data/prepare/train/pixels.arrow", encoding="raw") as writer:
        for place, (name, changed) in enumerate(zip(folds["image_id"], held, strict=True)):
            writer.add(name, tiny.image(tiny.CLASSES[place % 2], seed=place + 500 * changed))
    probe.main("a", root=tmp_path)
    after = probe_heads.read(tmp_path / HEADS, tiny.CLASSES).heads
    assert [one.tobytes() for one in after["0"]] == [one.tobytes() for one in before["0"]]
    assert after["1"][0].tobytes() != before["1"][0].tobytes()


def test_a_random_backbone_and_a_head_that_is_no_linear_layer_have_no_heads_but_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probed(tmp_path)
    empty = probe_heads.read(tmp_path / HEADS, tiny.CLASSES)
    assert not empty.heads
    assert empty.missing.keys() == {"0", "1"}
    assert "weights: none" in empty.missing["0"]
    with pytest.raises(InputError, match=r"models/probe/a\.safetensors.*classes"):
        probe_heads.read(tmp_path / HEADS, ["blue", "rot"])
    monkeypatch.setattr(backbones, "find_linear_head", lambda model: None)
    assert heads(tmp_path) == {}
    assert "linear layer" in probe_heads.read(tmp_path / HEADS, tiny.CLASSES).missing["1"]


def test_a_fold_whose_other_images_are_of_one_class_has_no_head(tmp_path: Path) -> None:
    heads(tmp_path)
    path = tmp_path / "data/split/folds.csv"
    folds = tables.read(path, tables.FOLDS)
    folds["fold"] = folds["label"].map({"blue": "0", "red": "1"}).where(folds.index > 1, "0")
    tables.write(folds, path, tables.FOLDS)
    probe.main("a", root=tmp_path)
    found = probe_heads.read(tmp_path / HEADS, tiny.CLASSES)
    assert found.heads.keys() == {"1"}
    assert found.missing.keys() == {"0"}


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
    train = rows[(rows["subset"] == "train") & (rows["image_size"] == 32) & (rows["transform"] == "identity")]
    assert list(train["image_id"]) == [f"{i:02}.png" for i in range(16) if i != 1]
    assert list(train["fold"]) == [str(i // 2 % 2) for i in range(16) if i != 1]


def test_a_member_without_a_trained_phase_is_its_probe(tmp_path: Path) -> None:
    tiny.write(tmp_path, {"a": tiny.member(pretrain={"epochs": 0}, finetune={"epochs": 0})})
    infer.main("a", root=tmp_path)
    assert tables.read(tmp_path / "data/infer/a.parquet", tables.PREDICTIONS).empty
    values = params.read(tmp_path) | {"fixres": {}, "external": {}}
    member = member_predictions.blend_members(values, tmp_path)["a"]
    assert {phase for tta in (member.default, *member.alternatives) for phase in tta.phases} == {"probe"}
    assert {tta.image_sizes for tta in member.alternatives} == {(32,), (40,)}  # 32 in the identity transform alone
