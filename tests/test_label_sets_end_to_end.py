"""All stages on a tiny contest where an image has several labels, in one process, from its files to the page."""

import csv
import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from sklearn import metrics

from podium import contracts
from podium.activation_maps import map_file
from podium.core import tables, targets
from podium.core.errors import InputError
from podium.ensembling import recipe_schema
from tests import tiny
from tests.graph import PROJECT

CHANNELS = {"red": 0, "green": 1, "blue": 2}  # of a label
LABELS = sorted(CHANNELS)
N_TRAIN, N_TEST, FOLDS = 36, 6, ("0", "1")
PHASES = [f"{phase}@{name}-{fold}" for phase in ("pretrain", "finetune") for name in "ab" for fold in FOLDS]
STAGES = [
    *("check", "prepare@train", "prepare@test", "label", "analyze", "picture", "split", "audit", "weights@a"),
    *("weights@b", "probe@a", "probe@b", "joint_probe", *PHASES, "infer_pretrain@a", "infer_pretrain@b", "infer@a"),
    *("infer@b", "ensemble", "review", "activation_maps", "report", "ladder", "page"),
]


def write_contest(root: Path) -> dict[str, list[str]]:
    """Write images whose channels show their labels; return the labels of each image."""
    random, truth = np.random.default_rng(0), {}
    for subset, count in (("train", N_TRAIN), ("test", N_TEST)):
        (root / subset).mkdir()
        for i in range(count):
            own = [name for name in LABELS if random.random() < 0.5] or ["red"]
            drawn = random.integers(0, 120, (40, 52, 3), dtype=np.uint8)
            drawn[..., [CHANNELS[name] for name in own]] += 130
            Image.fromarray(drawn).save(root / subset / f"{subset}{i:02}.png")
            truth[f"{subset}{i:02}.png"] = own
    rows = [f"{name},{' '.join(own)}" for name, own in truth.items() if name.startswith("train")]
    (root / "labels.csv").write_text("\n".join(["image,labels", *rows]) + "\n")
    ids = sorted((name for name in truth if name.startswith("test")), reverse=True)
    (root / "template.csv").write_text("\n".join(["image,labels", *(f"{name},red" for name in ids)]) + "\n")
    return truth


def write_params(root: Path) -> None:
    values: dict[str, Any] = yaml.safe_load((PROJECT / "params.yaml").read_text())
    (root / "placeholders/empty").mkdir(parents=True)
    (none := root / "placeholders/none.csv").touch()
    none_text = none.relative_to(root).as_posix()
    values["contest"] = {
        "images": {"train": "train", "test": "test"}, "lists": {"train": none_text, "test": none_text},
        "task": "labels", "layout": "csv", "labels": "labels.csv", "label_type": "text", "overrides": none_text,
        "columns": {"id": "image", "label": "labels", "separator": " "}, "template": "template.csv",
        "submission": {"values": "labels"}, "metric": "micro_f1",
    }  # fmt: skip
    trained = tiny.member(model=tiny.write_weights(root), finetune={"loss": "asymmetric", "lr": 0.003},
                          infer={"image_sizes": [32]})  # fmt: skip
    probed = trained | {phase: {**trained[phase], "epochs": 0} for phase in ("pretrain", "finetune")}
    values |= {"members": {"a": trained, "b": probed}, "folds": list(map(int, FOLDS))}
    values |= {"torch": {"threads": 1, "device": "cpu"}, "fixres": {}, "pseudo": {}, "distill": {}, "external": {}}
    values["prepare"]["short_side"] = 40
    tiny.write_params(root, values)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[str]]]:
    root = tmp_path_factory.mktemp("sets")
    truth = write_contest(root)
    write_params(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PODIUM_WORKERS", "1")
        for name in STAGES:
            stage, _, item = name.partition("@")
            importlib.import_module(f"stages.{stage}").main(*filter(None, item.split("-")), root=root)
    return root, truth


Run = tuple[Path, dict[str, list[str]]]


def flags(sets: list[list[str]]) -> np.ndarray:
    """(images, labels)"""
    return np.array([[name in own for name in LABELS] for own in sets])


def test_the_submission_holds_the_sets_that_the_images_show(run: Run) -> None:
    root, truth = run
    with (root / "data/ensemble/submission.csv").open() as opened:
        header, *rows = csv.reader(opened)
    assert header == ["image", "labels"]
    assert [row[0] for row in rows] == sorted((row[0] for row in rows), reverse=True)
    cells = [cell.split(" ") for _, cell in rows]
    assert all(set(cell) <= set(LABELS) and cell for cell in cells)
    right = metrics.f1_score(flags([truth[row[0]] for row in rows]), flags(cells), average="micro")
    assert right > 0.7


def test_the_score_is_that_of_the_out_of_fold_sets(run: Run) -> None:
    root, truth = run
    summary = json.loads((root / "metrics/summary.json").read_text())
    oof = tables.read(root / "data/ensemble/oof.parquet", contracts.OOF)
    probs = oof[[f"p:{name}" for name in LABELS]].to_numpy()
    guess = targets.predicted_sets(probs, 1)
    own = flags([truth[image] for image in oof["image_id"]])
    assert summary["oof_score"] == pytest.approx(metrics.f1_score(own, guess, average="micro"), abs=1e-5)
    by_label = [metrics.log_loss(own[:, k], probs[:, k].astype(float)) for k in range(3)]
    assert summary["oof_log_loss"] == pytest.approx(np.mean(by_label), abs=1e-5)
    assert summary["n_train_images"] == N_TRAIN
    classes = pd.read_csv(root / "data/report/classes.csv").set_index("label")
    for k, name in enumerate(LABELS):
        assert classes.loc[name, "f1"] == pytest.approx(metrics.f1_score(own[:, k], guess[:, k]), abs=1e-5)


def test_probabilities_of_labels_are_sigmoids_and_probes_start_the_heads(run: Run) -> None:
    root, _ = run
    for path in ("infer/a", "finetune/a/0", "probe/a", "joint_probe/predictions"):
        probs = tables.read(root / f"data/{path}.parquet", tables.PREDICTIONS)[[f"p:{name}" for name in LABELS]]
        assert probs.to_numpy().min() >= 0
        assert probs.to_numpy().max() <= 1
        assert (probs.sum(axis=1) - 1).abs().max() > 0.1


def test_review_and_page_speak_of_sets(run: Run) -> None:
    root, truth = run
    suspects = tables.read(root / "data/review/suspects.csv", contracts.SUSPECTS)
    for row in suspects.itertuples():
        assert targets.of_cell(row.given) == sorted(truth[row.image_id])
        assert row.given != row.suggested
    page = (root / "data/report/index.html").read_text()
    assert "which each test image has" in page
    maps = map_file.read(root / map_file.PATH)
    assert maps.network is not None
    assert page.count('class="map"') == len(maps.by_mistake) > 0
    assert {label.removeprefix("not ") for _, label in maps.by_mistake} <= set(LABELS)
    sheets = {path.name for path in (root / "data/picture/classes").iterdir()}
    assert sheets == {"0_blue.png", "1_green.png", "2_red.png"}


def test_a_recipe_of_sets_is_refused_for_new_images(run: Run) -> None:
    with pytest.raises(InputError, match="sets of labels"):
        recipe_schema.read(run[0] / recipe_schema.PATH)
