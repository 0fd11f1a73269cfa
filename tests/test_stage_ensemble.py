import atexit
import functools
import itertools
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from podium import contracts
from podium.core import tables
from podium.core.errors import InputError
from podium.ensembling import inputs
from podium.ensembling.methods import stacking
from podium.scoring import comparison, scores
from stages import ensemble
from tests import prediction_tables

CLASSES = ("blue", "red")
FOLDS = ("0", "1", "2")
TRAIN = [f"{i:02}.png" for i in range(30)]
TEST = [f"t{i}.png" for i in range(7)]
SKIPPED, UNREADABLE, UNREADABLE_TEST = "03.png", "05.png", "t2.png"
OUTPUTS = [
    *("submission.csv", "oof.parquet", "test.parquet", "members.csv", "blend.csv", "tta.csv", "methods.csv"),
    *("curves.csv", "members/a.parquet", "members/joint_probe.parquet"),
]
READABLE = [image_id for image_id in TEST if image_id != UNREADABLE_TEST]
FILES = {phase: folder + "/{}" for phase, folder in prediction_tables.FOLDERS.items()} | {
    "joint_probe": "joint_probe/predictions"
}


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


def predicted(subset: str, images: list[tuple[str, str]], sizes: list[int], transforms: list[str], *, seed: int):
    """Rows of tables.PREDICTIONS in random order, better than chance."""
    return prediction_tables.noisy(prediction_tables.rows(subset, images, sizes, transforms), seed)


def pairs(folds: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(folds["image_id"], folds["fold"], strict=True))


def write_member(root: Path, name: str, settings: dict[str, Any], test_ids: list[str], seed: int) -> None:
    """Write what probe, pretrain, finetune, infer and infer_pretrain of one member would leave."""
    folds = folds_table().query("fold != ''")
    used = folds[folds["use"] == "train"]
    sizes, transforms = settings["infer"]["image_sizes"], settings["infer"]["transforms"]
    for number, phase in enumerate(("finetune", "probe", "pretrain")):
        if phase == "pretrain" and not settings["pretrain"]["epochs"]:
            continue
        prediction_tables.write_infer(
            root,
            phase,
            name,
            train=pairs(folds),
            test_ids=test_ids,
            folds=FOLDS,
            sizes=[32] if phase == "pretrain" else sizes,
            transforms=transforms,
            seed=seed + 100 * number,
        )
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
    """A contest of two members and their joint probe; `a` has no phase 1."""
    shutil.copytree(written_inputs(tuple(test_ids)), root, dirs_exist_ok=True)
    contest = {"images": {"train": "train", "test": "test"}, "metric": changes.pop("metric", "accuracy")}
    maps: dict[str, Any] = {"fixres": {}, "pseudo": {}, "distill": {}, "external": {}}
    values = {"folds": [0, 1, 2], "contest": contest, "members": two_members(), **maps}
    values["ensemble"] = {"method": "equal"}
    (root / "params.yaml").write_text(yaml.safe_dump({**values, **changes}, sort_keys=False))


def two_members() -> dict[str, dict[str, Any]]:
    return {"b": member(pretrain_epochs=2), "a": member(pretrain_epochs=0)}


@functools.cache
def written_inputs(test_ids: tuple[str, ...]) -> Path:
    """The folder with the files of `write_inputs` but params.yaml; each test works on a copy."""
    root = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, root)
    tables.write(folds_table(), root / "data/split/folds.csv", tables.FOLDS)
    write_facts(root, list(test_ids))
    (root / "placeholders").mkdir()
    (root / "placeholders/none.csv").touch()
    readable = [image_id for image_id in test_ids if image_id != UNREADABLE_TEST]
    for seed, (name, settings) in enumerate(two_members().items()):
        write_member(root, name, settings, readable, seed)
    prediction_tables.write_joint_probe(root, pairs(folds_table().query("fold != ''")), readable, FOLDS, seed=7)
    return root


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
    oof = tables.read(tmp_path / "data/ensemble/oof.parquet", contracts.OOF)
    assert list(oof["image_id"]) == [i for i in TRAIN if i not in (SKIPPED, UNREADABLE)]
    targets = (oof["label"] == "red").to_numpy().astype(np.int64)
    assert found["oof_score"] == pytest.approx(scores.SCORES[metric].function(targets, probs(oof)), abs=1e-6)
    assert found["oof_log_loss"] == pytest.approx(scores.log_loss(targets, probs(oof)), abs=1e-6)
    assert found["oof_score_low"] < found["oof_score"] < found["oof_score_high"]
    flattered = found["oof_score_naive"] - found["oof_score"]
    assert found["optimism"] == pytest.approx(-flattered if metric == "log_loss" else flattered, abs=2e-6)
    members = tables.read(tmp_path / "data/ensemble/members.csv", contracts.MEMBERS).set_index("member")
    assert list(members.index) == ["a", "b", "joint_probe"]
    weights = members["weight"]
    assert (
        weights.isna().all()
        if method == "stacking"
        else weights.isna().all() or weights.sum() == pytest.approx(1, abs=3e-6)
    )
    best = members["score"].min() if metric == "log_loss" else members["score"].max()
    assert found["best_member_score"] == best == members.loc[found["best_member"], "score"]
    assert members["pretrain_score"].notna().tolist() == [False, True, False]
    assert members["finetune_score"].notna().tolist() == [True, True, False]
    assert members["train_size_score"].notna().all()
    assert (found["n_members"], found["n_train_images"], found["n_test_images"]) == (3, 28, 7)
    blend = tables.read(tmp_path / "data/ensemble/blend.csv", contracts.BLEND).set_index("member")
    pd.testing.assert_frame_equal(blend[["score", "log_loss"]], members[["score", "log_loss"]])
    assert found["members_below_blend"] == (blend["verdict"] == comparison.BETTER).sum()
    sign = -1 if metric == "log_loss" else 1
    np.testing.assert_allclose(blend["gain"], sign * (found["oof_score"] - blend["score"]), atol=2e-6)
    np.testing.assert_allclose(blend["log_loss_gain"], blend["log_loss"] - found["oof_log_loss"], atol=2e-6)
    for name in members.index:
        own = tables.read(tmp_path / f"data/ensemble/members/{name}.parquet", contracts.OOF)
        score = scores.SCORES[metric].function(targets, probs(own))
        assert members.loc[name, "score"] == pytest.approx(score, abs=1e-6)


def test_every_choice_is_in_a_table_with_its_cost_and_comparison(tmp_path: Path) -> None:
    write_inputs(tmp_path, ensemble={"method": "auto"})
    ensemble.main(root=tmp_path)
    candidates = tables.read(tmp_path / "data/ensemble/tta.csv", contracts.TTA)
    used = tables.read(tmp_path / "data/ensemble/members.csv", contracts.MEMBERS).set_index("member")
    assert set(candidates["member"]) == {"a", "b", "joint_probe"}
    for name, rows in candidates.groupby("member"):
        assert (rows["verdict"] == "default").sum() == 1
        assert rows["chosen_in_outer_folds"].sum() <= len(FOLDS)  # an average may be a candidate in some folds only
        chosen = rows[rows["chosen"] == "yes"]
        assert len(chosen) == 1
        assert chosen["cost"].item() == rows["cost"].min()
        columns = ["image_sizes", "transforms", "phases"]
        assert used.loc[name, columns].tolist() == chosen[columns].iloc[0].tolist()
        check_compared(rows[rows["verdict"] != "default"])
    singles = {
        "a": {"finetune": {"32", "40"}, "probe": {"32", "40"}},
        "b": {"finetune": {"32", "40"}, "probe": {"32", "40"}, "pretrain": {"32"}},
        "joint_probe": {"joint_probe": {"0"}},
    }
    for name, phases in singles.items():
        rows = candidates[candidates["member"] == name]
        for phase, sizes in phases.items():
            assert set(rows.loc[rows["phases"] == phase, "image_sizes"]) >= sizes
    assert "pretrain" not in set(candidates.loc[candidates["member"] == "a", "phases"])
    methods = tables.read(tmp_path / "data/ensemble/methods.csv", contracts.METHODS)
    assert list(methods["method"]) == ["equal", "logits", "greedy", "weighted", "stacking"]
    assert methods["chosen_in_outer_folds"].sum() == len(FOLDS)
    assert methods["cost"].notna().all()
    check_compared(methods[methods["method"] != "equal"])


def check_compared(rows: pd.DataFrame) -> None:
    """The verdicts follow from the two intervals of the same row."""
    for prefix in ("", "log_loss_"):
        assert (
            (rows[f"{prefix}low"] <= rows[f"{prefix}gain"]) & (rows[f"{prefix}gain"] <= rows[f"{prefix}high"])
        ).all()
    above = (rows["low"] > 0) | (rows["log_loss_low"] > 0)
    below = (rows["high"] < 0) | (rows["log_loss_high"] < 0)
    assert list(rows["verdict"] == comparison.BETTER) == list(above & ~below)
    assert list(rows["verdict"] == comparison.WORSE) == list(below & ~above)


def calibrated(root: Path, name: str, fold: str) -> np.ndarray:
    """One fold's test predictions of a member in its chosen TTA, worked out from the tables alone."""
    candidates = tables.read(root / "data/ensemble/tta.csv", contracts.TTA)
    row = candidates.query("member == @name and chosen == 'yes'").iloc[0]
    found = []
    for phase in row["phases"].split():
        path = root / f"data/{FILES[phase].format(name)}.parquet"
        table = pd.read_parquet(path).query("subset == 'test' and fold == @fold")
        table = table[table["image_size"].isin([int(size) for size in row["image_sizes"].split()])]
        table = table[table["transform"].isin(row["transforms"].split())]
        found.append(table.groupby("image_id")[["p:blue", "p:red"]].mean().loc[READABLE].to_numpy())
    assert row["prior_strength"] == 0
    logs = np.log(np.mean(found, axis=0)) / row["temperature"]
    return np.exp(logs) / np.exp(logs).sum(axis=1, keepdims=True)


@pytest.mark.parametrize("method", ["greedy", "equal"])
def test_test_images_are_blended_fold_by_fold_as_they_were_scored(tmp_path: Path, method: str) -> None:
    write_inputs(tmp_path, ensemble={"method": method})
    ensemble.main(root=tmp_path)
    members = tables.read(tmp_path / "data/ensemble/members.csv", contracts.MEMBERS)
    blend = tables.read(tmp_path / "data/ensemble/test.parquet", contracts.TEST)
    assert list(blend["image_id"]) == READABLE
    cells = list(zip(members["member"], members["weight"], strict=True))
    folds = [sum(weight * calibrated(tmp_path, name, fold) for name, weight in cells) for fold in FOLDS]

    def tempered(temperature: float) -> np.ndarray:
        powers = [fold ** (1 / temperature) for fold in folds]
        return np.mean([x / x.sum(axis=1, keepdims=True) for x in powers], axis=0)

    errors = [np.abs(tempered(t) - probs(blend)).max() for t in np.geomspace(0.2, 3, 1000)]
    assert min(errors) < 3e-3  # with one temperature of the blend, which no table holds


def test_weights_of_classes_are_undone_as_far_as_it_helps(tmp_path: Path) -> None:
    """A training with balanced weights answers as if classes were equally frequent; here red has a third."""
    write_inputs(tmp_path, ensemble={"method": "equal"})
    rare(tmp_path)
    found = {}
    for weights in ("none", "balanced"):
        values = yaml.safe_load((tmp_path / "params.yaml").read_text())
        for settings in values["members"].values():
            settings["finetune"]["class_weights"] = weights
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
        ensemble.main(root=tmp_path)
        candidates = tables.read(tmp_path / "data/ensemble/tta.csv", contracts.TTA)
        found[weights] = candidates.set_index(["member", "image_sizes", "transforms", "phases"])
    singles = [key for key in found["none"].index if "finetune" in key[3] and key in found["balanced"].index]
    assert (found["none"]["prior_strength"] == 0).all()
    assert (found["balanced"].loc[singles, "prior_strength"] > 0).mean() > 0.5
    probes = [key for key in found["none"].index if key[3] == "probe" and key in found["balanced"].index]
    assert len(probes) >= 4
    assert (found["balanced"].loc[probes, "prior_strength"] == 0).all()
    gained = found["none"].loc[singles, "log_loss"] - found["balanced"].loc[singles, "log_loss"]
    assert gained.mean() > 0
    assert gained.min() > -0.02  # the fit has a prior on the temperature


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
    monkeypatch.setattr(stacking, "MAX_FEATURES", 3)
    write_inputs(tmp_path, ensemble={"method": "stacking"})
    with pytest.raises(InputError, match=r"ensemble\.method: stacking 3 members with 2 classes"):
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
        monkeypatch.setattr(inputs, "MANY", 0)
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


@pytest.mark.parametrize(
    "file",
    [
        *("infer/b.parquet", "probe/a.parquet", "infer_pretrain/b.parquet", "joint_probe/predictions.parquet"),
        *("pretrain/b/1.parquet", "finetune/a/2.parquet"),
    ],
)
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
    for file in ("infer/a", "probe/b", "infer_pretrain/b", "joint_probe/predictions"):
        path = tmp_path / f"data/{file}.parquet"
        table = pd.read_parquet(path)
        skipped = table["image_id"] == SKIPPED
        table.loc[skipped, ["p:blue", "p:red"]] = table.loc[skipped, ["p:red", "p:blue"]].to_numpy()
        table.to_parquet(path, index=False)
    ensemble.main(root=tmp_path)
    assert summary(tmp_path) == before


def test_one_member_has_no_joint_probe_and_several_have_one(tmp_path: Path) -> None:
    write_inputs(tmp_path)
    ensemble.main(root=tmp_path)
    assert "joint_probe" in set(tables.read(tmp_path / "data/ensemble/blend.csv", contracts.BLEND)["member"])
    values = yaml.safe_load((tmp_path / "params.yaml").read_text())
    del values["members"]["b"]
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    ensemble.main(root=tmp_path)
    blend = tables.read(tmp_path / "data/ensemble/blend.csv", contracts.BLEND)
    assert blend[["member", "verdict"]].to_numpy().tolist() == [["a", "only member"]]
    assert tables.read(tmp_path / "data/ensemble/methods.csv", contracts.METHODS).empty


def only_a(root: Path, finetune: Any, probe: Any) -> None:
    """A contest of one member without phase 1, whose phases predict red with these probabilities of their rows."""
    write_inputs(root)
    values = yaml.safe_load((root / "params.yaml").read_text())
    del values["members"]["b"]
    (root / "params.yaml").write_text(yaml.safe_dump(values))
    prediction_tables.change(root / "data/infer/a.parquet", finetune)
    prediction_tables.change(root / "data/probe/a.parquet", probe)


def test_after_a_harmful_fine_tuning_the_submission_follows_the_probe(tmp_path: Path) -> None:
    """On test images the two phases disagree everywhere; only the probe is right on train images."""

    def finetune(table: pd.DataFrame) -> np.ndarray:
        noise = np.random.default_rng(0).uniform(0, 1, len(table))
        red = prediction_tables.truth(table)
        return np.where(table["subset"] == "train", noise, np.where(red, 0.05, 0.95))

    def probe(table: pd.DataFrame) -> np.ndarray:
        return np.where(prediction_tables.truth(table), 0.9, 0.1)

    only_a(tmp_path, finetune, probe)
    ensemble.main(root=tmp_path)
    member = tables.read(tmp_path / "data/ensemble/members.csv", contracts.MEMBERS).iloc[0]
    assert member["phases"] == "probe"
    assert member["score"] == 1
    test = tables.read(tmp_path / "data/ensemble/test.parquet", contracts.TEST)
    assert (probs(test).argmax(axis=1) == prediction_tables.truth(test)).all()
    submitted = tables.read_text_csv(tmp_path / "data/ensemble/submission.csv").set_index("image_id")
    labels = np.array(CLASSES)[prediction_tables.truth(test)]
    assert list(submitted.loc[test["image_id"], "label"]) == list(labels)


def test_an_average_of_both_phases_predicts_test_images_as_their_mean(tmp_path: Path) -> None:
    """Each phase is sure and wrong about other train images, so that only their mean is right about all."""

    def phase(turn: int) -> Any:
        def red(table: pd.DataFrame) -> np.ndarray:
            number = table["image_id"].str.extract(r"(\d+)")[0].astype(int).to_numpy()
            right = np.where(number // 2 % 4 == turn, 0.3, 0.95)
            return np.where(prediction_tables.truth(table), right, 1 - right)

        return red

    only_a(tmp_path, phase(0), phase(1))
    ensemble.main(root=tmp_path)
    member = tables.read(tmp_path / "data/ensemble/members.csv", contracts.MEMBERS).iloc[0]
    assert member["phases"] == "finetune probe"
    assert member["score"] == 1
    test = tables.read(tmp_path / "data/ensemble/test.parquet", contracts.TEST)
    mean = np.exp(np.mean([np.log(calibrated(tmp_path, "a", fold)) for fold in FOLDS], axis=0))
    assert np.corrcoef(np.log(mean[:, 1] / mean[:, 0]), np.log(test["p:red"] / test["p:blue"]))[0, 1] > 0.999
