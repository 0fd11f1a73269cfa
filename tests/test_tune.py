"""Search of settings: the candidates, successive halving under a budget, how optimistic the choice is."""

import itertools
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TextIO

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from dvc.utils import hydra
from ruamel.yaml import YAML

from podium.core import params, tables
from podium.core.errors import InputError
from podium.core.interrupts import StopSignal
from podium.inference.settings import MemberSettings
from podium.predictions import calibration
from podium.preflight import git_checks, member_checks
from podium.training.settings import FinetuneSettings
from tests import graph, tiny
from tools import candidates, halving, rewriting, tune
from tools.held_out import HeldOut
from tools.trainings import SettingsChangedError, TemporaryExperiments
from tools.tune import Tuning
from tools.tuning_report import Report

FILES = [graph.PROJECT / "params.yaml", *sorted((graph.PROJECT / "recipes").glob("*.yaml"))]
each_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
CLASSES = ["a", "b", "c"]
OWN = {"epochs": 4, "lr": 0.001}


def sections(file: Path) -> dict[str, dict[str, Any]]:
    return {name: member["finetune"] for name, member in yaml.safe_load(file.read_text())["members"].items()}


@each_file
def test_candidates_are_few_valid_and_different(file: Path) -> None:
    for own in sections(file).values():
        found = candidates.around(own)
        assert 10 <= len(found) <= 13
        assert len({c.name for c in found}) == len(found)
        complete = [candidates._complete({**own, **c.changes}) for c in found]
        assert all(one != other for one, other in itertools.combinations(complete, 2))
        assert [c.epochs for c in found] == [settings["epochs"] for settings in complete]
        assert (found[0].changes == {}) == (own["epochs"] > 0)


@pytest.mark.parametrize(("name", "file"), [*zip(candidates.RECIPES, ("antbee", "weather"), strict=True)])
def test_whole_recipes_are_those_that_won(name: str, file: str) -> None:
    won = sections(graph.PROJECT / f"recipes/{file}.yaml")["vit"]
    assert candidates.RECIPES[name] == {key: value for key, value in won.items() if key not in candidates.KEPT}


@each_file
def test_a_whole_recipe_replaces_all_but_memory_and_metric(file: Path) -> None:
    for own in sections(file).values():
        found = {c.name: candidates._complete({**own, **c.changes}) for c in candidates.around(own)}
        for name, recipe in candidates.RECIPES.items():
            kept = {key: own[key] for key in candidates.KEPT if key in own}
            wanted = candidates._complete({**kept, **recipe})
            assert found.get(name) == wanted or found[candidates.AS_SET] == wanted


@pytest.mark.parametrize("own", [{"schedule": "step", "decay_epochs": [2], "decay_rate": 0.3}, {"min_lr": 1e-5}])
def test_a_whole_recipe_replaces_the_schedule(own: dict[str, Any]) -> None:
    """No override can remove a key, so the defaults of other schedules' keys are no error."""
    assert candidates.RECIPES.keys() <= {c.name for c in candidates.around({**OWN, **own})}


@pytest.mark.parametrize("epochs", [1, 3, 30])
def test_shortened_candidates_train_differently(epochs: int) -> None:
    own = {**OWN, "epochs": epochs}
    for share in halving.SHARES:
        kept = candidates.different(candidates.around(own), own, share)
        complete = [candidates._complete({**own, **candidates.shortened(c, own, share).changes}) for c in kept]
        assert all(one != other for one, other in itertools.combinations(complete, 2))
        assert kept[0].name == candidates.AS_SET
        if share == 1:
            assert kept == candidates.around(own)


def test_the_same_number_of_epochs_is_the_same_training_to_dvc() -> None:
    own = {**OWN, "warmup_epochs": 1}
    twice = next(c for c in candidates.around(own) if c.name == "epochs x 2")
    half = candidates.shortened(twice, own, 1 / 2)
    assert yaml.safe_dump({**own, **half.changes}) == yaml.safe_dump(own)


@pytest.mark.parametrize("file", [FILES[0], FILES[-1]], ids=lambda file: file.stem)
def test_the_words_of_an_experiment_make_the_changes(tmp_path: Path, file: Path) -> None:
    """Null and [], too. In a small params.yaml, which DVC rewrites sooner; test_settings.py shows it of whole ones."""
    path = tmp_path / "params.yaml"
    name, own = next(iter(sections(file).items()))
    for candidate in candidates.around(own):
        path.write_text(yaml.safe_dump({"members": {name: {"finetune": own}}}))
        if candidate.changes:
            hydra.apply_overrides(path, candidate.words(name)[1::2])
        changed = yaml.safe_load(path.read_text())["members"][name]["finetune"]
        assert candidates._complete(changed) == candidates._complete({**own, **candidate.changes})


@pytest.mark.parametrize("own", [OWN, {"epochs": 0, "lr": 0.1}], ids=["trained", "0 epochs"])
def test_a_combination_has_the_change_of_each_part(own: dict[str, Any]) -> None:
    """Whatever their order, and where each part gives epochs to a phase that has none."""
    parts = {c.name: c for c in candidates.around(own)}
    for names in itertools.permutations(["epochs x 2", "flip", "lr / 3"]):
        joined = candidates.combined([parts[name] for name in names], own)
        assert joined is not None
        assert (joined.name, joined.epochs) == (", ".join(names), parts["epochs x 2"].epochs)
        assert joined.changes == {**parts["flip"].changes, **parts["lr / 3"].changes, **parts["epochs x 2"].changes}


def test_a_number_that_yaml_reads_as_text_is_one() -> None:
    found = {c.name: c.changes for c in candidates.around({"epochs": 2, "lr": "3e-4"})}
    assert found["lr / 3"] == {"lr": 0.0001}


@each_file
def test_applied_settings_leave_all_other_lines(file: Path) -> None:
    name, own = list(sections(file).items())[-1]  # the first one's is merged into others in recipes/winner.yaml
    before = file.read_text()
    joined = candidates.combined([c for c in candidates.around(own) if c.name in ("lr / 3", "flip")], own)
    assert joined is not None
    after = rewriting.applied(before, name, joined.changes)
    expected = yaml.safe_load(before)
    expected["members"][name]["finetune"] = {**own, **joined.changes}
    assert yaml.safe_load(after) == expected
    kept = [line.split() for line in after.splitlines()]
    # of the section: its lr, its augmentation, line breaks
    assert sum(line.split() not in kept for line in before.splitlines()) <= 8
    assert after.count("#") == before.count("#")


def test_comments_behind_a_list_stay_when_the_list_is_replaced() -> None:
    """YAML's reader hangs them on the list's last leaf, or on its end."""
    for leaf in ("- Blur:", "- Blur: {p: 1}", "- Blur: {p: 1}  # mild", "- Some:\n            - Blur: {p: 1}"):
        before = (
            "members:\n  a:\n    finetune:\n      epochs: 1\n      augmentation:  # why\n"
            f"        {leaf}\n      # fast\n      lr: 0.1\n"
            "      decay_epochs:\n        - 5\n    # sizes\n\n    infer: {}\n"
        )
        after = rewriting.applied(before, "a", {"augmentation": [candidates.FLIP], "decay_epochs": [], "lr": 0.2})
        lines = [line.strip() for line in after.splitlines()]
        assert lines[4:] == [
            "augmentation: [HorizontalFlip: {p: 0.5}] # why",
            "# fast",
            "lr: 0.2",
            "decay_epochs: []",
            "# sizes",
            "",
            "infer: {}",
        ]


def test_a_section_that_members_share_is_not_applied_to_one() -> None:
    for alias in ("*f", "{<<: *f}"):
        text = f"members:\n  a: {{finetune: &f {{epochs: 1, lr: 0.1}}}}\n  b: {{finetune: {alias}}}\n"
        with pytest.raises(InputError, match=r"repeats members\.a\.finetune"):
            rewriting.applied(text, "a", {"lr": 0.2})


def test_a_section_that_members_share_does_not_end_the_tuning_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """A new key would be merged into the other member, by the printed command as well: the user is told."""
    path, settings = tmp_path / "params.yaml", member(OWN)
    shared = {**settings, "finetune": "SHARED"}
    text = yaml.safe_dump({"folds": [0, 1], "members": {"a": settings, "b": shared}}, sort_keys=False)
    path.write_text(text.replace("finetune:\n", "finetune: &f\n", 1).replace("SHARED", "{<<: *f}"))
    report = Report("", candidates.Candidate("clipped", {"clip_grad": 1.0}, "", 4))
    monkeypatch.setattr(Tuning, "run", lambda tuning: report)
    monkeypatch.setattr(tune, "_require_tracked_inputs", lambda *_: None)
    tune.main("1", "--apply", root=tmp_path)
    assert {k: v["finetune"] for k, v in params.read(tmp_path)["members"].items()} == {
        "a": OWN,
        "b": {**OWN, "clip_grad": 1.0},
    }
    printed = capsys.readouterr().out
    assert printed.count("WARNING: params.yaml: a YAML alias or merge repeats members.a.finetune") == 1
    assert "members.b.finetune has the settings `clipped` now" in printed


def test_a_shorter_training_has_its_whole_schedule() -> None:
    own = {"epochs": 30, "lr": 0.1, "schedule": "step", "decay_epochs": [15, 25], "warmup_epochs": 3}
    short = candidates.shortened(candidates.around(own)[0], own, 1 / 3)
    assert short.changes == {"epochs": 10, "warmup_epochs": 1.0, "decay_epochs": [5, 8]}
    assert short.epochs == 10
    for candidate, share in itertools.product(candidates.around(own), halving.SHARES):
        made = candidates.shortened(candidate, own, share)
        params.parse({**own, **made.changes}, "finetune", FinetuneSettings)


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": 2, "curves": False},
        {"epochs": 3, "schedule": "step", "decay_epochs": [1]},
        {"epochs": 30, "schedule": "step", "decay_epochs": [1, 2]},
        {"epochs": 3, "warmup_epochs": 2.99},
    ],
)
def test_a_shorter_training_is_valid_however_few_its_epochs(changes: dict[str, Any]) -> None:
    own = {"lr": 0.1, **changes}
    for candidate, share in itertools.product(candidates.around(own), halving.SHARES):
        made = candidates.shortened(candidate, own, share)
        params.parse({**own, **made.changes}, "finetune", FinetuneSettings)


def test_a_phase_without_epochs_is_offered_a_training_that_check_allows(tmp_path: Path) -> None:
    """Also with random weights and after phase 1, where `check` refuses `head_init: probe`."""
    own = {"epochs": 0, "lr": 0.1}
    finetune = {**own, **candidates.around(own)[0].changes}
    member = params.parse(tiny.member(finetune=finetune), "members.a", MemberSettings)
    assert member.pretrain.epochs > 0
    member_checks.check("a", member, {}, torch.device("cpu"), tmp_path)


@pytest.mark.parametrize(
    "changes", [{"average_epochs": 5}, {"schedule": "step", "decay_epochs": [2, 10]}, {"head_only_epochs": 4}], ids=str
)
def test_settings_of_a_phase_without_epochs_may_name_later_ones(changes: dict[str, Any]) -> None:
    own = {"epochs": 0, "lr": 0.1, **changes}
    params.parse(own, "finetune", FinetuneSettings)
    for candidate in candidates.around(own):
        params.parse({**own, **candidate.changes}, "finetune", FinetuneSettings)


def test_augmentations_can_be_built() -> None:
    from podium.training import augment

    for ops in candidates.AUGMENTATIONS.values():
        augment.build(ops, 32, "augmentation")


@pytest.mark.parametrize("n_folds", [2, 3, 5, 10])
def test_rungs_halve_the_candidates_and_end_with_all_folds(n_folds: int) -> None:
    rungs = halving.rungs(11, n_folds)
    assert (rungs[0].n_candidates, rungs[0].n_folds, rungs[-1].n_folds) == (11, 1, n_folds)
    for before, after in itertools.pairwise(rungs):
        assert before.n_folds < after.n_folds
        assert 2 <= after.n_candidates <= before.n_candidates / 2 + 1


def test_a_plan_fits_its_budget_and_cuts_epochs_before_candidates() -> None:
    epochs = {share: [max(1, round(6 * share))] * 11 for share in halving.SHARES}
    plans = [halving.plan(epochs, 5, of_one=60, budget=budget) for budget in range(0, 3600, 60)]
    for budget, plan in zip(range(0, 3600, 60), plans, strict=True):
        assert not plan.rungs or plan.seconds <= budget
    sizes = [(plan.rungs[0].n_candidates if plan.rungs else 0, plan.share) for plan in plans]
    assert sizes == sorted(sizes)
    assert sizes[0][0] == 0
    assert sizes[-1] == (11, 1.0)
    assert all(share == halving.SHARES[-1] for number, share in sizes if number < 11)
    assert {number for number, _ in sizes} >= {0, 11}


def test_the_best_of_equal_candidates_is_optimistic_by_what_it_gains() -> None:
    """Candidates that differ by chance only gain where they were chosen, and nothing on the other folds."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(300):
        costs = {f"c{k}": list(rng.normal(1, 0.1, 5)) for k in range(10)}
        optimism = halving.optimism(costs, "c0", 2, [10] * 5)
        assert optimism is not None
        found.append((optimism.on_chosen, optimism.on_fresh, optimism.excess))
    chosen, fresh, excess = np.mean(found, axis=0)
    assert chosen > 0.08
    assert abs(fresh) < 0.02
    assert excess == pytest.approx(chosen - fresh)


def test_a_real_gain_is_not_optimistic() -> None:
    costs = {"own": [1.0, 2.0, 3.0], "better": [0.5, 1.5, 2.5], "worse": [1.5, 2.5, 3.5]}
    optimism = halving.optimism(costs, "own", 1, [1, 2, 3])
    assert optimism is not None
    assert (optimism.name, optimism.chosen_on, optimism.fresh) == ("better", (0,), (1, 2))
    assert optimism.on_chosen == optimism.on_fresh == 0.5
    assert halving.optimism(costs, "own", 3, [1, 2, 3]) is None


class PlantedTrainings:
    """Trainings whose skill is planted, and a clock that they advance.

    Args:
        skill: settings of `finetune` -> how much likelier the right class is; below 0 the training fails.
        own: settings.
        phase_1: seconds of phase 1 of a fold.
        cache: what has trained, as words and fold; it takes no time again.
    """

    def __init__(
        self,
        own: dict[str, Any],
        skill: Callable[[dict[str, Any]], float],
        n_folds: int,
        phase_1: float = 0.0,
        cache: set[tuple[str, str]] | None = None,
    ) -> None:
        self.own, self.skill, self.time = own, skill, 0.0
        self.phase_1, self.cache = phase_1, set() if cache is None else cache
        self.trained: list[tuple[str, str]] = []
        images = [f"i{k:03}" for k in range(60 * n_folds)]
        labels = [CLASSES[k // n_folds % 3] for k in range(len(images))]
        folds = [str(k % n_folds) for k in range(len(images))]
        self.folds = pd.DataFrame(
            {"image_id": images, "label": labels, "use": "train", "reason": "", "group": images, "fold": folds}
        )

    def reference(self, member: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        return self.folds, self.predicted(self.folds, 1.0, 0)

    def pretrain(self, member: str, fold: str) -> None:
        self._spend(self.phase_1, "pretrain", fold)

    def _spend(self, seconds: float, words: str, fold: str) -> None:
        self.time += 0.0 if (words, fold) in self.cache else seconds
        self.cache.add((words, fold))

    def finetune(self, member: str, words: Sequence[str], folds: Sequence[str]) -> list[pd.DataFrame]:
        keys = [word.removeprefix("++members.m.finetune.").split("=", 1) for word in words[1::2]]
        settings = {**self.own, **{key: yaml.safe_load(value) for key, value in keys}}
        if self.skill(settings) < 0:
            raise InputError("the loss is nan\nlower lr\nERROR: failed to reproduce 'finetune@m-0': failed to run")
        for fold in folds:
            self.pretrain(member, fold)
            self._spend(10 * settings["epochs"], " ".join(words), fold)
        self.trained += [(" ".join(words), fold) for fold in folds]
        return [self.predicted(self.folds[self.folds["fold"] == f], self.skill(settings), int(f)) for f in folds]

    def predicted(self, rows: pd.DataFrame, skill: float, seed: int) -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        logits = rng.normal(size=(len(rows), 3))
        logits[np.arange(len(rows)), [CLASSES.index(label) for label in rows["label"]]] += skill
        probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        found = rows[["image_id", "fold"]].assign(subset="train", image_size=32, transform="identity")
        return tables.with_probs(found, probs.astype(np.float32), CLASSES)


def member(own: dict[str, Any]) -> dict[str, Any]:
    return {
        "model": {"backbone": "resnet10t", "weights": "none", "image_size": 32},
        "pretrain": {"epochs": 0, "lr": 0.1},
        "finetune": own,
        "infer": {"image_sizes": [32], "transforms": ["identity"]},
    }


def member_settings(own: dict[str, Any]) -> MemberSettings:
    return params.parse(member(own), "members.m", MemberSettings)


def tuned(
    tmp_path: Path,
    skill: Callable[[dict[str, Any]], float],
    *,
    hours: float = 10,
    own: dict[str, Any] = OWN,
    n_folds: int = 3,
    made: dict[str, float] | None = None,
    members: int = 1,
    model: dict[str, Any] | None = None,
    phase_1: float = 0.0,
    cache: set[tuple[str, str]] | None = None,
) -> tuple[Report, PlantedTrainings, list[str]]:
    """Tune a member `m`; return the report, the trainings and the printed lines."""
    section = {**member(own), **({"model": model} if model else {})}
    section["pretrain"]["epochs"] = int(phase_1 > 0)
    values = {"members": {"m": section}, "folds": list(range(n_folds)), "contest": {"metric": "accuracy"}}
    trainings, said = PlantedTrainings(own, skill, n_folds, phase_1, cache), []
    tuning = Tuning(
        "m",
        params.parse(section, "members.m", MemberSettings),
        values,
        trainings,
        deadline=3600 * hours,
        tried=tmp_path / "m.csv",
        clock=lambda: trainings.time,
        say=said.append,
        made=made or {},
        members=members,
    )
    return tuning.run(), trainings, said


@pytest.mark.parametrize("answers_balanced", [False, True])
def test_a_candidate_with_balanced_classes_gets_back_the_prior_that_it_lost_and_no_more(answers_balanced: bool) -> None:
    n, prior = 600, np.array([0.9, 0.05, 0.05])
    rng = np.random.default_rng(0)
    labels = rng.choice(3, n, p=prior)
    ids, folds = [f"i{k:03}" for k in range(n)], [str(k % 3) for k in range(n)]
    rows = pd.DataFrame(
        {
            "image_id": ids,
            "label": [CLASSES[k] for k in labels],
            "use": "train",
            "reason": "",
            "group": ids,
            "fold": folds,
        }
    )
    evidence = 1.5 * (rng.normal(size=(n, 3)) + 1.5 * np.eye(3)[labels])

    def predicted(kept: float) -> pd.DataFrame:
        probs = calibration.scaled((evidence + kept * np.log(prior)).astype(np.float32), 1.0)
        found = rows[["image_id", "fold"]].assign(subset="train", image_size=32, transform="identity")
        return tables.with_probs(found, probs, CLASSES)

    values = {"folds": [0, 1, 2], "contest": {"metric": "log_loss"}}
    natural = predicted(1.0)
    held_out = HeldOut.of(member_settings(OWN), values, rows, natural)
    for fold in range(3):
        held_out.add("balanced", fold, predicted(0.0) if answers_balanced else natural, balanced=True)
    np.testing.assert_allclose(held_out.costs["balanced"], held_out.costs["probe"], atol=0.02)


def flips(settings: dict[str, Any]) -> bool:
    return settings.get("augmentation") == [candidates.FLIP]


def test_what_helps_is_found_alone_and_together(tmp_path: Path) -> None:
    report, trainings, _ = tuned(tmp_path, lambda s: 1.5 + flips(s) + (s["lr"] < 0.001))
    assert report.winner is not None
    assert report.winner.changes == {"lr": 0.00033, "augmentation": [candidates.FLIP]}
    assert "`dvc" not in report.text
    assert report.winner.command("m") in report.text
    for words, fold in trainings.trained:
        assert trainings.trained.count((words, fold)) == 1, "nothing trains twice"
    table = tables.read(tmp_path / "m.csv", tune.TRIED)
    assert len(table) == len(trainings.trained)
    assert set(table["fold"]) == {"0", "1", "2"}
    assert table.groupby("candidate").size().max() == 3


def test_what_helps_only_together_is_found_as_a_whole_recipe(tmp_path: Path) -> None:
    recipe = candidates.RECIPES["recipe: 10 epochs, TrivialAugment"]
    report, _, said = tuned(tmp_path, lambda s: 1.5 + 1.5 * (s["epochs"], s["lr"]).__eq__((10, recipe["lr"])))
    assert report.winner is not None
    assert report.winner.changes == recipe
    assert not any("together" in line for line in said)


@pytest.mark.parametrize("channels", [1, 3])
def test_what_check_refuses_is_not_trained(tmp_path: Path, channels: int) -> None:
    """TrivialAugment takes RGB alone; vit_tiny has no batch norms."""
    model = {"backbone": "vit_tiny_patch16_224", "weights": "none", "image_size": 32}
    model |= {"model_kwargs": {"in_chans": channels, "dynamic_img_size": True}}
    _, trainings, said = tuned(tmp_path, lambda s: 1.5, model=model)
    words = " ".join(words for words, _ in trainings.trained)
    assert "frozen=batch_norms" not in words
    assert ("TrivialAugment" in words) == (channels == 3)
    refused = [line.split(":")[0].strip() for line in said if "not tried" in line]
    assert "batch norms frozen" in refused
    assert ("TrivialAugment and flip" in refused) == (channels == 1)


def test_the_budget_is_kept_and_what_does_not_fit_is_said_first(tmp_path: Path) -> None:
    for minutes in (6, 8, 12, 24):
        _, trainings, said = tuned(tmp_path / str(minutes), lambda s: 1.5, hours=minutes / 60)
        assert trainings.time <= 60 * minutes
        said_before = said[: next(k for k, line in enumerate(said) if line.startswith("rung"))]
        assert any("does not fit" in line for line in said_before) == (minutes < 24)


@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("phase_1", [0.0, 100.0])
@pytest.mark.parametrize("n_folds", [3, 5])
def test_too_short_a_budget_is_refused_with_one_that_suffices(
    tmp_path: Path, members: int, phase_1: float, n_folds: int
) -> None:
    """What has trained before the refusal is in DVC's cache, and phase 1 of the other folds is not."""

    def skill(settings: dict[str, Any]) -> float:  # of each candidate another one, whatever its epochs
        return 1.2 + len(json.dumps(settings.get("augmentation"))) % 7 / 10 + 100 * float(settings["lr"]) % 1

    cache = set[tuple[str, str]]()
    given = {"n_folds": n_folds, "phase_1": phase_1, "cache": cache}
    with pytest.raises(InputError, match=r"shortest plan needs .* min: give BUDGET=\S+ or more") as raised:
        tuned(tmp_path, skill, hours=0.02, members=members, **given)
    advised = [float(word) for word in re.findall(r"BUDGET=([\d.]+)", str(raised.value))]
    assert len(advised) == members  # with several, the second one is for this member alone
    assert advised[0] == pytest.approx(members * advised[-1], abs=0.02)
    _, trainings, said = tuned(tmp_path, skill, hours=advised[-1], **given)
    assert trainings.time <= advised[-1] * 3600
    assert not [line for line in said if "not trained" in line]
    assert int(next(line for line in said if line.startswith("rung 2")).split()[4]) > 1


def test_an_interrupted_tuning_knows_how_long_trainings_take(tmp_path: Path) -> None:
    first, _, said = tuned(tmp_path, lambda s: 1.5 + flips(s), hours=12 / 60)

    class Restored(PlantedTrainings):
        def finetune(self, member: str, words: Sequence[str], folds: Sequence[str]) -> list[pd.DataFrame]:
            before = self.time
            found = super().finetune(member, words, folds)
            self.time = before + 0.1
            return found

    restored = pytest.MonkeyPatch()
    restored.setitem(globals(), "PlantedTrainings", Restored)
    again, trainings, said_again = tuned(tmp_path, lambda s: 1.5 + flips(s), hours=12 / 60)
    restored.undo()
    assert again.winner == first.winner
    assert [line for line in said if "plan" in line] == [line for line in said_again if "plan" in line]
    assert trainings.time < 10


def test_a_training_that_make_has_done_counts_as_long_as_it_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DVC restores it in no time, and the others train."""

    class Made(PlantedTrainings):
        def finetune(self, member: str, words: Sequence[str], folds: Sequence[str]) -> list[pd.DataFrame]:
            before = self.time
            found = super().finetune(member, words, folds)
            self.time = self.time if words else before + 0.1
            return found

    monkeypatch.setitem(globals(), "PlantedTrainings", Made)
    made = {str(fold): 10.0 * OWN["epochs"] for fold in range(3)}
    _, trainings, said = tuned(tmp_path, lambda s: 1.5, hours=8 / 60, made=made)
    assert "m: one training of one fold: 40 s (4 epochs); left: 8 min" in said
    assert trainings.time <= 8 * 60


def test_the_seconds_of_make_are_those_of_the_same_settings(tmp_path: Path) -> None:
    """DVC reads numbers by YAML 1.2 and writes them so: 1e-5, which PyYAML reads as text."""
    member = {"model": {"image_size": 32}, "finetune": {"epochs": 4, "lr": 3e-5}}
    text = yaml.safe_dump({"folds": [0, 1, 2, 3], "torch": {"threads": 1}, "members": {"m": member}})
    (tmp_path / "params.yaml").write_text(text.replace("3.0e-05", "3e-5"))
    assert tune.seconds_of_make(tmp_path, "m", "finetune") == {}
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/seconds.csv").write_text(
        "".join(f"t,finetune@m-{k},{s}\n" for k, s in [(0, 7), (0, 9), (1, 8), (3, 6)])
    )
    assert tune.seconds_of_make(tmp_path, "m", "finetune") == {}
    same = {"torch": {"threads": 1}, "members.m.model": member["model"], "members.m.finetune": member["finetune"]}
    longer = {**same, "members.m.finetune": {**member["finetune"], "epochs": 9}}
    larger = {**same, "members.m.model": {"image_size": 64}}
    used = {"0": same, "1": longer, "2": same, "3": larger}
    stages = {f"finetune@m-{fold}": {"params": {"params.yaml": settings}} for fold, settings in used.items()}
    with (tmp_path / "dvc.lock").open("w") as lock:
        YAML().dump({"schema": "2.0", "stages": stages}, lock)  # as DVC does
    assert tune.seconds_of_make(tmp_path, "m", "finetune") == {"0": 9.0}
    assert tune.seconds_of_make(tmp_path, "m", "pretrain") == {}


def test_a_candidate_whose_training_fails_is_out(tmp_path: Path) -> None:
    report, _, said = tuned(tmp_path, lambda s: -1 if s["lr"] > 0.001 else 1.5 + flips(s))
    assert report.winner is not None
    assert report.winner.name == "flip"
    assert any(line == "  lr x 3: failed, so it is out: lower lr" for line in said)
    with pytest.raises(InputError, match="the loss is nan"):
        tuned(tmp_path, lambda s: -1)


def test_a_probe_that_is_better_is_kept(tmp_path: Path) -> None:
    report, _, _ = tuned(tmp_path, lambda s: 0.2 + 0.2 * flips(s))
    assert report.winner is None
    assert "epochs: 0" in report.text


def test_two_candidates_on_one_fold_are_reported_in_the_singular(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OneFold(PlantedTrainings):
        def finetune(self, member: str, words: Sequence[str], folds: Sequence[str]) -> list[pd.DataFrame]:
            if list(folds) != ["0"]:
                raise InputError("no disk space")
            return super().finetune(member, words, folds)

    monkeypatch.setitem(globals(), "PlantedTrainings", OneFold)
    report, _, _ = tuned(
        tmp_path, lambda s: 1.5 + flips(s) if s in (OWN, {**OWN, "augmentation": [candidates.FLIP]}) else -1
    )
    text = " ".join(report.text.split())
    assert "adjusted for 1 candidate)" in text
    assert "is not known: every fold that trained took part in it" in text


def test_own_settings_that_are_best_are_kept(tmp_path: Path) -> None:
    report, _, _ = tuned(tmp_path, lambda s: 2.0 if s == OWN else 1.5)
    assert report.winner is None
    assert "Your settings are the best" in report.text


def test_a_member_that_is_only_a_probe_is_offered_a_training(tmp_path: Path) -> None:
    report, trainings, _ = tuned(tmp_path, lambda s: 1.5, own={"epochs": 0, "lr": 0.001})
    assert report.winner is not None
    assert report.winner.epochs > 0
    assert "Gains are over `3 epochs`." in report.text
    assert "your settings" not in report.text
    assert all(".epochs=0" not in words for words, _ in trainings.trained)


@pytest.mark.parametrize("words", [[""], ["none"], ["0"], ["nan"], ["-1"], ["inf"], ["1e999"]])
def test_a_budget_is_hours(tmp_path: Path, words: list[str]) -> None:
    with pytest.raises(InputError, match="BUDGET"):
        tune.main(*words, root=tmp_path)


def test_a_misspelt_member_is_refused_before_anything_else(tmp_path: Path) -> None:
    """Before the repository is looked at, which is none."""
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"members": {"m": member(OWN)}, "folds": [0, 1]}))
    with pytest.raises(InputError, match=r"^no member is named n; members: m$"):
        tune.main("1", "--member", "n", root=tmp_path)


def test_inputs_that_git_lacks_are_an_error_and_no_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git_checks, "require_commit", lambda root: None)
    monkeypatch.setattr(git_checks, "untracked", lambda paths, root: "data/ is not tracked")
    with pytest.raises(InputError, match=r"^data/ is not tracked, then `git commit`"):
        tune._require_tracked_inputs(params.read(graph.PROJECT), tmp_path)


@pytest.mark.parametrize("place", [0, 1])
def test_settings_edited_during_a_members_last_training_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    """Nothing is applied over the edit, and no other member is tuned with a mixture of old and new settings."""
    path, ran = tmp_path / "params.yaml", []
    path.write_text(yaml.safe_dump({"members": {"a": member(dict(OWN)), "b": member(dict(OWN))}, "folds": [0, 1]}))
    winner = candidates.Candidate("lr / 3", {"lr": 0.0003}, "lr", 4)

    def run(tuning: Tuning) -> Report:
        assert params.read(tmp_path) == tuning.values
        ran.append(tuning.member)
        if len(ran) == place + 1:
            path.write_text(path.read_text().replace("epochs: 4", "epochs: 5"))
        return Report("", winner)

    monkeypatch.setattr(Tuning, "run", run)
    monkeypatch.setattr(tune, "_require_tracked_inputs", lambda *_: None)
    with pytest.raises(SettingsChangedError, match=r"params\.yaml changed"):
        tune.main("1", "--apply", root=tmp_path)
    assert ran == ["a", "b"][: place + 1]
    lrs = [member["finetune"]["lr"] for member in params.read(tmp_path)["members"].values()]
    assert lrs == [0.0003] * place + [0.001] * (2 - place)


def test_an_experiment_that_is_ended_early_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = tmp_path / ".dvc/tmp/exps/standalone"

    def add(name: str) -> Path:
        folder = folders / f"tmp{name}"
        (folder / "data").mkdir(parents=True)
        info = folders / f"run/{name}/{name}.run"
        info.parent.mkdir(parents=True)
        info.write_text(json.dumps({"name": name, "root_dir": str(folder.resolve())}))
        return folder

    def killed(_: TemporaryExperiments, *words: str, check: bool = True) -> None:
        made.append(add(words[words.index("--name") + 1]))
        raise StopSignal(signal.SIGINT)

    of_the_user, made = add("mine"), list[Path]()
    (folders / "run/mine/cut.run").write_text('{"na')
    (tmp_path / "params.yaml").write_text("")
    monkeypatch.setattr(TemporaryExperiments, "_dvc", killed)
    with pytest.raises(StopSignal), TemporaryExperiments(tmp_path, tmp_path / "log", b"") as trainings:
        trainings.pretrain("a", "0")
    assert len(made) == 1
    assert not made[0].exists()
    assert of_the_user.exists()


def by_server(command: Sequence[str], *, cwd: Path, env: dict[str, str], stdout: TextIO, **_: Any) -> Any:
    """Run `python -m dvc <words>` sooner than a new process."""
    assert command[:3] == [sys.executable, "-m", "dvc"]
    done = graph.server().run(command[3:], cwd, env)
    stdout.write(done.stdout + done.stderr)
    return done


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # DVC leaves git's packs open
def test_temporary_experiments_leave_the_workspace_alone_and_train_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = graph.build(tmp_path, folds=(0, 1))
    repo.commit()
    for key, value in repo._env(0).items():
        monkeypatch.setenv(key, value)
    monkeypatch.setattr("tools.trainings.subprocess", SimpleNamespace(run=by_server, STDOUT=subprocess.STDOUT))
    before, output, outputs, ran = repo.read("params.yaml"), "data/finetune/b/0.parquet", [], []
    words = ["-S", "++members.b.finetune.augmentation=[{HorizontalFlip: {p: 0.5}}]"]
    with TemporaryExperiments(repo.root, tmp_path / "dvc.log", (repo.root / "params.yaml").read_bytes()) as trainings:
        for _ in range(2):
            repo.log.write_text("")
            with trainings.outputs(["finetune@b-0"], words, [output]) as folder:
                outputs.append((folder / output).read_bytes())
            ran.append(set(repo.ran()))
        repo.edit(lambda values: values["members"].pop("a"))
        with pytest.raises(SettingsChangedError), trainings.outputs([], [], []):
            pass
        (repo.root / "params.yaml").write_bytes(before)
    assert ran[0] >= {"split", "pretrain@b-0", "finetune@b-0"}
    assert not {"finetune@b-1", "finetune@a-0", "infer@b"} & ran[0]
    assert ran[1] == {"check"}
    assert outputs[0] == outputs[1]
    assert repo.run("git", "status", "--short") == ""
    assert repo.run("git", "for-each-ref", "refs/exps/*/*/") == ""
