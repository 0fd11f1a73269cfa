"""Ways of predicting, compared over runs that differ only in their seeds."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from podium.core import tables
from podium.core.errors import InputError
from podium.folds import outer_folds
from podium.predictions import calibration
from podium.reports import ablation
from podium.scoring import comparison, evaluation_set, scores
from tests import test_stage_ensemble as contest
from tools import revisions, seeds
from tools.seeds import SeedRun, Term

A, B, C = (Term(name, None) for name in "abc")
CLASSES = 3
METRICS = ["accuracy", "log_loss", "macro_f1", "roc_auc"]


def images(n: int, metric: str = "accuracy", group: int = 1) -> evaluation_set.EvaluationSet:
    groups = np.arange(n) // group
    targets = np.arange(n) // group % CLASSES
    folds = groups % 3
    return evaluation_set.EvaluationSet(
        targets, folds, groups, outer_folds.deal(folds, groups, targets), scores.SCORES[metric]
    )


def predicted(of: evaluation_set.EvaluationSet, skill: float, seed: int) -> np.ndarray:
    """Probabilities (images, classes); the higher the skill, the more often the likeliest class is true."""
    logits = np.random.default_rng(seed).normal(size=(len(of.targets), CLASSES))
    logits[np.arange(len(of.targets)), of.targets] += skill
    return calibration.scaled(logits.astype(np.float32), 1.0)


def runs(n: int, *, skills: dict[Term, float], group: int = 1, metric: str = "accuracy") -> list[SeedRun]:
    of = images(n, metric, group)
    named = list(enumerate(skills.items()))
    return [
        SeedRun(f"s{k}", of, {term: predicted(of, skill, 10 * k + place) for place, (term, skill) in named})
        for k in range(3)
    ]


def cells(text: str, of: list[SeedRun]) -> dict[str, str]:
    (row,) = seeds.table([seeds.two_ways(text)], of)
    return dict(zip(seeds.HEAD, row, strict=True))


def ends(interval: str) -> tuple[float, float]:
    low, high = map(float, interval.split(" to "))
    return low, high


@pytest.mark.parametrize("metric", METRICS)
def test_the_better_way_is_named_if_there_is_one(metric: str) -> None:
    of = runs(300, skills={A: 0.5, B: 1.5, C: 0.5}, metric=metric)
    assert cells("a : b", of)["verdict"] == "second is better"
    assert cells("b : a", of)["verdict"] == "first is better"
    assert cells("a : c", of)["verdict"] == comparison.UNCLEAR


@pytest.mark.parametrize("metric", METRICS)
def test_a_row_does_not_contradict_itself(metric: str) -> None:
    seen = set()
    for skill in (0.5, 0.65, 0.8, 0.95):
        row = cells("a : b", runs(300, skills={A: 0.5, B: skill}, metric=metric))
        for name in ("", "log loss "):
            low, high = ends(row[f"{name}interval".strip()])
            assert low < float(row[f"{name}gain"]) < high
        sure = any(ends(row[name])[0] > 0 for name in ("interval", "log loss interval"))
        assert sure == (row["verdict"] == "second is better") == (float(row["p"]) < 0.05)
        seen.add(sure)
    assert seen == {True, False}


@pytest.mark.parametrize("metric", METRICS)
def test_an_image_counts_once_however_many_runs_there_are(metric: str) -> None:
    one = runs(200, skills={A: 0.6, B: 0.9}, metric=metric)[:1]
    again = [SeedRun(f"copy {k}", one[0].scored, one[0].probs) for k in range(3)]
    assert cells("a : b", again) == cells("a : b", one)


def test_trainings_that_differ_only_by_seed_differ_no_more_often_than_by_chance() -> None:
    """Each training has a skill of its own; both ways draw it from the same distribution."""
    sided = 0
    for draw in range(60):
        rng = np.random.default_rng(draw)
        of = images(400)
        trained = [
            {term: predicted(of, 1 + 0.15 * rng.normal(), int(rng.integers(2**31))) for term in (A, B)}
            for _ in range(3)
        ]
        row = cells("a : b", [SeedRun(f"s{k}", of, probs) for k, probs in enumerate(trained)])
        sided += row["verdict"] != comparison.UNCLEAR
    assert sided <= 7  # of 60 at 5%: more in one of 400 tests


def test_many_comparisons_ask_for_more_than_one() -> None:
    of = runs(300, skills={A: 0.5, B: 0.5, C: 0.8})
    alone = cells("a : c", of)
    _, row = seeds.table([seeds.two_ways(f"a : {way}") for way in ("b", "c")], of)
    beside = dict(zip(seeds.HEAD, row, strict=True))
    assert float(beside["p"]) == pytest.approx(2 * float(alone["p"]), abs=2e-3)
    for name in ("interval", "log loss interval"):
        (low, high), (wider_low, wider_high) = ends(alone[name]), ends(beside[name])
        assert wider_low < low < high < wider_high


def test_images_of_a_group_are_drawn_together() -> None:
    def width(group: int) -> float:
        of = images(300, group=group)
        alone = runs(300 // group, skills={A: 0.6, B: 0.9})  # the same for all images of a group
        same = [SeedRun(r.name, of, {t: np.repeat(p, group, axis=0) for t, p in r.probs.items()}) for r in alone]
        low, high = ends(cells("a : b", same)["log loss interval"])
        return high - low

    assert width(10) > 2 * width(1)


def test_a_blend_is_the_mean_of_its_members() -> None:
    of = runs(90, skills={A: 1.0, B: 1.0})[0]
    mean, first, second = (seeds.predict(seeds.two_ways(f"{text} : c")[0], of) for text in ("a + b", "a", "b"))
    np.testing.assert_array_equal(first, ablation.calibrated(of.probs[A], of.scored))
    plain = np.log((first + second) / 2)
    given, centred = plain - plain[:, :1], np.log(mean) - np.log(mean[:, :1])
    for outer_fold in of.scored.all_outer_folds:  # one temperature per outer fold
        here = of.scored.rows({outer_fold})
        slope = (given[here] * centred[here]).sum() / (given[here] ** 2).sum()
        np.testing.assert_allclose(centred[here], slope * given[here], atol=1e-4)


@pytest.mark.parametrize("text", ["a", "a + b", "a | b"])
def test_the_labels_of_an_outer_fold_do_not_change_its_predictions(text: str) -> None:
    of = runs(90, skills={A: 1.0, B: 1.0})[0]
    way, _ = seeds.two_ways(f"{text} : c")
    before = seeds.predict(way, of)
    for outer_fold in of.scored.all_outer_folds:
        here = of.scored.rows({outer_fold})
        targets = of.scored.targets.copy()
        targets[here] = (targets[here] + 1) % CLASSES
        after = seeds.predict(way, SeedRun(of.name, replace(of.scored, targets=targets), of.probs))
        np.testing.assert_array_equal(after[here], before[here])
        assert (after != before).any()


@pytest.mark.parametrize("metric", ["accuracy", "log_loss"])
def test_the_best_of_several_is_picked_on_other_folds(metric: str) -> None:
    of = runs(90, skills={A: 1.0, B: 1.0}, metric=metric)[0]
    way, _ = seeds.two_ways("a | b : a")
    before, single = (
        seeds.predict(way, of),
        {t: seeds.predict(seeds.two_ways(f"{t.member} : c")[0], of) for t in (A, B)},
    )
    here = of.scored.rows({1})
    for outer_fold in of.scored.all_outer_folds:
        mine = of.scored.rows({outer_fold})
        same = [term for term in (A, B) if np.array_equal(before[mine], single[term][mine])]
        assert len(same) == 1, "each outer_fold is one member's"
    swapped = {A: of.probs[A].copy(), B: of.probs[B].copy()}
    swapped[A][here], swapped[B][here] = of.probs[B][here], of.probs[A][here]
    after = seeds.predict(way, SeedRun(of.name, of.scored, swapped))
    picked = A if np.array_equal(before[here], single[A][here]) else B
    expected = seeds.predict(seeds.two_ways(f"{picked.member} : c")[0], SeedRun(of.name, of.scored, swapped))
    assert np.array_equal(after[here], expected[here]), "an outer fold's own images do not choose its member"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a", "a colon between"),
        ("a : b : c", "a colon between"),
        ("a : a", "both ways are the same"),
        ("a + : b", "malformed"),
        ("a + a : b", "malformed"),
        ("a | b + c : b", "malformed"),
        ("../a : b", "malformed"),
        ("a@big : b", "malformed"),
    ],
)
def test_what_is_no_comparison_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        seeds.two_ways(text)


def write_run(root: Path, seed: int, **changes: Any) -> None:
    contest.write_inputs(root, **changes)
    values = yaml.safe_load((root / "params.yaml").read_text())
    for place, (name, settings) in enumerate(values["members"].items()):
        settings["model"]["seed"] = seed
        contest.write_member(root, name, settings, [], 10 * seed + place)
    (root / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))


@pytest.fixture
def three(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three runs, each a folder in place of a revision."""

    @contextmanager
    def files(name: str, root: Path, paths: Sequence[str]) -> Iterator[Path]:
        assert all((root / name / path).exists() for path in paths)
        yield root / name

    monkeypatch.setattr(revisions, "files", files)
    for seed in range(3):
        write_run(tmp_path / f"s{seed}", seed)
    return tmp_path


def test_runs_are_read_and_a_line_is_printed_per_comparison(three: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seeds.main("s0", "s1", "s2", "--hold", "a : b", "a : a@40", "a | b : a + b@40", root=three)
    out = capsys.readouterr().out
    assert out.startswith("3 runs, 28 images out of fold")
    lines = out.splitlines()[5:]
    held = ("a : b", "a : a@40", "a or b : a + b@40")
    assert [line.split(" | ")[0] for line in lines] == [f"| {ways}" for ways in held]
    assert len({line.count("|") for line in out.splitlines()[3:]}) == 1


def test_the_score_is_the_mean_over_runs_of_what_is_scored_out_of_fold(
    three: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seeds.main("s0", "s1", "s2", "--hold", "a : b", root=three)
    row = capsys.readouterr().out.splitlines()[5].split(" | ")
    expected = []
    for k in range(3):
        table = tables.read(three / f"s{k}/data/infer/a.parquet", tables.PREDICTIONS)
        table = table[(table["image_size"] == 32) & ~table["image_id"].isin([contest.SKIPPED, contest.UNREADABLE])]
        red = table.groupby("image_id")["p:red"].mean()
        truth = red.index.str.extract(r"(\d+)")[0].astype(int) % 2
        expected.append(((red.to_numpy() > 0.5) == truth.to_numpy()).mean())
    assert row[1] == f"{np.mean(expected):.4f}"


def test_runs_that_differ_in_more_than_seeds_or_not_at_all_are_refused(three: Path) -> None:
    values = yaml.safe_load((three / "s1/params.yaml").read_text())
    values["members"]["a"]["finetune"]["lr"] = 0.5
    (three / "s1/params.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(InputError, match=r"s1 differs from s0 .*: finetune\.lr of a: 0\.01 -> 0\.5"):
        seeds.main("s0", "s1", "--hold", "a : b", root=three)
    write_run(three / "s1", 0)
    with pytest.raises(InputError, match=r"s1: a .* in s0"):
        seeds.main("s0", "s1", "--hold", "a : b", root=three)
    with pytest.raises(InputError, match="s0: named twice"):
        seeds.main("s0", "s0", "--hold", "a : b", root=three)
    with pytest.raises(SystemExit):
        seeds.main("s0", "--hold", "a : b", root=three)
    write_run(three / "s1", 2)
    with pytest.raises(InputError, match=r"s2: a .* in s1"):
        seeds.main("s0", "s1", "s2", "--hold", "a : b", root=three)
    folds = contest.folds_table()
    folds.loc[0, "group"] = "other"
    tables.write(folds, three / "s2/data/split/folds.csv", tables.FOLDS)
    with pytest.raises(InputError, match=r"s2: its data/split/folds\.csv differs from that of s0"):
        seeds.main("s0", "s2", "--hold", "a : b", root=three)


def test_an_unknown_member_or_size_is_named(three: Path) -> None:
    with pytest.raises(InputError, match="s0: no member is named c; its members: a, b"):
        seeds.main("s0", "s1", "--hold", "a : c", root=three)
    with pytest.raises(InputError, match="a infers at 32, 40 pixels, not at 48"):
        seeds.main("s0", "s1", "--hold", "a@48 : b", root=three)


def test_a_member_that_is_its_probe_is_refused(three: Path) -> None:
    values = yaml.safe_load((three / "s0/params.yaml").read_text())
    values["members"]["a"] |= {
        phase: {**values["members"]["a"][phase], "epochs": 0} for phase in ("pretrain", "finetune")
    }
    (three / "s0/params.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(InputError, match="a trains no phase"):
        seeds.main("s0", "s1", "--hold", "a : b", root=three)
