from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from docs.measure import (
    measure_choices,
    resplit,
    simulate_decisions,
    simulate_intervals,
    simulate_rare,
    simulate_scores,
    simulate_tta,
    simulate_unequal,
    simulated,
    time_ensemble,
)
from docs.measure.simulated import Condition
from podium.core import scratch
from podium.ensembling import nested_cv, tta_selection
from podium.ensembling.methods import stacking
from podium.scoring import intervals
from tests import test_stage_ensemble

SMALL = Condition("small", "accuracy", 60, 2, 1.5, n_sizes=2, methods=("equal", "weighted"))
TRAINED = replace(SMALL, name="small, trained", trained=True, group_size=3)


@pytest.fixture(autouse=True)
def small_populations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulated, "MAX_POPULATION", 2000)
    monkeypatch.setattr(simulated, "TRAINED_POPULATION", 500)
    monkeypatch.setattr(simulate_tta, "POPULATION", 5000)
    simulated._population.cache_clear()


@pytest.mark.parametrize("condition", [SMALL, TRAINED])
def test_an_interrupted_run_goes_on_and_gives_the_same_rows(condition: Condition, tmp_path: Path) -> None:
    whole, resumed = tmp_path / "whole.csv", tmp_path / "resumed.csv"
    simulate_scores.fill(condition, whole, draws=3, seconds=100)
    for draws in (1, 3, 3):
        simulate_scores.fill(condition, resumed, draws=draws, seconds=100)
    assert whole.read_bytes() == resumed.read_bytes()
    rows = pd.read_csv(whole)
    assert list(rows.columns) == list(simulate_scores.FIELDS)
    assert list(rows["draw"]) == [0, 1, 2]
    assert (rows["low"] < rows["high"]).all()
    assert rows["truth"].between(0.4, 1).all()
    assert rows["truth"].nunique() == 3 or not condition.trained


@pytest.mark.parametrize("condition", [SMALL, TRAINED])
def test_groups_cross_no_fold_and_are_of_one_class(condition: Condition) -> None:
    scored = simulated.draw(condition, 0).scored
    for group in range(scored.groups.max() + 1):
        here = scored.groups == group
        assert here.sum() == condition.group_size
        assert len(set(scored.folds[here])) == len(set(scored.targets[here])) == 1


def test_drawn_members_differ_in_skill_as_asked_and_the_truth_is_the_populations() -> None:
    condition = replace(SMALL, name="two", n_images=2000, skill=2.0)
    contest = simulated.draw(condition, 0)
    right = [
        (member.logs[member.default].argmax(axis=1) == contest.scored.targets).mean() for member in contest.members
    ]
    assert right[0] > right[1] + 0.05
    held_out = nested_cv.held_out_sets(contest.scored, 1)
    chosen = [nested_cv.choose_member(member, held_out) for member in contest.members]
    nest = nested_cv.NestedCv(contest.scored, chosen, ("equal",))
    outcome = nest.outcome()
    single, mean = contest.truths(nest, outcome)
    assert single == mean  # all folds' models are one model
    assert single == pytest.approx((outcome.oof.argmax(axis=1) == contest.scored.targets).mean(), abs=0.03)


def test_the_table_has_a_line_per_condition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(simulate_scores, "CONDITIONS", (SMALL, TRAINED))
    simulate_scores.main(str(tmp_path), "--draws", "2")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert len({line.count("|") for line in lines}) == 1
    assert lines[2].startswith("| small | accuracy | 60 | 2 |")
    assert lines[3].rstrip(" |").endswith("2")


def test_a_tta_case_counts_the_chosen_ttas() -> None:
    helps = simulate_tta.row(simulate_tta.TtaCase("helps", (1.5, 2.5), (0.3, 0.3)), draws=4)
    assert helps[2:6] == ["0.0", "100.0", "0.0", "100.0"]
    assert float(helps[0]) > 0.1
    collapses = simulate_tta.row(simulate_tta.TtaCase("collapses", (1.5, 0.9), (0.3, 0.3)), draws=4)
    assert collapses[2:6] == ["100.0", "0.0", "0.0", "0.0"]
    assert float(collapses[0]) < -0.1
    for case, cells in ((1, helps), (0, collapses)):  # all rules agree on a large gain, and on a large loss
        assert [float(gain.split(" ")[0]) > 50 for gain in cells[7:]] == [bool(case)] * 3
    assert len(cells) + 1 == len(simulate_tta.HEAD)


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "roc_auc"])
def test_the_rules_are_those_of_ensemble_and_its_alternatives(metric: str) -> None:
    case = simulate_tta.TtaCase("alike", (1.5,) * 3, (0.3,) * 3, n_images=200, metric=metric)
    for number in range(3):
        member, chosen = simulate_tta.drawn_member(case, number), simulate_tta.choose(case, number)
        of_ensemble = tta_selection.choose_tta(member)
        assert (chosen["smallest cost"].tta, chosen["smallest cost"].calibration) == (
            of_ensemble.tta,
            of_ensemble.calibration,
        )
        assert chosen["default"].tta == member.default
        for rule in ("test", "margin"):
            assert chosen[rule].cost <= chosen["default"].cost


def test_a_contest_is_halved_by_group_and_both_estimates_are_held_against_the_other_half(
    tmp_path: Path, capsys
) -> None:
    test_stage_ensemble.write_inputs(tmp_path)
    resplit.main(str(tmp_path), "--splits", "2")
    lines = capsys.readouterr().out.splitlines()
    assert "2 halvings of 28 images" in lines[0]
    assert [line.split(" ")[0] for line in lines[1:3]] == ["nested", "naive"]


def test_choices_fixed_in_code_are_measured_and_left_as_they_are(tmp_path: Path, capsys) -> None:
    test_stage_ensemble.write_inputs(tmp_path)
    before = stacking.INVERSE_PENALTY
    measure_choices.main(str(tmp_path))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1].rstrip(":") for line in lines] == ["a", "b", "joint_probe", "stacking"]
    assert before == stacking.INVERSE_PENALTY


def test_intervals_are_compared_on_the_same_draws(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(simulate_intervals, "CASES", simulate_intervals.CASES[:2])
    monkeypatch.setattr(simulate_intervals, "POPULATION", 5000)
    before = intervals.DOUBT
    simulate_intervals.main("--draws", "5")
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[2] for row in rows] == ["1", "4"]
    assert len(set(rows[0][4:8])) == 1  # without groups doubt changes nothing
    assert before == intervals.DOUBT


def test_rare_classes_have_a_row_per_metric(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(simulate_rare, "CASES", simulate_rare.CASES[2:3])
    before = intervals.FEW
    simulate_rare.main("--draws", "20")
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[1] for row in rows] == list(simulate_rare.METRICS)
    assert all(float(row[4]) >= float(row[3]) for row in rows)  # wider
    assert float(rows[0][4]) > float(rows[0][3])
    assert before == intervals.FEW


def test_dividing_by_the_prior_gains_balanced_accuracy_and_no_gate_is_needed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(simulate_decisions, "CASES", simulate_decisions.CASES[:1])
    simulate_decisions.main("--draws", "5")
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[1] for row in rows] == list(simulate_decisions.METRICS)
    always, gated = (float(cell.split(" ")[0]) for cell in rows[0][3:5])
    assert always > 5
    assert always >= gated


def test_unequal_groups_have_a_row_per_kind_and_metric(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    kinds = [simulate_unequal.UnequalCase(20, 15, spread, 0, 2.2, 0.6) for spread in (0.0, 1.0)]
    monkeypatch.setattr(simulate_unequal, "CASES", kinds)
    monkeypatch.setattr(simulate_unequal, "KINDS", [case.kind for case in kinds])
    monkeypatch.setattr(simulate_unequal, "POPULATION", 5000)
    before = intervals._freedom
    simulate_unequal.main("--draws", "20", "--metrics", "accuracy", "log_loss", "--wild", "19")
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[:2] for row in rows] == [
        [kind, metric] for kind in ("20 equal groups", "20 groups, sigma 1") for metric in ("accuracy", "log_loss")
    ]
    shares = [[float(cell.split(" / ")[0]) for cell in row[2:6]] for row in rows]
    assert [len(set(row)) for row in shares[:2]] == [1, 1]  # equal groups: by all rules
    assert all(before <= used <= together for before, _, together, used in shares[2:])  # wider
    assert before == intervals._freedom


def test_large_arrays_go_to_a_file_and_hold_the_same_values(monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.arange(12.0, dtype=np.float32).reshape(3, 4)
    assert scratch.on_disk(array) is array
    monkeypatch.setattr(scratch, "SMALL", 10)
    stored = scratch.on_disk(array)
    assert isinstance(stored, np.memmap)
    np.testing.assert_array_equal(stored, array)
    stored[1] = 7
    scratch.release(stored)
    array[1] = 7
    np.testing.assert_array_equal(stored, array)


@pytest.mark.slow
def test_generated_predictions_are_blended_in_little_memory(tmp_path: Path, capfd, monkeypatch) -> None:
    monkeypatch.setenv("PODIUM_PROGRESS", "0")
    time_ensemble.main(str(tmp_path), "--members", "2", "--sizes", "2", "--images", "550", "--tests", "20", "--classes",
                       "110", "--stages", *time_ensemble.STAGES)  # fmt: skip
    printed = capfd.readouterr()
    assert printed.err == ""  # pandas warns of tables with many columns, if they are made one by one
    rows = [line.split() for line in printed.out.splitlines() if "of CPU time" in line]
    assert [words[0] for words in rows] == ["ensemble:", "report:", "ladder:"]
    assert all(float(words[-2]) < 1 for words in rows)  # GB
