"""Stage probe on a tiny contest."""

import shutil
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from podium.core import params, pixels, tables
from podium.core.errors import InputError
from podium.models import backbones, predict, probe_heads
from podium.models.probe_heads import ProbeHeads
from podium.predictions import member_predictions, prediction_files
from podium.probes import classifier_file, features_file
from podium.probes import joint_probe as joint_probe_of_members
from podium.probes.held_out_scores import HeldOutScore
from stages import infer, infer_pretrain, joint_probe, pretrain, probe, weights
from tests import tiny

HEADS = "models/probe/a.safetensors"


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
    assert not heads(tmp_path).heads
    assert heads(tmp_path).missing.keys() == {"0", "1"}
    assert "weights: none" in heads(tmp_path).missing["0"]


def test_the_last_line_says_how_well_images_are_predicted_out_of_fold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    probed(tmp_path)
    line = capsys.readouterr().out.splitlines()[-1]
    rows = tables.read(tmp_path / "data/probe/a.parquet", tables.PREDICTIONS)
    rows = rows.query("subset == 'train' and image_size == 32")
    probs = rows.groupby("image_id")[["p:blue", "p:red"]].mean().to_numpy()  # over transforms
    targets = np.arange(16) % 2
    right, loss = (probs.argmax(1) == targets).mean(), -np.log(probs[np.arange(16), targets]).mean()
    assert line.startswith("probe@a: a linear classifier on frozen features, 16 images out of fold: at 32 pixels")
    assert f"at 32 pixels accuracy {right:.4f}, log loss {loss:.4f}; at 40 pixels accuracy" in line


def test_scores_of_sets_of_labels_are_means_over_labels() -> None:
    probs = np.array([[[0.9, 0.2]], [[0.4, 0.5]], [[0.1, 0.1]]], np.float32)
    targets = np.array([[1, 0], [1, 0], [-1, -1]], np.float32)
    found = HeldOutScore.of(probs, targets)
    assert (found.n_images, found.accuracy) == (2, 0.75)
    assert found.log_loss == pytest.approx(-np.log([0.9, 0.8, 0.4, 0.5]).mean(), abs=1e-6)
    assert "labels" in str(found)


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


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The probe of a member with pretrained weights."""
    root = tmp_path_factory.mktemp("pretrained")
    tiny.write(root, {"a": tiny.member(model=tiny.write_weights(root))}, n_train=8)
    weights.main("a", root=root)
    probe.main("a", root=root)
    return root


@pytest.fixture
def copied(pretrained: Path, tmp_path: Path) -> Path:
    return shutil.copytree(pretrained, tmp_path, dirs_exist_ok=True)


def heads(root: Path) -> ProbeHeads:
    return probe_heads.read(root / HEADS, tiny.CLASSES)


def test_the_heads_are_the_classifiers_that_predict_at_the_training_size(pretrained: Path) -> None:
    predicting = classifier_file.read(pretrained / "models/classifiers/a.safetensors", ["blue", "red"]).fitted
    found = heads(pretrained)
    assert found.heads.keys() == {"0", "1"}
    assert not found.missing
    for fold, head in found.heads.items():
        for in_training, predicted in zip(head, predicting[32, fold], strict=True):
            assert (in_training == predicted.astype("f4")).all()
    with pytest.raises(InputError, match=r"models/probe/a\.safetensors.*classes"):
        probe_heads.read(pretrained / HEADS, ["blue", "rot"])


@pytest.mark.parametrize("changed", [{"image_sizes": [40], "transforms": ["hflip"]}, {"transforms": ["identity"]}])
def test_neither_test_images_nor_settings_of_infer_change_a_byte_of_the_heads(
    copied: Path, changed: dict[str, Any]
) -> None:
    before, predicted = ((copied / name).read_bytes() for name in (HEADS, "data/probe/a.parquet"))
    tiny.write(copied, {"a": tiny.member(model=tiny.write_weights(copied), infer=changed)}, n_train=8, n_test=3)
    probe.main("a", root=copied)
    assert (copied / HEADS).read_bytes() == before
    assert (copied / "data/probe/a.parquet").read_bytes() != predicted


def test_neither_pixels_nor_labels_of_the_held_out_fold_reach_its_head(copied: Path) -> None:
    before, path = heads(copied).heads, copied / "data/split/folds.csv"
    folds = tables.read(path, tables.FOLDS)
    held = folds["fold"] == "0"
    folds.loc[held, "label"] = folds.loc[held, "label"].map({"red": "blue", "blue": "red"})
    tables.write(folds, path, tables.FOLDS)
    with pixels.Writer(copied / "data/prepare/train/pixels.arrow", encoding="raw") as writer:
        for place, (name, changed) in enumerate(zip(folds["image_id"], held, strict=True)):
            writer.add(name, tiny.image(tiny.CLASSES[place % 2], seed=place + 500 * changed))
    probe.main("a", root=copied)
    after = heads(copied).heads
    assert [one.tobytes() for one in after["0"]] == [one.tobytes() for one in before["0"]]
    assert after["1"][0].tobytes() != before["1"][0].tobytes()


def test_a_classifier_that_is_no_linear_layer_has_no_heads_but_a_reason(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backbones, "find_linear_head", lambda model: None)
    probe.main("a", root=copied)
    assert not heads(copied).heads
    assert "linear layer" in heads(copied).missing["1"]


def test_a_fold_whose_other_images_are_of_one_class_has_no_head(copied: Path) -> None:
    path = copied / "data/split/folds.csv"
    folds = tables.read(path, tables.FOLDS)
    folds["fold"] = folds["label"].map({"blue": "0", "red": "1"}).where(folds.index > 1, "0")
    tables.write(folds, path, tables.FOLDS)
    probe.main("a", root=copied)
    assert heads(copied).heads.keys() == {"1"}
    assert heads(copied).missing.keys() == {"0"}


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
    values = params.read(tmp_path) | {"fixres": {}, "pseudo": {}, "distill": {}, "external": {}}
    member = member_predictions.blend_members(values, tmp_path)["a"]
    assert {phase for tta in (member.default, *member.alternatives) for phase in tta.phases} == {"probe"}
    assert {tta.image_sizes for tta in member.alternatives} == {(32,), (40,)}  # 32 in the identity transform alone
