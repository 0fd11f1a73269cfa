"""Extra images: trained on in every fold but those that hold out a duplicate, and never scored."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from podium import contracts
from podium.core import params, tables
from podium.core.errors import InputError
from podium.folds import extra
from podium.folds.settings import ExtraSettings
from podium.models import backbones, devices
from podium.training import phase
from podium.training.phase import FoldImages, LabelledImages
from podium.training.train_images import EpochBatches
from podium.training.trainer import Trainer
from stages import extra as stage
from stages import finetune, pretrain, split, weights
from tests import test_stage_split, tiny


def write(root: Path, names: list[str], label: str = "a", clusters: dict[str, str] | None = None) -> None:
    """The contest of test_stage_split, with extra images, and duplicates: image -> cluster."""
    test_stage_split.write_inputs(root)
    path = root / "data/label/labels.csv"
    more = pd.DataFrame({"image_id": names, "label": label, "use": "train", "reason": "", "group": "", "fold": ""})
    tables.write(pd.concat([tables.read(path, contracts.LABELS), more]), path, contracts.LABELS)
    path = root / "data/prepare/train/facts.csv"
    facts = tables.read(path, contracts.FACTS)
    more = pd.concat([facts.iloc[[5]]] * len(names)).assign(image_id=names)
    tables.write(pd.concat([facts, more]), path, contracts.FACTS)
    found = pd.DataFrame({"image_id": list(clusters or {}), "cluster": list((clusters or {}).values())}, dtype="str")
    path = root / "data/analyze/clusters.csv"
    tables.write(pd.concat([tables.read(path, contracts.CLUSTERS), found]), path, contracts.CLUSTERS)
    write_leaks(root, [])
    values = params.read(root) | {"extra": {"others": {"pattern": "^o/", "share": 0.5}}}
    (root / "params.yaml").write_text(yaml.safe_dump(values))


def write_leaks(root: Path, copied: list[str]) -> None:
    leaks = pd.DataFrame({"train_image_id": copied, "test_image_id": "t.png", "kind": "near", "similarity": 0.99})
    tables.write(leaks.astype({"train_image_id": "str"}), root / "data/analyze/leaks.csv", contracts.LEAKS)


def run(root: Path) -> pd.DataFrame:
    split.main(root=root)
    stage.main("others", root=root)
    return tables.read(root / "data/extra/others.csv", tables.EXTRA).set_index("image_id")


def test_extra_images_change_no_fold_and_are_skipped_by_all_other_stages(tmp_path: Path) -> None:
    test_stage_split.write_inputs(tmp_path)
    split.main(root=tmp_path)
    before = tables.read(tmp_path / "data/split/folds.csv", tables.FOLDS)
    write(tmp_path, ["o/1.png", "o/2.png"])
    found = run(tmp_path)
    after = tables.read(tmp_path / "data/split/folds.csv", tables.FOLDS)
    is_extra = after["image_id"].str.startswith("o/")
    pd.testing.assert_frame_equal(after[~is_extra].reset_index(drop=True), before)
    assert set(after.loc[is_extra, "use"]) == {"skip"}
    assert set(after.loc[is_extra, "fold"]) == {""}
    assert set(found["without"]) == {""}
    assert set(found["share"]) == {0.5}


def test_no_fold_trains_on_a_duplicate_of_an_image_that_it_holds_out(tmp_path: Path) -> None:
    """Also not where the duplicate is known by another extra image alone; and none on one of a test image."""
    pairs = {"20.png": "x", "o/0.png": "x", "o/1.png": "y", "o/2.png": "y", "o/3.png": "z", "o/4.png": "z"}
    write(tmp_path, [f"o/{i}.png" for i in range(6)], clusters=pairs)
    path = tmp_path / "data/label/labels.csv"
    table = tables.read(path, contracts.LABELS)
    table.loc[table["image_id"].isin(["o/1.png", "21.png"]), "group"] = "patient"
    tables.write(table, path, contracts.LABELS)
    write_leaks(tmp_path, ["o/3.png"])
    found = run(tmp_path)
    folds = tables.read(tmp_path / "data/split/folds.csv", tables.FOLDS).set_index("image_id")["fold"]
    assert list(found.index) == ["o/0.png", "o/1.png", "o/2.png", "o/5.png"]
    assert list(found["without"]) == [folds["20.png"], folds["21.png"], folds["21.png"], ""]


def test_entries_without_images_and_classes_that_no_image_of_the_contest_has_are_refused(tmp_path: Path) -> None:
    write(tmp_path, ["o/1.png"], "c")
    with pytest.raises(InputError, match="'c'"):
        split.main(root=tmp_path)
    path = tmp_path / "data/label/labels.csv"
    table = tables.read(path, contracts.LABELS)
    with pytest.raises(InputError, match=r"extra.none.pattern"):
        extra.set_aside(table, {"none": ExtraSettings(pattern="nothing")})
    tables.write(table.replace("c", "a"), path, contracts.LABELS)
    write_leaks(tmp_path, ["o/1.png"])
    with pytest.raises(InputError, match=r"extra.others"):
        run(tmp_path)


def test_a_fold_adds_its_extra_images_after_its_own(tmp_path: Path) -> None:
    rows = {"image_id": ["o/1.png", "o/2.png"], "label": ["b", "a"], "without": ["0 2", ""], "share": [1.0, 0.25]}
    tables.write(pd.DataFrame(rows), tmp_path / "data/extra/others.csv", tables.EXTRA)
    own = LabelledImages(["1.png"], np.array([1]))
    data = FoldImages(["a", "b"], own, own)
    found = {fold: phase.with_extra(data, phase.extra_files(tmp_path), fold) for fold in ("0", "1", "20")}
    assert found["0"].train.image_ids == ["1.png", "o/2.png"]
    for fold in ("1", "20"):
        assert found[fold].train.image_ids == ["1.png", "o/1.png", "o/2.png"]
        assert found[fold].train.targets.tolist() == [1, 1, 0]
        assert np.asarray(found[fold].shares).tolist() == [1, 1, 0.25]
        assert found[fold].held_out is own
    assert phase.with_extra(data, [], "0") is data


@pytest.mark.parametrize("balanced", [None, [0, 1] * 10])
def test_an_epoch_draws_a_share_of_the_extra_images_and_each_epoch_others(balanced: list[int] | None) -> None:
    shares = np.repeat([1.0, 0.25], [8, 12])
    batches = list(EpochBatches(20, 4, 6, 1, balanced, shares=shares))
    assert len(batches) == 6 * 3
    by_epoch = [{draw.image for batch in batches for draw in batch if draw.epoch == epoch} for epoch in range(6)]
    assert all(len(images - set(range(8))) <= 3 for images in by_epoch)
    assert balanced or all(set(range(8)) <= images for images in by_epoch)
    assert len(set().union(*by_epoch)) > 14
    rest = list(EpochBatches(20, 4, 6, 1, balanced, first_epoch=2, shares=shares))
    assert rest == batches[6:]
    assert list(EpochBatches(20, 4, 2, 1, balanced)) == list(EpochBatches(20, 4, 2, 1, balanced, shares=np.ones(20)))


@pytest.mark.parametrize("setting", [{"class_weights": "balanced"}, {"loss": "logit_adjusted"}])
def test_what_corrects_for_the_classes_counts_counts_what_an_epoch_draws(
    tmp_path: Path, setting: dict[str, str]
) -> None:
    tiny.write(tmp_path, {"a": tiny.member(pretrain=setting)})
    weights.main("a", root=tmp_path)
    job = phase.load_job("pretrain", "a", "0", tmp_path)
    checkpoint = backbones.read(tmp_path / "models/weights/a.safetensors")
    found = []
    for n_extra, share in ((8, 0.25), (2, 1.0)):
        own = LabelledImages([f"{k}.png" for k in range(6)], np.array([0, 0, 0, 0, 1, 1]))
        train = LabelledImages([*own.image_ids, *map(str, range(n_extra))], np.r_[own.targets, np.ones(n_extra, int)])
        data = FoldImages(list(tiny.CLASSES), train, own, np.repeat([1.0, share], [6, n_extra]))
        loss = Trainer(job, checkpoint, data, devices.Numerics(torch.device("cpu")))._loss()
        found.append(loss(torch.tensor([[1.0, 0.0], [0.5, 0.0]]), torch.eye(2)))
    assert found[0] == found[1]


def test_labels_of_an_extra_image_reach_the_trainings_of_its_folds_alone(tmp_path: Path) -> None:
    made = []
    for label in tiny.CLASSES:
        root = tmp_path / label
        tiny.write(root, {"a": tiny.member(pretrain={"epochs": 0})}, n_train=12)
        path = root / "data/split/folds.csv"
        table = tables.read(path, tables.FOLDS)
        table.loc[table["image_id"] == "11.png", ["use", "fold"]] = ["skip", ""]
        tables.write(table, path, tables.FOLDS)
        row = pd.DataFrame({"image_id": ["11.png"], "label": [label], "without": ["0"], "share": [1.0]})
        tables.write(row, root / "data/extra/others.csv", tables.EXTRA)
        weights.main("a", root=root)
        for fold in ("0", "1"):
            pretrain.main("a", fold, root=root)
            finetune.main("a", fold, root=root)
        made.append([(root / f"models/finetune/a/{fold}.safetensors").read_bytes() for fold in ("0", "1")])
    assert made[0][0] == made[1][0]
    assert made[0][1] != made[1][1]
