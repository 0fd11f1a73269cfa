from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from podium import contracts
from podium.core import tables
from podium.reports import ablation, ablation_steps
from podium.scoring import scores
from stages import ensemble, ladder
from tests import prediction_tables
from tests import test_stage_ensemble as contest
from tests import test_stage_ensemble_sources as optional

WRITTEN = ("ladder.csv", "steps.csv")
STEPS = {"a": ["probe", "finetune", "flip", "choice"], "b": ["probe", "pretrain", "finetune", "flip", "choice"]}
BLEND = [f"{kind} {name}" for name in ("a", "b", "joint_probe") for kind in ("only", "blend over")]


def values(root: Path) -> dict[str, Any]:
    return yaml.safe_load((root / "params.yaml").read_text())


def change(root: Path, into: dict[str, Any]) -> None:
    (root / "params.yaml").write_text(yaml.safe_dump(into, sort_keys=False))


def run(root: Path) -> pd.DataFrame:
    ensemble.main(root=root)
    ladder.main(root=root)
    return tables.read(root / "data/ladder/ladder.csv", ablation.ABLATION)


@pytest.mark.parametrize("metric", ["accuracy", "log_loss", "roc_auc", "kappa"])
def test_steps_are_those_that_were_trained_and_scores_are_the_ensembles(tmp_path: Path, metric: str) -> None:
    contest.write_inputs(tmp_path, metric=metric)
    table = run(tmp_path)
    assert {name: list(rows["step"]) for name, rows in table.groupby("member")} == STEPS | {"blend": BLEND}
    assert list(table["verdict"] == "") == list(table["step"].eq("probe") | table["step"].str.startswith("only "))
    members = tables.read(tmp_path / "data/ensemble/members.csv", contracts.MEMBERS).set_index("member")
    found, by_step = contest.summary(tmp_path), table.set_index(["member", "step"])
    for name in "ab":
        assert by_step.loc[(name, "choice"), "score"] == members.loc[name, "score"]
        assert by_step.loc[(name, "choice"), "log_loss"] == members.loc[name, "log_loss"]
    for name in members.index:
        assert by_step.loc[("blend", f"blend over {name}"), "score"] == found["oof_score"]
        assert by_step.loc[("blend", f"only {name}"), "score"] == members.loc[name, "score"]
    assert table["score"].notna().all()
    contest.check_compared(table[table["verdict"] != ""])


def test_the_plot_has_each_step_once(tmp_path: Path) -> None:
    contest.write_inputs(tmp_path)
    table = run(tmp_path)
    steps = tables.read(tmp_path / "data/ladder/steps.csv", ablation_steps.STEPS)
    assert len(steps) == (table["verdict"] != "").sum() == 3 + 4 + 3
    assert steps["step"].iloc[-1] == "blend: blend over joint_probe"
    assert (steps["low"] <= steps["gain"]).all()
    assert (steps["gain"] <= steps["high"]).all()


def test_dvc_plots_the_columns_of_the_table(tmp_path: Path) -> None:
    plots = yaml.safe_load((Path(__file__).parents[1] / "dvc.yaml").read_text())["plots"]
    axes = [plot[axis] for entry in plots if isinstance(entry, dict) for plot in entry.values() for axis in "xy"]
    columns = [axis["data/ladder/steps.csv"] for axis in axes if "data/ladder/steps.csv" in axis]
    assert sorted(columns) == ["gain", "step"]
    assert set(columns) <= set(ablation_steps.STEPS.columns)


def test_phase_1_is_scored_at_its_own_size(tmp_path: Path) -> None:
    contest.write_inputs(tmp_path)
    before = run(tmp_path)
    settings = values(tmp_path)
    settings["members"]["b"]["pretrain"]["image_size"] = 24
    change(tmp_path, settings)
    for path in (tmp_path / "data/pretrain/b").glob("*.parquet"):
        tables.write(pd.read_parquet(path).assign(image_size=24), path, tables.PREDICTIONS)
    pd.testing.assert_frame_equal(run(tmp_path), before)


def test_one_member_has_no_blend(tmp_path: Path) -> None:
    contest.write_inputs(tmp_path)
    settings = values(tmp_path)
    del settings["members"]["b"]
    change(tmp_path, settings)
    assert set(run(tmp_path)["member"]) == {"a"}


def test_a_training_size_that_is_not_predicted_has_no_flip(tmp_path: Path) -> None:
    contest.write_inputs(tmp_path)
    settings = values(tmp_path)
    settings["members"]["a"]["infer"]["image_sizes"] = [40]
    change(tmp_path, settings)
    table = run(tmp_path)
    assert list(table.loc[table["member"] == "a", "step"]) == ["probe", "finetune", "choice"]


@pytest.mark.parametrize(("size", "pixels"), [(40, 40), (32, 32), (48, 32)])
def test_a_third_phase_is_compared_with_the_second_in_the_same_tta_where_that_is_predicted(
    tmp_path: Path, size: int, pixels: int
) -> None:
    contest.write_inputs(tmp_path)
    before = run(tmp_path)
    settings = values(tmp_path)
    settings["fixres"]["a"] = {**optional.FIXRES, "image_size": size}
    change(tmp_path, settings)
    optional.write_fixres(tmp_path, "a", sureness=0.6)
    path = tmp_path / "data/infer_fixres/a.parquet"
    tables.write(pd.read_parquet(path).assign(image_size=size), path, tables.PREDICTIONS)
    table = run(tmp_path).set_index(["member", "step"])
    third = table.loc[[("a", "before fixres"), ("a", "fixres")]]
    assert list(third["what"]) == [f"the phase before it at {pixels} pixels", f"a third phase at {size} pixels"]
    assert third["score"].iloc[1] == 1
    assert third["gain"].iloc[1] == pytest.approx(1 - third["score"].iloc[0], abs=2e-6)
    assert list(third["verdict"] == "") == [True, False]
    if pixels == 32:
        assert third["score"].iloc[0] == table.loc[("a", "flip"), "score"]
    steps = before.set_index(["member", "step"]).index
    assert list(table.index.difference(steps)) == [("a", "before fixres"), ("a", "fixres")]
    plotted = list(tables.read(tmp_path / "data/ladder/steps.csv", ablation_steps.STEPS)["step"])
    assert plotted[-4:] == ["a: fixres", *(f"blend: {step}" for step in BLEND[1::2])]


def test_skipped_images_do_not_count(tmp_path: Path) -> None:
    contest.write_inputs(tmp_path)
    before = run(tmp_path)
    for folder in ("probe", "infer"):
        path = tmp_path / f"data/{folder}/a.parquet"
        table = pd.read_parquet(path)
        skipped = table["image_id"] == contest.SKIPPED
        table.loc[skipped, ["p:blue", "p:red"]] = table.loc[skipped, ["p:red", "p:blue"]].to_numpy()
        table.to_parquet(path, index=False)
    pd.testing.assert_frame_equal(run(tmp_path), before)


def test_priors_are_put_back_at_the_phase_that_weighed_classes(tmp_path: Path) -> None:
    """Otherwise the step `choice`, where `ensemble` puts them back, would get the credit."""
    found = {}
    for weights in ("none", "balanced"):
        root = tmp_path / weights
        root.mkdir()
        contest.write_inputs(root, metric="log_loss")
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
        found[weights] = run(root).set_index(["member", "step"])["log_loss"]
    same = found["none"] == found["balanced"]
    assert same["a"].all()
    assert same[("b", "probe")]
    assert same[("b", "pretrain")]
    assert not same[("b", "finetune")]
    assert not same[("b", "flip")]


def test_a_member_not_better_than_its_probe_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    contest.write_inputs(tmp_path)
    for name, sureness in (("a", 0.99), ("b", 0.5)):
        path = tmp_path / f"data/probe/{name}.parquet"
        tables.write(prediction_tables.sure(pd.read_parquet(path), sureness), path, tables.PREDICTIONS)
    path = tmp_path / "data/infer/b.parquet"
    tables.write(prediction_tables.sure(pd.read_parquet(path), 0.99), path, tables.PREDICTIONS)
    run(tmp_path)
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1].startswith("ladder: 10 steps, each compared with the one before in accuracy")
    assert "WARNING: a is not clearly better" in printed
    assert "WARNING: b" not in printed


def test_same_inputs_same_bytes_whatever_the_order_of_rows_and_members(tmp_path: Path) -> None:
    written = []
    for turned in (False, True):
        root = tmp_path / str(turned)
        root.mkdir()
        contest.write_inputs(root)
        if turned:
            contest.reverse(root)
        run(root)
        written.append([(root / "data/ladder" / name).read_bytes() for name in WRITTEN])
    assert written[0] == written[1]


def test_the_probes_score_is_that_of_its_predictions(tmp_path: Path) -> None:
    contest.write_inputs(tmp_path)
    table = run(tmp_path).set_index(["member", "step"])
    used = contest.folds_table().query("use == 'train'")
    for name in "ab":
        rows = pd.read_parquet(tmp_path / f"data/probe/{name}.parquet")
        rows = rows.query("subset == 'train' and image_size == 32 and transform == 'identity'").set_index("image_id")
        targets = (used["label"] == "red").to_numpy().astype(int)
        expected = scores.accuracy_score(targets, contest.probs(rows.loc[used["image_id"]]))
        assert table.loc[(name, "probe"), "score"] == pytest.approx(expected, abs=1e-6)


def test_pseudo_labels_and_a_student_have_steps_of_their_own(tmp_path: Path) -> None:
    contest.write_inputs(tmp_path)
    before = run(tmp_path)
    settings = values(tmp_path)
    settings["pseudo"]["a"] = settings["distill"]["b"] = {"epochs": 1, "lr": 0.01}
    change(tmp_path, settings)
    optional.write_phase(tmp_path, "pseudo", "a", [32, 40], sureness=0.6)
    for fold in contest.FOLDS:
        rows = tables.read(tmp_path / f"data/finetune/b/{fold}.parquet", tables.PREDICTIONS)
        student = prediction_tables.sure(rows, 0.9)
        tables.write(student, tmp_path / f"data/distill/b/{fold}.parquet", tables.PREDICTIONS)
    table = run(tmp_path).set_index(["member", "step"])
    new = [("a", "before pseudo"), ("a", "pseudo")]
    new += [("distill", name) for name in ("b", "b before", "b over the blend", "blend for b")]
    assert list(table.index.difference(before.set_index(["member", "step"]).index)) == new
    assert table.loc[("distill", "b before"), "score"] == table.loc[("b", "finetune"), "score"]
    assert table.loc[("distill", "blend for b"), "score"] == contest.summary(tmp_path)["oof_score"]
    assert (table.loc[[("distill", "b"), ("distill", "b over the blend")], "score"] == 1).all()
    assert table.loc[("distill", "b"), "gain"] == pytest.approx(
        1 - table.loc[("distill", "b before"), "score"], abs=2e-6
    )
