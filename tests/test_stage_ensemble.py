import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from podium import contracts
from podium.core import tables
from podium.core.errors import InputError
from podium.ensembling import blending
from podium.scoring import scores
from stages import ensemble

CLASSES = ("blue", "red")
FOLDS = ("0", "1", "2")
TRAIN = [f"{i:02}.png" for i in range(30)]
TEST = [f"t{i}.png" for i in range(7)]
SKIPPED, UNREADABLE, UNREADABLE_TEST = "03.png", "05.png", "t2.png"
OUTPUTS = ["submission.csv", "oof.parquet", "test.parquet", "members.csv", "tta.csv", "methods.csv", "curves.csv"]


def member(pretrain_epochs: int) -> dict[str, Any]:
    return {
        "model": {"backbone": "resnet10t", "weights": "none", "image_size": 32},
        "pretrain": {"epochs": pretrain_epochs, "lr": 0.01},
        "finetune": {"epochs": 2, "lr": 0.01},
        "infer": {"image_sizes": [32, 40], "transforms": ["identity", "hflip"]},
    }


def folds_table() -> pd.DataFrame:
    labels = [CLASSES[i % 2] for i in range(30)]
    table = pd.DataFrame({"image_id": TRAIN, "label": labels, "use": "train", "reason": "", "group": TRAIN})
    table["fold"] = [FOLDS[i // 2 % 3] for i in range(30)]
    table.loc[table["image_id"].isin([SKIPPED, UNREADABLE]), "use"] = "skip"
    table.loc[table["image_id"] == UNREADABLE, "fold"] = ""
    return table


def predicted(part: str, images: list[tuple[str, str]], sizes: list[int], transforms: list[str], *, seed: int):
    """Rows of tables.PREDICTIONS in random order, better than chance on train images."""
    rng = np.random.default_rng(seed)
    cells = [(i, part, f, s, v) for (i, f), s, v in itertools.product(images, sizes, transforms)]
    table = pd.DataFrame(cells, columns=list(tables.PREDICTIONS.columns))
    truth = table["image_id"].str.extract(r"(\d+)")[0].astype(int) % 2
    red = np.clip(rng.uniform(0, 1, len(table)) * 0.7 + 0.3 * truth, 0, 1).astype(np.float32)
    return table.assign(**{"p:blue": 1 - red, "p:red": red}).sample(frac=1, random_state=seed)


def pairs(folds: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(folds["image_id"], folds["fold"], strict=True))


def write_member(root: Path, name: str, settings: dict[str, Any], test_ids: list[str], seed: int) -> None:
    """Write what pretrain, finetune and infer of one member would leave."""
    folds = folds_table().query("fold != ''")
    used = folds[folds["use"] == "train"]
    sizes, transforms = settings["infer"]["image_sizes"], settings["infer"]["transforms"]
    parts = [predicted("train", pairs(folds), sizes, transforms, seed=seed)]
    if test_ids:
        parts.append(predicted("test", list(itertools.product(test_ids, FOLDS)), sizes, transforms, seed=seed))
    tables.write(pd.concat(parts), root / f"data/infer/{name}.parquet", tables.PREDICTIONS)
    for phase, fold in itertools.product(("pretrain", "finetune"), FOLDS):
        if settings[phase]["epochs"]:
            table = predicted("train", pairs(used[used["fold"] == fold]), [32], ["identity"], seed=seed)
            tables.write(table, root / f"data/{phase}/{name}/{fold}.parquet", tables.PREDICTIONS)
            live = root / f"data/{phase}/{name}/{fold}.live/plots/metrics"
            tables.write_text("step\tloss\n0\t0.9\n1\t0.5\n", live / "train/loss.tsv")
            tables.write_text("step\taccuracy_score\n0\t0.5\n1\t0.75\n", live / "held_out/accuracy_score.tsv")


def write_facts(root: Path, test_ids: list[str]) -> None:
    facts = pd.DataFrame({"image_id": test_ids, "width": 9, "height": 9, "mode": "RGB", "format": "PNG", "bytes": 1})
    facts = facts.assign(sha256="", problem="", note="")
    facts.loc[facts["image_id"] == UNREADABLE_TEST, "problem"] = "truncated"
    tables.write(facts, root / "data/prepare/test/facts.csv", contracts.FACTS)


def write_inputs(root: Path, test_ids: list[str] = TEST, **changes: Any) -> None:
    """A contest of two members; `a` has no pretraining."""
    tables.write(folds_table(), root / "data/split/folds.csv", tables.FOLDS)
    write_facts(root, test_ids)
    (root / "placeholders").mkdir(exist_ok=True)
    (root / "placeholders/none.csv").touch()
    members = {"b": member(pretrain_epochs=2), "a": member(pretrain_epochs=0)}
    readable = [image_id for image_id in test_ids if image_id != UNREADABLE_TEST]
    for seed, (name, settings) in enumerate(members.items()):
        write_member(root, name, settings, readable, seed)
    contest = {"images": {"train": "train", "test": "test"}, "metric": changes.pop("metric", "accuracy")}
    values = {"folds": [0, 1, 2], "contest": contest, "members": members, "fixres": {}, "external": {}}
    values["ensemble"] = {"method": "equal"}
    (root / "params.yaml").write_text(yaml.safe_dump({**values, **changes}, sort_keys=False))


def summary(root: Path) -> dict[str, Any]:
    return json.loads((root / "metrics/summary.json").read_text())


def probs(table: pd.DataFrame) -> np.ndarray:
    return table[["p:blue", "p:red"]].to_numpy()


@pytest.mark.parametrize(
    ("method", "metric"),
    [
        ("auto", "accuracy"),
        ("auto", "roc_auc"),
        ("auto", "kappa"),
        ("equal", "log_loss"),
        ("greedy", "accuracy"),
        ("stacking", "log_loss"),
    ],
)
def test_outputs_agree_with_each_other(tmp_path: Path, method: str, metric: str) -> None:
    write_inputs(tmp_path, metric=metric, ensemble={"method": method})
    ensemble.main(root=tmp_path)
    found = summary(tmp_path)
    assert len(found) <= 12
    oof = tables.read(tmp_path / "data/ensemble/oof.parquet", contracts.OOF)
    assert list(oof["image_id"]) == [i for i in TRAIN if i not in (SKIPPED, UNREADABLE)]
    targets = (oof["label"] == "red").to_numpy().astype(np.int64)
    assert found["oof_score"] == pytest.approx(scores.SCORES[metric].function(targets, probs(oof)), abs=1e-6)
    assert found["oof_log_loss"] == pytest.approx(scores.log_loss(targets, probs(oof)), abs=1e-6)
    assert found["oof_score_low"] < found["oof_score"] < found["oof_score_high"]
    flattered = found["oof_score_naive"] - found["oof_score"]
    assert found["optimism"] == pytest.approx(-flattered if metric == "log_loss" else flattered, abs=2e-6)
    members = tables.read(tmp_path / "data/ensemble/members.csv", contracts.MEMBERS).set_index("member")
    assert list(members.index) == ["a", "b"]
    weights = members["weight"]
    assert weights.isna().all() if method == "stacking" else weights.isna().all() or weights.sum() == pytest.approx(1)
    assert found["best_member"] in members.index
    best = members["score"].min() if metric == "log_loss" else members["score"].max()
    worse = found["best_member_score"] - best if metric == "log_loss" else best - found["best_member_score"]
    assert worse > -1e-6 or metric in ("roc_auc", "kappa")  # these are no means over parts
    assert np.isnan(members.loc["a", "pretrain_score"])
    assert members[["finetune_score", "train_size_score"]].notna().all(axis=None)
    assert (found["n_members"], found["n_train_images"], found["n_test_images"]) == (2, 28, 7)


def test_every_decision_is_in_a_table_with_its_evidence(tmp_path: Path) -> None:
    write_inputs(tmp_path, ensemble={"method": "auto"})
    ensemble.main(root=tmp_path)
    sizes = tables.read(tmp_path / "data/ensemble/tta.csv", contracts.TTA)
    assert set(sizes.groupby("member").groups) == {"a", "b"}
    for name, rows in sizes.groupby("member"):
        assert (rows["verdict"] == "default").sum() == 1
        assert set(rows["image_sizes"]) >= {"32", "40"}
        assert set(rows["transforms"]) == {"hflip identity", "identity"}
        assert rows["chosen_in_outer_folds"].sum() == len(FOLDS)
        taken = rows[rows["verdict"] == "chosen"]
        used = tables.read(tmp_path / "data/ensemble/members.csv", contracts.MEMBERS).set_index("member")
        expected = "32" if taken.empty else taken["image_sizes"].iloc[0]
        assert used.loc[name, "image_sizes"] == expected
        others = rows[rows["verdict"] != "default"]
        assert ((others["low"] <= others["gain"]) & (others["gain"] <= others["high"])).all()
        assert (taken["p"] < 0.05).all()
    methods = tables.read(tmp_path / "data/ensemble/methods.csv", contracts.METHODS)
    assert list(methods["method"]) == ["equal", "logits", "greedy", "weighted", "stacking"]
    assert methods["chosen_in_outer_folds"].sum() == len(FOLDS)


def calibrated(root: Path, name: str, fold: str) -> np.ndarray:
    """One fold's test predictions of a member as its decision says, worked out from the tables alone."""
    sizes = tables.read(root / "data/ensemble/tta.csv", contracts.TTA).query("member == @name")
    row = (sizes[sizes["verdict"] == "chosen"] if "chosen" in set(sizes["verdict"]) else sizes.head(1)).iloc[0]
    table = pd.read_parquet(root / f"data/infer/{name}.parquet").query("subset == 'test' and fold == @fold")
    table = table[table["image_size"].isin([int(size) for size in row["image_sizes"].split()])]
    table = table[table["transform"].isin(row["transforms"].split())]
    readable = [image_id for image_id in TEST if image_id != UNREADABLE_TEST]
    logs = np.log(table.groupby("image_id")[["p:blue", "p:red"]].mean().loc[readable].to_numpy()) / row["temperature"]
    return np.exp(logs) / np.exp(logs).sum(axis=1, keepdims=True)


@pytest.mark.parametrize("method", ["greedy", "equal"])
def test_test_images_are_blended_fold_by_fold_as_they_were_scored(tmp_path: Path, method: str) -> None:
    write_inputs(tmp_path, ensemble={"method": method})
    ensemble.main(root=tmp_path)
    members = tables.read(tmp_path / "data/ensemble/members.csv", contracts.MEMBERS)
    blend = tables.read(tmp_path / "data/ensemble/test.parquet", contracts.TEST)
    assert list(blend["image_id"]) == [image_id for image_id in TEST if image_id != UNREADABLE_TEST]
    cells = list(zip(members["member"], members["weight"], strict=True))
    folds = [sum(weight * calibrated(tmp_path, name, fold) for name, weight in cells) for fold in FOLDS]

    def tempered(temperature: float) -> np.ndarray:
        powers = [fold ** (1 / temperature) for fold in folds]
        return np.mean([x / x.sum(axis=1, keepdims=True) for x in powers], axis=0)

    errors = [np.abs(tempered(t) - probs(blend)).max() for t in np.geomspace(0.2, 3, 1000)]
    assert min(errors) < 3e-3  # with one temperature of the blend, which no table holds


def test_weights_of_classes_are_undone(tmp_path: Path) -> None:
    """A training with balanced weights answers as if classes were equally frequent; here red has a third."""
    write_inputs(tmp_path, ensemble={"method": "equal"})
    rare(tmp_path)
    shares = []
    for weights in ("none", "balanced"):
        values = yaml.safe_load((tmp_path / "params.yaml").read_text())
        for settings in values["members"].values():
            settings["finetune"]["class_weights"] = weights
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
        ensemble.main(root=tmp_path)
        shares.append(tables.read(tmp_path / "data/ensemble/oof.parquet", contracts.OOF)["p:red"].mean())
    assert shares[1] < shares[0] - 0.03


def rare(root: Path) -> None:
    """Skip half of the red images."""
    folds = tables.read(root / "data/split/folds.csv", tables.FOLDS)
    red = folds.index[(folds["label"] == "red") & (folds["use"] == "train")]
    folds.loc[red[::2], "use"] = "skip"
    tables.write(folds, root / "data/split/folds.csv", tables.FOLDS)
    for path in [*(root / "data/pretrain").rglob("*.parquet"), *(root / "data/finetune").rglob("*.parquet")]:
        table = tables.read(path, tables.PREDICTIONS)
        gone = folds.loc[folds["use"] == "skip", "image_id"]
        tables.write(table[~table["image_id"].isin(gone)], path, tables.PREDICTIONS)


def test_a_method_that_cannot_be_used_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blending, "MAX_FEATURES", 3)
    write_inputs(tmp_path, ensemble={"method": "stacking"})
    with pytest.raises(InputError, match=r"ensemble\.method: stacking 2 members with 2 classes"):
        ensemble.main(root=tmp_path)
    write_inputs(tmp_path, ensemble={"method": "auto"})
    ensemble.main(root=tmp_path)
    methods = tables.read(tmp_path / "data/ensemble/methods.csv", contracts.METHODS)
    assert "stacking" not in set(methods["method"])


def test_an_unreadable_test_image_is_in_the_submission(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_inputs(tmp_path)
    ensemble.main(root=tmp_path)
    submitted = tables.read_text_csv(tmp_path / "data/ensemble/submission.csv")
    assert list(submitted["image_id"]) == TEST
    assert set(submitted["label"]) <= set(CLASSES)
    assert UNREADABLE_TEST in capsys.readouterr().out


def test_a_contest_without_test_images_works(tmp_path: Path) -> None:
    write_inputs(tmp_path, test_ids=[])
    ensemble.main(root=tmp_path)
    assert (tmp_path / "data/ensemble/submission.csv").read_text() == "image_id,label\n"
    blend = tables.read(tmp_path / "data/ensemble/test.parquet", contracts.TEST)
    assert blend.empty
    assert list(blend.columns) == ["image_id", "p:blue", "p:red"]
    assert summary(tmp_path)["n_test_images"] == 0


def test_curves_hold_every_epoch_that_was_trained(tmp_path: Path) -> None:
    write_inputs(tmp_path)
    ensemble.main(root=tmp_path)
    table = tables.read_text_csv(tmp_path / "data/ensemble/curves.csv")
    assert list(table.columns) == ["member", "fold", "phase", "epoch", "held_out_accuracy_score", "train_loss"]
    trainings = {("a", "finetune"), ("b", "pretrain"), ("b", "finetune")}
    assert set(zip(table["member"], table["phase"], strict=True)) == trainings
    assert len(table) == 3 * len(FOLDS) * 2
    assert set(table.loc[table["epoch"] == "1", "train_loss"]) == {"0.5"}


def test_same_inputs_same_bytes_whatever_the_order_of_members_and_rows_and_the_number_of_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    for turned in (False, True):
        monkeypatch.setattr(ensemble, "MANY", 0)
        monkeypatch.setenv("PODIUM_WORKERS", str(2 * turned))
        root = tmp_path / str(turned)
        root.mkdir()
        write_inputs(root, ensemble={"method": "auto", "greedy_rounds": 5})
        if turned:
            reverse(root)
        ensemble.main(root=root)
        paths = [*(root / "data/ensemble" / name for name in OUTPUTS), root / "metrics/summary.json"]
        written.append([path.read_bytes() for path in paths])
    assert written[0] == written[1]


def reverse(root: Path) -> None:
    """Turn the order of members in params.yaml and of all rows."""
    values = yaml.safe_load((root / "params.yaml").read_text())
    values["members"] = dict(reversed(values["members"].items()))
    (root / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    for path in (root / "data").rglob("*.parquet"):
        tables.write(tables.read(path, tables.PREDICTIONS)[::-1], path, tables.PREDICTIONS)
    for path, contract in (("split/folds.csv", tables.FOLDS), ("prepare/test/facts.csv", contracts.FACTS)):
        tables.write(tables.read(root / "data" / path, contract)[::-1], root / "data" / path, contract)


def test_a_removed_members_file_is_not_read(tmp_path: Path) -> None:
    write_inputs(tmp_path)
    (tmp_path / "data/infer/old.parquet").write_bytes(b"left behind")
    values = yaml.safe_load((tmp_path / "params.yaml").read_text())
    del values["members"]["a"]
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    ensemble.main(root=tmp_path)
    assert summary(tmp_path)["n_members"] == 1


@pytest.mark.parametrize("file", ["infer/b.parquet", "pretrain/b/1.parquet", "finetune/a/2.parquet"])
def test_a_prediction_that_is_missing_is_named(tmp_path: Path, file: str) -> None:
    write_inputs(tmp_path)
    path = tmp_path / "data" / file
    table = tables.read(path, tables.PREDICTIONS)
    gone = table["image_id"].iloc[0]
    tables.write(table[table["image_id"] != gone], path, tables.PREDICTIONS)
    with pytest.raises(InputError, match=f"no prediction for {gone}"):
        ensemble.main(root=tmp_path)


def test_curves_that_are_missing_are_named(tmp_path: Path) -> None:
    write_inputs(tmp_path)
    for file in (tmp_path / "data/finetune/a/1.live").rglob("*.tsv"):
        file.unlink()
    with pytest.raises(InputError, match=r"finetune/a/1\.live"):
        ensemble.main(root=tmp_path)


def test_skipped_images_do_not_count(tmp_path: Path) -> None:
    write_inputs(tmp_path)
    ensemble.main(root=tmp_path)
    before = summary(tmp_path)
    path = tmp_path / "data/infer/a.parquet"
    table = pd.read_parquet(path)
    skipped = table["image_id"] == SKIPPED
    table.loc[skipped, ["p:blue", "p:red"]] = table.loc[skipped, ["p:red", "p:blue"]].to_numpy()
    table.to_parquet(path, index=False)
    ensemble.main(root=tmp_path)
    assert summary(tmp_path) == before
