from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from podium import contracts
from podium.core import tables
from podium.reports import ablation
from podium.scoring import scores
from stages import ensemble, ladder
from tests import test_stage_ensemble as contest
from tests import test_stage_ensemble_sources as optional

WRITTEN = ("ladder.csv", "steps.csv")
STEPS = {"a": ["probe", "finetune", "flip", "resolution"], "b": ["probe", "pretrain", "finetune", "flip", "resolution"]}


def write_inputs(root: Path, **changes: Any) -> None:
    """A contest of two members, of which `a` has no pretraining, as far as `ensemble`."""
    contest.write_inputs(root, **changes)
    folds = contest.folds_table().query("fold != ''")
    for seed, name in enumerate(values(root)["members"]):
        probe = contest.predicted("train", contest.pairs(folds), [32], ["identity"], seed=90 + seed)
        tables.write(probe, root / f"data/probe/{name}.parquet", tables.PREDICTIONS)


def values(root: Path) -> dict[str, Any]:
    return yaml.safe_load((root / "params.yaml").read_text())


def change(root: Path, into: dict[str, Any]) -> None:
    (root / "params.yaml").write_text(yaml.safe_dump(into, sort_keys=False))


def climb(root: Path) -> pd.DataFrame:
    ensemble.main(root=root)
    ladder.main(root=root)
    return tables.read(root / "data/ladder/ladder.csv", ablation.LADDER)


@pytest.mark.parametrize("metric", ["accuracy", "log_loss", "roc_auc", "kappa"])
def test_rungs_are_those_that_were_climbed_and_scores_are_the_ensembles(tmp_path: Path, metric: str) -> None:
    write_inputs(tmp_path, metric=metric)
    table = climb(tmp_path)
    assert {name: list(rows["step"]) for name, rows in table.groupby("member")} == STEPS | {
        "blend": ["best member", "ensemble"]
    }
    assert list(table["verdict"] == "") == list(table["step"].isin(["probe", "best member"]))
    members = tables.read(tmp_path / "data/ensemble/members.csv", contracts.MEMBERS).set_index("member")
    found, top = contest.summary(tmp_path), table.set_index(["member", "step"])
    for name in "ab":
        assert top.loc[(name, "resolution"), "score"] == members.loc[name, "score"]
        assert top.loc[(name, "resolution"), "log_loss"] == members.loc[name, "log_loss"]
    assert top.loc[("blend", "ensemble"), "score"] == found["oof_score"]
    assert top.loc[("blend", "best member"), "score"] == found["best_member_score"]
    assert table["score"].notna().all()


def test_the_plot_has_each_step_once(tmp_path: Path) -> None:
    write_inputs(tmp_path)
    table = climb(tmp_path)
    steps = tables.read(tmp_path / "data/ladder/steps.csv", ladder.STEPS)
    assert len(steps) == (table["verdict"] != "").sum() == 3 + 4 + 1
    assert steps["rung"].iloc[-1] == "blend: ensemble"
    assert (steps["low"] <= steps["gain"]).all()
    assert (steps["gain"] <= steps["high"]).all()


def test_one_member_has_no_blend(tmp_path: Path) -> None:
    write_inputs(tmp_path)
    settings = values(tmp_path)
    del settings["members"]["b"]
    change(tmp_path, settings)
    assert set(climb(tmp_path)["member"]) == {"a"}


def test_a_size_that_is_not_inferred_has_no_flip(tmp_path: Path) -> None:
    write_inputs(tmp_path)
    settings = values(tmp_path)
    settings["members"]["a"]["infer"]["image_sizes"] = [40]
    change(tmp_path, settings)
    table = climb(tmp_path)
    assert list(table.loc[table["member"] == "a", "step"]) == ["probe", "finetune", "resolution"]


@pytest.mark.parametrize(("size", "pixels"), [(40, 40), (32, 32), (48, 32)])
def test_a_third_phase_stands_over_the_second_in_the_same_look_where_that_is_inferred(
    tmp_path: Path, size: int, pixels: int
) -> None:
    write_inputs(tmp_path)
    before = climb(tmp_path)
    settings = values(tmp_path)
    settings["fixres"]["a"] = {**optional.FIXRES, "image_size": size}
    change(tmp_path, settings)
    optional.write_fixres(tmp_path, "a", sureness=0.6)
    path = tmp_path / "data/infer_fixres/a.parquet"
    tables.write(pd.read_parquet(path).assign(image_size=size), path, tables.PREDICTIONS)
    table = climb(tmp_path).set_index(["member", "step"])
    third = table.loc[[("a", "before fixres"), ("a", "fixres")]]
    assert list(third["what"]) == [f"the phase before it at {pixels} pixels", f"a third phase at {size} pixels"]
    assert third["score"].iloc[1] == 1
    assert third["gain"].iloc[1] == pytest.approx(1 - third["score"].iloc[0], abs=2e-6)
    assert list(third["verdict"] == "") == [True, False]
    if pixels == 32:
        assert third["score"].iloc[0] == table.loc[("a", "flip"), "score"]
    steps = before.set_index(["member", "step"]).index
    assert list(table.index.difference(steps)) == [("a", "before fixres"), ("a", "fixres")]
    assert list(tables.read(tmp_path / "data/ladder/steps.csv", ladder.STEPS)["rung"])[-2:] == [
        "a: fixres",
        "blend: ensemble",
    ]


def test_skipped_images_do_not_count(tmp_path: Path) -> None:
    write_inputs(tmp_path)
    before = climb(tmp_path)
    for folder in ("probe", "infer"):
        path = tmp_path / f"data/{folder}/a.parquet"
        table = pd.read_parquet(path)
        skipped = table["image_id"] == contest.SKIPPED
        table.loc[skipped, ["p:blue", "p:red"]] = table.loc[skipped, ["p:red", "p:blue"]].to_numpy()
        table.to_parquet(path, index=False)
    pd.testing.assert_frame_equal(climb(tmp_path), before)


def test_priors_are_put_back_at_the_phase_that_weighed_classes(tmp_path: Path) -> None:
    """Otherwise the step `resolution`, where `ensemble` puts them back, would be praised for it."""
    found = {}
    for weights in ("none", "balanced"):
        root = tmp_path / weights
        root.mkdir()
        write_inputs(root, metric="log_loss")
        settings = values(root)
        settings["members"]["b"]["finetune"]["class_weights"] = weights
        folds = tables.read(root / "data/split/folds.csv", tables.FOLDS)
        folds.loc[folds.index % 4 == 1, "use"] = "skip"  # half of the red ones
        tables.write(folds, root / "data/split/folds.csv", tables.FOLDS)
        keep = set(folds.loc[folds["use"] == "train", "image_id"])
        for path in [*root.glob("data/pretrain/*/*.parquet"), *root.glob("data/finetune/*/*.parquet")]:
            table = pd.read_parquet(path)
            table[table["image_id"].isin(keep)].to_parquet(path, index=False)
        change(root, settings)
        found[weights] = climb(root).set_index(["member", "step"])["log_loss"]
    same = found["none"] == found["balanced"]
    assert same["a"].all()
    assert same[("b", "probe")]
    assert same[("b", "pretrain")]
    assert not same[("b", "finetune")]
    assert not same[("b", "flip")]


def test_a_member_that_is_no_better_than_its_probe_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_inputs(tmp_path)
    folds = contest.folds_table()
    truth = folds["label"].eq("red").to_numpy()
    for name, sure in (("a", 0.99), ("b", 0.5)):
        path = tmp_path / f"data/probe/{name}.parquet"
        table = pd.read_parquet(path)
        red = pd.Series(np.where(truth, sure, 1 - sure), index=folds["image_id"])[table["image_id"]].to_numpy()
        tables.write(table.assign(**{"p:red": red, "p:blue": 1 - red}), path, tables.PREDICTIONS)
    climb(tmp_path)
    said = capsys.readouterr().out
    assert "WARNING: a does not surely beat a linear classifier" in said
    assert "WARNING: b does not" not in said
    assert "gains are in accuracy, above 0 is better; verdicts are by log loss" in said


def test_same_inputs_same_bytes_whatever_the_order_of_rows_and_members(tmp_path: Path) -> None:
    written = []
    for turned in (False, True):
        root = tmp_path / str(turned)
        root.mkdir()
        write_inputs(root)
        if turned:
            contest.reverse(root)
        climb(root)
        written.append([(root / "data/ladder" / name).read_bytes() for name in WRITTEN])
    assert written[0] == written[1]


def test_the_probes_score_is_that_of_its_predictions(tmp_path: Path) -> None:
    write_inputs(tmp_path)
    table = climb(tmp_path).set_index(["member", "step"])
    used = contest.folds_table().query("use == 'train'")
    for name in "ab":
        rows = pd.read_parquet(tmp_path / f"data/probe/{name}.parquet").set_index("image_id").loc[used["image_id"]]
        expected = scores.accuracy_score((used["label"] == "red").to_numpy().astype(int), contest.probs(rows))
        assert table.loc[(name, "probe"), "score"] == pytest.approx(expected, abs=1e-6)
