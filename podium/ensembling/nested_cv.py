"""The honest score: everything that is chosen is chosen again without the images that score it.

    choose(images): each member's look and temperature   (resolution, calibration)
                    -> every method fitted on them        (ensembling), and their blends' temperatures
                    -> one method                         (gating)

A choice is made on all images but those of some outer_folds. For the submission no outer_fold is left out. For the estimate each
outer_fold is left out once and predicted by what the others chose: `oof`. The gate between methods looks at a choice made
on its images without one more outer_fold, at each outer_fold in turn; so every pair of outer_folds is left out once as well.

What the estimate is of, what it cannot undo, and how far it was off in simulations: docs/honest_scores.md.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import numpy as np

from podium.core import scratch
from podium.ensembling import blending, selection
from podium.ensembling.selection import Selection
from podium.ensembling.tta_selection import OofByTta, TtaChoice, decide
from podium.predictions import calibration, member_predictions
from podium.predictions.calibration import Probs, Values
from podium.predictions.tta import Tta, seen
from podium.scoring import intervals, scores, thresholds
from podium.scoring.evaluation_set import EvaluationSet, Indices

HeldOut = frozenset[int]
NONE_HELD_OUT: HeldOut = frozenset()
MAX_CELLS = 2**26  # members x images x classes of float32, 256 MB, that are held at once
UNTEMPERED = {"ranks", "stacking"}  # the first is no probability, the second its own calibration


@dataclass(frozen=True)
class ChosenMember:
    """A member: what was decided without each set of outer_folds, and its log probabilities in the ttas that were taken."""

    decisions: Mapping[HeldOut, TtaChoice]
    logs: Mapping[Tta, Probs]


@dataclass(frozen=True)
class Recipe:
    """How members' calibrated probabilities become the blend's.

    Attributes:
        temperature: of the blend, since a mean of calibrated members is less sure than it should be.
        multipliers: (classes,) of the blend's probabilities, so that the likeliest class is the one to predict for
            the contest's metric; None where it is the likeliest class anyway, or no fitted ones are used.
    """

    blend: blending.Blend
    temperature: float = 1.0
    multipliers: Values | None = None

    def apply(self, members: Iterable[Probs], folds: Indices) -> Probs:
        """Blend single folds' predictions (images, classes)."""
        return self.decide(self.blended(members, folds))

    def decide(self, probs: Probs) -> Probs:
        """Apply the multipliers to blended probabilities."""
        return probs if self.multipliers is None else thresholds.apply(probs, self.multipliers)

    def blended(self, members: Iterable[Probs], folds: Indices) -> Probs:
        """Blend, and scale by the temperature."""
        probs = blending.blended(self.blend, members, folds)
        return probs if self.temperature == 1 else calibration.scaled(calibration.log_probs(probs), self.temperature)


@dataclass(frozen=True)
class Outcome:
    """What the blend is, and how good.

    Attributes:
        recipe: chosen on all images.
        gated: its method.
        oof: (images, classes), each outer_fold by the recipe that the other outer_folds chose.
        naive: (images, classes), all by `recipe`.
        gates: for each outer_fold what was chosen on the others.
    """

    recipe: Recipe
    gated: Selection
    oof: Probs
    naive: Probs
    gates: tuple[Selection, ...]


def choices(scored: EvaluationSet, n_methods: int) -> list[HeldOut]:
    """List the sets of outer_folds that something is chosen held_out: none, each, and where there is a gate each pair."""
    sizes = (0, 1, 2) if n_methods > 1 or has_thresholds(scored.metric) else (0, 1)
    return [frozenset(outer_folds) for size in sizes for outer_folds in combinations(scored.all_outer_folds, size)]


def has_thresholds(metric: scores.Metric) -> bool:
    """Say whether another class than the likeliest may be the best answer."""
    return metric.judges_labels and metric.name not in intervals.HITS


@dataclass
class NestedCv:
    """The choices without every set of outer_folds, each made once.

    Attributes:
        members: in the order of the blend.
        methods: names in ensembling.METHODS; the gate chooses between them where there are several.
        greedy_rounds: of greedy selection.
    """

    scored: EvaluationSet
    members: Sequence[ChosenMember]
    methods: Sequence[str]
    greedy_rounds: int = 20
    _left_out: dict[tuple[HeldOut, int], dict[str, Probs]] = field(default_factory=dict)
    _recipes: dict[HeldOut, dict[str, Recipe]] = field(default_factory=dict)

    def outcome(self) -> Outcome:
        """Choose, and estimate."""
        for held_out in choices(self.scored, len(self.methods)):
            self._choose(held_out)
        gates = [self.gate(frozenset({outer_fold})) for outer_fold in self.scored.all_outer_folds]
        gated = self.gate(NONE_HELD_OUT)
        recipe = self._recipe(NONE_HELD_OUT, gated)
        oof = {
            outer_fold: self._recipe(frozenset({outer_fold}), gate).decide(
                self._left_out[frozenset({outer_fold}), outer_fold][gate.method]
            )
            for outer_fold, gate in zip(self.scored.all_outer_folds, gates, strict=True)
        }
        members = self.calibrated(NONE_HELD_OUT, np.arange(len(self.scored.targets)))
        naive = recipe.apply(members, self.scored.folds)
        return Outcome(recipe, gated, self.scored.gathered(oof), naive, tuple(gates))

    def gate(self, held_out: HeldOut) -> Selection:
        """Choose between the methods, and between decisions, on the images outside the outer_folds `without`."""
        outer_folds = self.scored.left(held_out)
        rows = self.scored.rows(outer_folds)
        judged = selection.SelectionImages(self.scored.metric, self.scored.targets[rows], self.scored.groups[rows])

        def left_out(name: str, decided: bool = False) -> Probs:
            found = {
                outer_fold: self._left_out[held_out | {outer_fold}, outer_fold][name] for outer_fold in outer_folds
            }
            if decided:
                found = {
                    outer_fold: self._recipes[held_out | {outer_fold}][name].decide(probs)
                    for outer_fold, probs in found.items()
                }
            return self.scored.gathered(found)

        gated = Selection(self.methods[0])
        if len(self.methods) > 1:
            gated = selection.choose_method(judged, {name: left_out(name) for name in self.methods})
        if has_thresholds(self.scored.metric):
            plain, decided = left_out(gated.method), left_out(gated.method, decided=True)
            gated = selection.choose_thresholds(judged, gated, plain, decided)
        return gated

    def _recipe(self, held_out: HeldOut, gated: Selection) -> Recipe:
        recipe = self._recipes[held_out][gated.method]
        return recipe if gated.decided else replace(recipe, multipliers=None)

    def calibrated(self, held_out: HeldOut, rows: Indices) -> "CalibratedMembers":
        """Return the members as they were decided without some outer_folds, on the images at `rows`."""
        return CalibratedMembers(self.members, held_out, rows)

    def _choose(self, held_out: HeldOut) -> None:
        """Fit every method on the images left, and predict those left out."""
        rows = self.scored.rows(self.scored.left(held_out))
        fitted = self._recipes[held_out] = self._fitted(rows, _at_hand(self.calibrated(held_out, rows)))
        for outer_fold in held_out:
            here = self.scored.rows({outer_fold})
            members, folds = _at_hand(self.calibrated(held_out, here)), self.scored.folds[here]
            self._left_out[held_out, outer_fold] = {
                name: scratch.on_disk(recipe.blended(members, folds)) for name, recipe in fitted.items()
            }

    def _fitted(self, rows: Indices, members: Sequence[Probs]) -> dict[str, Recipe]:
        targets, folds, metric = self.scored.targets[rows], self.scored.folds[rows], self.scored.metric
        utility = None if self.scored.by_log_loss else metric.utility
        fitting = blending.Fitting(targets, utility, self.greedy_rounds)
        recipes = {}
        for name in self.methods:
            recipe = Recipe(blending.METHODS[name](members, fitting))
            if name not in UNTEMPERED:
                logs = calibration.log_probs(recipe.blended(members, folds))
                recipe = replace(recipe, temperature=calibration.temperature(logs, targets))
            if has_thresholds(metric):
                multipliers = thresholds.fit(targets, recipe.blended(members, folds), metric)
                recipe = replace(recipe, multipliers=multipliers)
            recipes[name] = recipe
        return recipes


@dataclass(frozen=True)
class CalibratedMembers(Sequence[Probs]):
    """Members' probabilities (images, classes) at `rows`, as decided without some outer_folds; made anew when asked for."""

    members: Sequence[ChosenMember]
    held_out: HeldOut
    rows: Indices

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, index: Any) -> Any:
        member = self.members[index]
        decision = member.decisions[self.held_out]
        logs = member.logs[decision.tta]
        here = logs[self.rows]
        scratch.release(logs)
        return calibration.scaled(here, decision.temperature)


def _at_hand(members: CalibratedMembers) -> Sequence[Probs]:
    """Make all members' probabilities at once where they are small, since every method asks for them."""
    cells = len(members) * len(members.rows) * len(next(iter(members.members[0].logs.values()))[0])
    return list(members) if cells <= MAX_CELLS else members


def decided(member: OofByTta, held_out: Sequence[HeldOut]) -> dict[HeldOut, TtaChoice]:
    """Decide a member's look without each of the sets of outer_folds."""
    return {outer_folds: decide(member, outer_folds) for outer_folds in held_out}


def taken(usual: Tta, decisions: Mapping[HeldOut, TtaChoice]) -> list[Tta]:
    """Return the ttas that a blend may need: the usual one, and all that some choice took."""
    return sorted({usual, *(decision.tta for decision in decisions.values())})


def chosen(member: OofByTta, held_out: Sequence[HeldOut]) -> ChosenMember:
    """Decide a member's look without each of the sets of outer_folds, and keep what was taken."""
    return keep(member, decided(member, held_out))


def keep(member: OofByTta, decisions: Mapping[HeldOut, TtaChoice]) -> ChosenMember:
    """Keep a member's predictions in the ttas that were taken: no blend needs the others."""
    return ChosenMember(decisions, {tta: scratch.on_disk(member.at(tta)) for tta in taken(member.usual, decisions)})


def single(nest: NestedCv, index: int) -> Probs:
    """Return one member's calibrated predictions (images, classes), its look chosen on the other outer_folds."""
    found = {
        outer_fold: nest.calibrated(frozenset({outer_fold}), nest.scored.rows({outer_fold}))[index]
        for outer_fold in nest.scored.all_outer_folds
    }
    return nest.scored.gathered(found)


def oof_at_tta(nest: NestedCv, index: int, tta: Tta) -> Probs:
    """Return one member's predictions (images, classes) in its usual look or one that some choice took."""
    return calibration.scaled(nest.members[index].logs[tta], 1.0)


def best_member_oof(nest: NestedCv) -> tuple[int, Probs]:
    """Return the best member's position, and the predictions (images, classes) of picking the best one.

    The best of many is flattered by the pick, so each outer_fold is predicted by the member that is best on the others.
    """
    picks = {outer_fold: _best(nest, frozenset({outer_fold})) for outer_fold in nest.scored.all_outer_folds}
    found = {
        outer_fold: nest.calibrated(frozenset({outer_fold}), nest.scored.rows({outer_fold}))[index]
        for outer_fold, index in picks.items()
    }
    return _best(nest, NONE_HELD_OUT), nest.scored.gathered(found)


def _best(nest: NestedCv, held_out: HeldOut) -> int:
    rows = nest.scored.rows(nest.scored.left(held_out))
    members, targets = nest.calibrated(held_out, rows), nest.scored.targets[rows]
    return int(np.argmax([nest.scored.metric.utility(targets, members[index]) for index in range(len(members))]))


def test_probs(
    source: member_predictions.MemberPredictions,
    decision: TtaChoice,
    *,
    image_ids: Sequence[str],
    fold: str,
    classes: Sequence[str],
    shifts: Mapping[str, Probs],
) -> Probs:
    """Return one fold's calibrated predictions of test images in the look that is taken: (images, classes).

    Args:
        source: whose.
        decision: on all scored images.
        image_ids: of test images.
        fold: whose model's are wanted.
        classes: in the order wanted.
        shifts: phase -> (classes,), as in `logs`, of this fold.
    """
    probs = member_predictions.read_test(source, decision.tta, image_ids, fold, classes)
    return calibration.scaled(seen(probs, shifts.get(decision.tta.phase)), decision.temperature)
