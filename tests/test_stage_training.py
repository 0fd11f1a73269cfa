"""Stages weights, pretrain, finetune and infer on a tiny contest, in one process."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import metrics

from podium.core import tables
from podium.core.errors import InputError
from podium.ensembling import curves as curves_of
from podium.models import backbones, probe_heads
from podium.training.trainer import CurvesLog, Trainer
from stages import finetune, infer, pretrain, probe, weights
from tests import tiny

HEAD = ("fc.weight", "fc.bias")
KEEP = {"head_init": "keep"}


def chain(root: Path, member: str = "a", folds: tuple[str, ...] = ("0", "1")) -> pd.DataFrame:
    weights.main(member, root=root)
    for fold in folds:
        pretrain.main(member, fold, root=root)
        finetune.main(member, fold, root=root)
    infer.main(member, root=root)
    return tables.read(root / f"data/infer/{member}.parquet", tables.PREDICTIONS)


def digests(root: Path) -> dict[str, str]:
    files = [p for top in ("models", "data") for p in (root / top).rglob("*") if p.is_file()]
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_every_image_gets_its_predictions(tmp_path: Path) -> None:
    tiny.write(tmp_path, {"a": tiny.member()})
    rows = chain(tmp_path)
    train, test = (rows[rows["subset"] == subset] for subset in ("train", "test"))
    folds = tables.read(tmp_path / "data/split/folds.csv", tables.FOLDS).set_index("image_id")
    assert tables.class_names(rows) == list(tiny.CLASSES)
    assert len(train) == 16 * 2 * 2  # sizes, transforms: out of fold, once each
    assert len(test) == 4 * 2 * 2 * 2  # by every fold's model
    assert (train["fold"].to_numpy() == folds.loc[train["image_id"], "fold"].to_numpy()).all()
    np.testing.assert_allclose(rows[["p:blue", "p:red"]].sum(axis=1), 1, atol=1e-5)
    held_out = tables.read(tmp_path / "data/finetune/a/0.parquet", tables.PREDICTIONS)
    same = train[(train["fold"] == "0") & (train["image_size"] == 32) & (train["transform"] == "identity")]
    merged = held_out.merge(same, on="image_id", suffixes=("", "_infer"))
    assert len(merged) == len(held_out) == 8
    np.testing.assert_allclose(merged["p:red"], merged["p:red_infer"], atol=1e-5)


def test_a_rerun_gives_the_same_bytes_with_0_and_2_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crop: list[dict[str, Any]] = [{"RandomResizedCrop": {"size": ["image_size", "image_size"]}}, {"HorizontalFlip": {}}]
    before = {"augmentation": crop, "ema_decay": 0.9, "cutmix": 1.0, "drop_path": 0.2, "loss": "bce", "image_size": 24}
    after = {"augmentation": [*crop, {"RandAugment": {}}], "average_epochs": 2, "epochs": 2, "sampler": "balanced"}
    outputs = []
    for workers in ("0", "2"):
        monkeypatch.setenv("PODIUM_WORKERS", workers)
        root = tmp_path / workers
        root.mkdir()
        tiny.write(root, {"a": tiny.member(pretrain=before, finetune={**after, "loss": "focal"})}, n_train=8)
        chain(root)
        outputs.append(digests(root))
    assert outputs[0] == outputs[1]
    assert {"models/finetune/a/0.safetensors", "data/infer/a.parquet"} < set(outputs[0])
    held_out = tables.read(root / "data/pretrain/a/0.parquet", tables.PREDICTIONS)
    assert set(held_out["image_size"]) == {24}


def test_curves_hold_every_epoch_and_no_time(tmp_path: Path) -> None:
    tiny.write(tmp_path, {"a": tiny.member(pretrain={"epochs": 3})}, n_train=8)
    weights.main("a", root=tmp_path)
    pretrain.main("a", "0", root=tmp_path)
    live = tmp_path / "data/pretrain/a/0.live"
    curves = {str(p.relative_to(live / "plots/metrics")): pd.read_csv(p, sep="\t") for p in live.rglob("*.tsv")}
    assert set(curves) == {"train/loss.tsv", "train/lr.tsv", "held_out/accuracy_score.tsv", "held_out/log_loss.tsv"}
    assert all(list(c["step"]) == [0, 1, 2] and list(c.columns) == ["step", c.columns[1]] for c in curves.values())
    held_out = tables.read(tmp_path / "data/pretrain/a/0.parquet", tables.PREDICTIONS).set_index("image_id")
    labels = tables.read(tmp_path / "data/split/folds.csv", tables.FOLDS).set_index("image_id")["label"]
    right, probs = labels[held_out.index], held_out[["p:blue", "p:red"]].astype(float)
    probs = probs.div(probs.sum(axis=1), axis=0).set_axis(["blue", "red"], axis=1)
    last = {name: curve.iloc[-1, 1] for name, curve in curves.items()}
    assert last["held_out/accuracy_score.tsv"] == pytest.approx(metrics.accuracy_score(right, probs.idxmax(axis=1)))
    assert last["held_out/log_loss.tsv"] == pytest.approx(metrics.log_loss(right, probs))
    assert not (tmp_path / "dvc.yaml").exists()


def test_curves_are_written_without_dvc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dvclive.live.get_dvc_repo", lambda: pytest.fail("DVC's repository was opened"))
    with CurvesLog(tmp_path / "0.live") as live:
        live.log_metric("train/loss", 0.5)
        live.make_summary()
    assert tables.read_json(tmp_path / "0.live/metrics.json")["train"] == {"loss": 0.5}


def test_an_error_of_a_training_is_not_hidden_by_one_of_the_curves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by a training without memory: dvclive then starts a thread at its end, and cannot."""
    monkeypatch.setattr(CurvesLog, "end", lambda _: 1 / 0)
    with pytest.raises(MemoryError), CurvesLog(tmp_path / "x.live"):
        raise MemoryError


def test_without_curves_the_same_weights_have_one_held_out_point(tmp_path: Path) -> None:
    changes = {"epochs": 3, "drop_path": 0.2, "ema_decay": 0.9, "augmentation": [{"HorizontalFlip": {}}]}
    for name, curves in {"with": {}, "without": {"curves": False}}.items():
        root = tmp_path / name
        root.mkdir()
        tiny.write(root, {"a": tiny.member(pretrain={**changes, **curves})}, n_train=8)
        weights.main("a", root=root)
        pretrain.main("a", "0", root=root)
    one, other = (tmp_path / name for name in ("with", "without"))
    every, last = digests(one), digests(other)
    live = "data/pretrain/a/0.live"
    held_out = {f"{live}/plots/metrics/held_out/{name}.tsv" for name in ("accuracy_score", "log_loss")}
    assert every.keys() == last.keys()
    assert {path for path in every if every[path] != last[path]} == {f"{live}/metrics.json", *held_out}
    assert tables.read_json(one / live / "metrics.json") == tables.read_json(other / live / "metrics.json")  # its order
    table = curves_of.read_live(other / live)
    assert list(table["epoch"]) == [0, 1, 2]
    assert list(table["held_out_log_loss"].notna()) == [False, False, True]
    assert table["train_loss"].notna().all()


def test_a_restarted_training_has_the_outputs_of_an_undisturbed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log, seen = Trainer._log, []

    def failing(self: Trainer, *args: Any) -> None:
        seen.append(len(seen))
        if len(seen) == 2:
            raise RuntimeError("some_cuda does not have a deterministic implementation, but you set ...")
        log(self, *args)

    for name in ("undisturbed", "again"):
        root = tmp_path / name
        root.mkdir()
        tiny.write(root, {"a": tiny.member(pretrain={"epochs": 2})})
        weights.main("a", root=root)
        if name == "again":
            monkeypatch.setattr(Trainer, "_log", failing)
        pretrain.main("a", "0", root=root)
    assert len(seen) == 3  # the first epoch, the second that failed, and that again
    assert "pretrain@a-0: torch has no deterministic some_cuda" in capsys.readouterr().out
    assert digests(tmp_path / "again") == digests(tmp_path / "undisturbed")


@pytest.mark.parametrize("off", ["pretrain", "finetune"])
def test_a_phase_of_0_epochs_hands_its_weights_on(tmp_path: Path, off: str) -> None:
    tiny.write(tmp_path, {"a": tiny.member(**{off: {"epochs": 0}})}, n_train=8)
    rows = chain(tmp_path)
    assert len(rows)
    before = "weights/a.safetensors" if off == "pretrain" else "pretrain/a/0.safetensors"
    after = (tmp_path / f"models/{off}/a/0.safetensors").read_bytes()
    assert after == (tmp_path / "models" / before).read_bytes()
    empty = tables.read(tmp_path / f"data/{off}/a/0.parquet", tables.PREDICTIONS)
    assert len(empty) == 0
    assert tables.class_names(empty) == list(tiny.CLASSES)


def test_the_held_out_fold_is_not_trained_on(tmp_path: Path) -> None:
    """Other labels and pixels in the fold change nothing but its own predictions' scores."""
    models = []
    for name in ("one", "two"):
        root = tmp_path / name
        root.mkdir()
        tiny.write(root, {"a": tiny.member()}, n_train=8)
        folds = tables.read(root / "data/split/folds.csv", tables.FOLDS)
        if name == "two":
            held = folds["fold"] == "0"
            folds.loc[held, "label"] = folds.loc[held, "label"].map({"red": "blue", "blue": "red"})
            tables.write(folds, root / "data/split/folds.csv", tables.FOLDS)
        weights.main("a", root=root)
        pretrain.main("a", "0", root=root)
        models.append((root / "models/pretrain/a/0.safetensors").read_bytes())
    assert models[0] == models[1]


def test_skipped_images_are_predicted_and_never_trained_on(tmp_path: Path) -> None:
    tiny.write(tmp_path, {"a": tiny.member()}, n_train=12)
    path = tmp_path / "data/split/folds.csv"
    folds = tables.read(path, tables.FOLDS)
    folds.loc[folds["image_id"] == "00.png", ["label", "use", "reason"]] = ["", "skip", "no label"]
    folds.loc[folds["image_id"] == "01.png", ["use", "reason", "fold"]] = ["skip", "unreadable", ""]
    tables.write(folds, path, tables.FOLDS)
    rows = chain(tmp_path)
    assert set(rows.loc[rows["subset"] == "train", "image_id"]) == {f"{i:02}.png" for i in range(12)} - {"01.png"}
    assert "00.png" not in set(tables.read(tmp_path / "data/finetune/a/0.parquet", tables.PREDICTIONS)["image_id"])


def test_weights_from_a_file_are_used_and_their_head_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tiny.write_weights(tmp_path)
    tiny.write(tmp_path, {"a": tiny.member(model=model, pretrain={"epochs": 0}, finetune=KEEP)}, n_train=8)
    chain(tmp_path)
    assert "finetune@a-0: weights of a: new head" in capsys.readouterr().out
    read = backbones.read(tmp_path / "models/finetune/a/0.safetensors")
    assert read.meta["preprocessing"]["mean"] == [0.4] * 3
    assert read.meta["classes"] == list(tiny.CLASSES)


@pytest.mark.parametrize("head_init", ["keep", "probe"])
def test_a_frozen_backbone_is_a_member_like_any_other(tmp_path: Path, head_init: str) -> None:
    changes = {"pretrain": {"epochs": 0}, "finetune": {"frozen": "backbone", "head_init": head_init}}
    tiny.write(tmp_path, {"a": tiny.member(model=tiny.write_weights(tmp_path), **changes)}, n_train=8)
    weights.main("a", root=tmp_path)
    if head_init == "probe":
        probe.main("a", root=tmp_path)
    pretrain.main("a", "0", root=tmp_path)
    finetune.main("a", "0", root=tmp_path)
    start = backbones.read(tmp_path / "models/weights/a.safetensors").state
    end = backbones.read(tmp_path / "models/finetune/a/0.safetensors").state
    assert all(torch.equal(end[k], v) == (k not in HEAD) for k, v in start.items())
    assert end.keys() == start.keys()


@pytest.mark.parametrize("epochs", [1, 0])
def test_the_first_phase_with_epochs_starts_from_the_probe_of_its_fold_and_the_next_from_that_phase(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epochs: int
) -> None:
    model = tiny.write_weights(tmp_path)
    tiny.write(tmp_path, {"a": tiny.member(model=model, pretrain={"epochs": epochs})}, n_train=8)
    weights.main("a", root=tmp_path)
    probe.main("a", root=tmp_path)
    fit, heads = Trainer._fit, []

    def watched(self: Trainer, model: torch.nn.Module, live: Any) -> torch.nn.Module:
        heads.append(tuple(model.state_dict()[name].numpy().tobytes() for name in HEAD))
        return fit(self, model, live)

    monkeypatch.setattr(Trainer, "_fit", watched)
    pretrain.main("a", "1", root=tmp_path)
    finetune.main("a", "1", root=tmp_path)
    probed = probe_heads.read(tmp_path / "models/probe/a.safetensors", tiny.CLASSES).heads
    assert heads[0] == tuple(one.tobytes() for one in probed["1"])
    assert probed["1"][0].tobytes() != probed["0"][0].tobytes()
    assert len(heads) == 1 + epochs
    if epochs:
        before = backbones.read(tmp_path / "models/pretrain/a/1.safetensors").state
        assert heads[1] == tuple(before[name].numpy().tobytes() for name in HEAD)
        assert heads[1] != heads[0]


def test_a_diverging_training_names_itself(tmp_path: Path) -> None:
    tiny.write(tmp_path, {"a": tiny.member(finetune={"lr": 1e30, "optimizer": "sgd", "epochs": 3})}, n_train=8)
    weights.main("a", root=tmp_path)
    pretrain.main("a", "1", root=tmp_path)
    with pytest.raises(InputError, match=r"finetune@a-1: .* at epoch \d"):
        finetune.main("a", "1", root=tmp_path)
    assert not (tmp_path / "models/finetune/a/1.safetensors").exists()


def test_the_metadata_is_what_infer_needs_and_models_of_other_classes_are_refused(tmp_path: Path) -> None:
    tiny.write(tmp_path, {"a": tiny.member(model={"resize": "crop", "crop_fraction": 0.5})}, n_train=8)
    chain(tmp_path)
    meta = backbones.read(tmp_path / "models/finetune/a/0.safetensors").meta
    assert meta["preprocessing"] == {"mean": [0.5] * 3, "std": [0.5] * 3, "resize": "crop", "crop_fraction": 0.5}
    assert json.loads(json.dumps(meta)) == meta
    assert meta["backbone"] == tiny.member()["model"]["backbone"]
    path = tmp_path / "data/split/folds.csv"
    folds = tables.read(path, tables.FOLDS)
    folds.loc[folds["label"] == "red", "label"] = "rot"
    tables.write(folds, path, tables.FOLDS)
    with pytest.raises(InputError, match="trained on classes"):
        infer.main("a", root=tmp_path)
