"""Nested cross-validation of the ensemble.

    choose(images): each member's TTA and its calibration   (tta_selection)
                    -> every blending method fitted on them  (blending), and the blends' temperatures and thresholds
                    -> one method                            (selection)

Something is chosen on all images but those of some held-out outer folds. For the submission nothing is held out. For
the score each outer fold is held out once, and predicted by what the others chose: `oof`. The choice between methods
needs predictions that each method's fit has not seen, so one more outer fold is held out in turn: every pair of outer
folds is held out once as well.

docs/honest_scores.md says what the score estimates, what it cannot undo, and how far it was off in simulations.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import numpy as np

from podium.core import scratch
from podium.ensembling import blending, selection, tta_selection
from podium.ensembling.method_registry import METHODS
from podium.ensembling.selection import Selection
from podium.ensembling.tta_selection import OofByTta, TtaChoice
from podium.predictions import calibration
from podium.predictions.calibration import Probs, Targets
from podium.predictions.tta import Tta
from podium.scoring import evaluation_set, thresholds
from podium.scoring.evaluation_set import EvaluationSet, Indices

HeldOut = frozenset[int]
NONE_HELD_OUT: HeldOut = frozenset()
MAX_CELLS = 2**26  # members x images x classes of float32, 256 MB, that are in memory at once


@dataclass(frozen=True)
class ChosenMember:
    """A member: what was chosen without each set of outer folds, and its log probabilities in the chosen TTAs.

    Attributes:
        shifts: TTA -> log class prior (images, classes) that its calibration adds a share of; only TTAs that need it.
    """

    choices: Mapping[HeldOut, TtaChoice]
    logs: Mapping[Tta, Probs]
    shifts: Mapping[Tta, Probs] = field(default_factory=dict)

    def probs(self, held_out: HeldOut, rows: Indices) -> Probs:
        """Return calibrated probabilities (rows, classes), as chosen without the outer folds `held_out`."""
        choice = self.choices[held_out]
        logs = self.logs[choice.tta]
        here = logs[rows]
        scratch.release(logs)
        shift = self.shifts.get(choice.tta)
        return choice.calibration.apply(here, None if shift is None else shift[rows])


@dataclass(frozen=True)
class Recipe:
    """How members' calibrated probabilities become the blend's.

    Attributes:
        temperature: of the blend, because a mean of calibrated members is less sure than it should be.
        label_temperatures: (labels,) of sets of labels, applied after `temperature`; empty where all have that alone.
        decision: changes the blend's probabilities so that the likeliest class is the one to predict for the contest's
            metric; None where the likeliest class is predicted as it is.
    """

    blend: blending.Blend
    temperature: float = 1.0
    label_temperatures: tuple[float, ...] = ()
    decision: thresholds.Decision | None = None

    def apply(self, members: Iterable[Probs]) -> Probs:
        """Blend single folds' predictions (images, classes), and decide."""
        return self.decided(self.blended(members))

    def decided(self, probs: Probs) -> Probs:
        """Apply the decision to blended probabilities."""
        return probs if self.decision is None else self.decision.apply(probs)

    def blended(self, members: Iterable[Probs]) -> Probs:
        """Blend, and scale by the temperatures."""
        probs = blending.blended(self.blend, members)
        if self.temperature != 1:
            probs = calibration.scaled(calibration.log_probs(probs), self.temperature)
        if not self.label_temperatures:
            return probs
        return calibration.scaled_by_label(calibration.log_probs(probs), self.label_temperatures)


@dataclass(frozen=True)
class Outcome:
    """What the blend is, and how good.

    Attributes:
        recipe: chosen on all images.
        selection: its method.
        oof: (images, classes), each outer fold by the recipe that the other outer folds chose.
        naive: (images, classes), all by `recipe`.
        selections: for each outer fold what was selected on the others.
        by_method: method -> (images, classes), each outer fold by the method fitted on the others.
    """

    recipe: Recipe
    selection: Selection
    oof: Probs
    naive: Probs
    selections: tuple[Selection, ...]
    by_method: Mapping[str, Probs]


def held_out_sets(images: EvaluationSet, n_methods: int) -> list[HeldOut]:
    """List the sets of outer folds that are held out: none, each, and where a choice needs it each pair."""
    sizes = (0, 1, 2) if n_methods > 1 or images.metric.thresholds == "tested" else (0, 1)
    return [frozenset(folds) for size in sizes for folds in combinations(images.all_outer_folds, size)]


@dataclass
class NestedCv:
    """The choices without every set of outer folds, each made once.

    Attributes:
        members: in the order of the blend.
        methods: names in METHODS; one of them is chosen where there are several.
        greedy_rounds: of greedy selection.
        tempered_labels: labels of an image that get temperatures of their own; 0 for none.
    """

    images: EvaluationSet
    members: Sequence[ChosenMember]
    methods: Sequence[str]
    greedy_rounds: int = 20
    tempered_labels: int = 0
    _left_out: dict[tuple[HeldOut, int], dict[str, Probs]] = field(default_factory=dict)
    _recipes: dict[HeldOut, dict[str, Recipe]] = field(default_factory=dict)

    def outcome(self) -> Outcome:
        """Choose, and estimate."""
        for held_out in held_out_sets(self.images, len(self.methods)):
            self._fit(held_out)
        selected = self.select(NONE_HELD_OUT)
        folds = self.images.all_outer_folds
        by_fold = {fold: self.select(frozenset({fold})) for fold in folds}
        recipe = self._recipe(NONE_HELD_OUT, selected)
        oof = {
            fold: self._recipe(frozenset({fold}), one).decided(self._left_out[frozenset({fold}), fold][one.method])
            for fold, one in by_fold.items()
        }
        by_method = {
            name: scratch.on_disk(
                self.images.gathered({fold: self._left_out[frozenset({fold}), fold][name] for fold in folds})
            )
            for name in self.methods
        }
        own = scratch.on_disk(self.images.gathered(oof))
        naive = scratch.on_disk(recipe.apply(self.calibrated(NONE_HELD_OUT, np.arange(len(self.images.targets)))))
        return Outcome(recipe, selected, own, naive, tuple(by_fold.values()), by_method)

    def select(self, held_out: HeldOut) -> Selection:
        """Select the method and the thresholds by the images outside the outer folds `held_out`."""
        folds = self.images.remaining(held_out)
        rows = self.images.rows(folds)

        def left_out(name: str, with_thresholds: bool = False) -> Probs:
            found = {fold: self._left_out[held_out | {fold}, fold][name] for fold in folds}
            if with_thresholds:
                recipes = {fold: self._recipes[held_out | {fold}][name] for fold in folds}
                found = {fold: recipes[fold].decided(probs) for fold, probs in found.items()}
            return self.images.gathered(found)

        method = self.methods[0]
        if len(self.methods) > 1:
            method = selection.choose_method(self.images, rows, ((name, left_out(name)) for name in self.methods))
        kind = self.images.metric.thresholds
        if kind == "tested":
            helps = selection.thresholds_help(self.images, rows, left_out(method), left_out(method, True))
            return Selection(method, helps)
        return Selection(method, kind != "likeliest")

    def recipe_without(self, held_out: HeldOut) -> Recipe:
        """Return the recipe chosen without some outer folds.

        Without several of them there are too few left to choose a method on, so it is the first method's.
        """
        if held_out not in self._recipes:
            self._fit(held_out)
        selected = self.select(held_out) if len(held_out) == 1 else Selection(self.methods[0])
        return self._recipe(held_out, selected)

    def _recipe(self, held_out: HeldOut, selected: Selection) -> Recipe:
        recipe = self._recipes[held_out][selected.method]
        return recipe if selected.uses_thresholds else replace(recipe, decision=None)

    def calibrated(self, held_out: HeldOut, rows: Indices) -> "CalibratedMembers":
        """Return the members as they were chosen without some outer folds, on the images at `rows`."""
        return CalibratedMembers(self.members, held_out, rows)

    def _fit(self, held_out: HeldOut) -> None:
        """Fit every method on the remaining images, and predict those that are held out."""
        rows = self.images.rows(self.images.remaining(held_out))
        fitted = self._recipes[held_out] = self._fitted(rows, _in_memory(self.calibrated(held_out, rows)))
        for fold in held_out:
            here = self.images.rows({fold})
            members = _in_memory(self.calibrated(held_out, here))
            self._left_out[held_out, fold] = {
                name: scratch.on_disk(recipe.blended(members)) for name, recipe in fitted.items()
            }

    def _fitted(self, rows: Indices, members: Sequence[Probs]) -> dict[str, Recipe]:
        targets, metric = self.images.targets[rows], self.images.metric

        def utility(targets: Targets, probs: Probs) -> float:
            return -evaluation_set.choice_cost(metric, targets, probs)

        judged_by = None if metric.chosen_by == "log_loss" else utility
        fitting = blending.Fitting(targets, judged_by, self.greedy_rounds)
        recipes = {}
        for name in self.methods:
            recipe = Recipe(METHODS[name].fit(members, fitting))
            if METHODS[name].is_tempered:
                logs = calibration.log_probs(recipe.blended(members))
                recipe = replace(recipe, temperature=calibration.fit_temperature(logs, targets))
            if self.tempered_labels:
                logs = calibration.log_probs(recipe.blended(members))
                own = calibration.fit_label_temperatures(logs, targets, self.tempered_labels)
                recipe = replace(recipe, label_temperatures=own)
            if metric.thresholds != "likeliest":
                recipe = replace(recipe, decision=thresholds.fit(targets, recipe.blended(members), metric))
            recipes[name] = recipe
        return recipes


@dataclass(frozen=True)
class CalibratedMembers(Sequence[Probs]):
    """Members' probabilities (images, classes) at `rows`, as chosen without some outer folds; made when asked for."""

    members: Sequence[ChosenMember]
    held_out: HeldOut
    rows: Indices

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, index: Any) -> Any:
        return self.members[index].probs(self.held_out, self.rows)


def _in_memory(members: CalibratedMembers) -> Sequence[Probs]:
    """Make all members' probabilities at once where they are small, because every method asks for them."""
    cells = len(members) * len(members.rows) * len(next(iter(members.members[0].logs.values()))[0])
    return list(members) if cells <= MAX_CELLS else members


def choices_of(member: OofByTta, held_out: Sequence[HeldOut]) -> dict[HeldOut, TtaChoice]:
    """Choose a member's TTA without each of the sets of outer folds."""
    return {folds: tta_selection.choose_tta(member, folds) for folds in held_out}


def choose_member(member: OofByTta, held_out: Sequence[HeldOut]) -> ChosenMember:
    """Choose a member's TTA without each of the sets of outer folds, and keep the predictions in the chosen TTAs."""
    return with_choices(member, choices_of(member, held_out))


def with_choices(member: OofByTta, choices: Mapping[HeldOut, TtaChoice]) -> ChosenMember:
    """Keep a member's predictions in the chosen TTAs: no blend needs the others."""
    ttas = tta_selection.chosen_ttas(member.default, list(choices.values()))
    shifts = {tta: shift for tta in ttas if (shift := member.shift_of(tta)) is not None}
    return ChosenMember(choices, {tta: scratch.on_disk(member.at(tta)) for tta in ttas}, shifts)


def member_oof(nested: NestedCv, index: int) -> Probs:
    """Return one member's calibrated predictions (images, classes), its TTA chosen on the other outer folds.

    Large ones lie on the disk (scratch), because there are as many as members.
    """
    images, member = nested.images, nested.members[index]
    return scratch.on_disk(
        images.gathered({fold: member.probs(frozenset({fold}), images.rows({fold})) for fold in images.all_outer_folds})
    )


def at_default(nested: NestedCv, index: int, default: Tta) -> Probs:
    """Return one member's predictions (images, classes) in its default TTA, as they are."""
    logs = nested.members[index].logs[default]
    found = calibration.scaled(logs, 1.0)
    scratch.release(logs)
    return found
