"""The honest score: everything that is chosen is chosen again without the images that score it.

    choose(images): each member's look and temperature   (resolution, calibration)
                    -> every method fitted on them        (ensembling), and their blends' temperatures
                    -> one method                         (gating)

A choice is made on all images but those of some parts. For the submission no part is left out. For the estimate each
part is left out once and predicted by what the others chose: `oof`. The gate between methods looks at a choice made
on its images without one more part, at each part in turn; so every pair of parts is left out once as well.

What the estimate is of, what it cannot undo, and how far it was off in simulations: docs/honest_scores.md.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import numpy as np

from podium.core import scratch
from podium.ensembling import blending, selection
from podium.ensembling.selection import Gated
from podium.ensembling.tta_selection import Decision, Member, decide
from podium.predictions import calibration, member_predictions, tta
from podium.predictions.calibration import Probs, Values
from podium.predictions.tta import Look
from podium.scoring import intervals, scores, thresholds
from podium.scoring.evaluation_set import Indices, Scored

Without = frozenset[int]
EVERYTHING: Without = frozenset()
MAX_CELLS = 2**26  # members x images x classes of float32, 256 MB, that are held at once
UNTEMPERED = {"ranks", "stacking"}  # the first is no probability, the second its own calibration


@dataclass(frozen=True)
class Chosen:
    """A member: what was decided without each set of parts, and its log probabilities in the looks that were taken."""

    decisions: Mapping[Without, Decision]
    logs: Mapping[Look, Probs]


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
        oof: (images, classes), each part by the recipe that the other parts chose.
        naive: (images, classes), all by `recipe`.
        gates: for each part what was chosen on the others.
    """

    recipe: Recipe
    gated: Gated
    oof: Probs
    naive: Probs
    gates: tuple[Gated, ...]


def choices(scored: Scored, n_methods: int) -> list[Without]:
    """List the sets of parts that something is chosen without: none, each, and where there is a gate each pair."""
    sizes = (0, 1, 2) if n_methods > 1 or has_decisions(scored.metric) else (0, 1)
    return [frozenset(parts) for size in sizes for parts in combinations(scored.all_parts, size)]


def has_decisions(metric: scores.Metric) -> bool:
    """Say whether another class than the likeliest may be the best answer."""
    return metric.judges_labels and metric.name not in intervals.HITS


@dataclass
class Nest:
    """The choices without every set of parts, each made once.

    Attributes:
        members: in the order of the blend.
        methods: names in ensembling.METHODS; the gate chooses between them where there are several.
        greedy_rounds: of greedy selection.
    """

    scored: Scored
    members: Sequence[Chosen]
    methods: Sequence[str]
    greedy_rounds: int = 20
    _left_out: dict[tuple[Without, int], dict[str, Probs]] = field(default_factory=dict)
    _recipes: dict[Without, dict[str, Recipe]] = field(default_factory=dict)

    def outcome(self) -> Outcome:
        """Choose, and estimate."""
        for without in choices(self.scored, len(self.methods)):
            self._choose(without)
        gates = [self.gate(frozenset({part})) for part in self.scored.all_parts]
        gated = self.gate(EVERYTHING)
        recipe = self._recipe(EVERYTHING, gated)
        oof = {
            part: self._recipe(frozenset({part}), gate).decide(self._left_out[frozenset({part}), part][gate.method])
            for part, gate in zip(self.scored.all_parts, gates, strict=True)
        }
        members = self.calibrated(EVERYTHING, np.arange(len(self.scored.targets)))
        naive = recipe.apply(members, self.scored.folds)
        return Outcome(recipe, gated, self.scored.gathered(oof), naive, tuple(gates))

    def gate(self, without: Without) -> Gated:
        """Choose between the methods, and between decisions, on the images outside the parts `without`."""
        parts = self.scored.left(without)
        rows = self.scored.rows(parts)
        judged = selection.Judged(self.scored.metric, self.scored.targets[rows], self.scored.groups[rows])

        def left_out(name: str, decided: bool = False) -> Probs:
            found = {part: self._left_out[without | {part}, part][name] for part in parts}
            if decided:
                found = {part: self._recipes[without | {part}][name].decide(probs) for part, probs in found.items()}
            return self.scored.gathered(found)

        gated = Gated(self.methods[0])
        if len(self.methods) > 1:
            gated = selection.choose_method(judged, {name: left_out(name) for name in self.methods})
        if has_decisions(self.scored.metric):
            plain, decided = left_out(gated.method), left_out(gated.method, decided=True)
            gated = selection.choose_decision(judged, gated, plain, decided)
        return gated

    def _recipe(self, without: Without, gated: Gated) -> Recipe:
        recipe = self._recipes[without][gated.method]
        return recipe if gated.decided else replace(recipe, multipliers=None)

    def calibrated(self, without: Without, rows: Indices) -> "Calibrated":
        """Return the members as they were decided without some parts, on the images at `rows`."""
        return Calibrated(self.members, without, rows)

    def _choose(self, without: Without) -> None:
        """Fit every method on the images left, and predict those left out."""
        rows = self.scored.rows(self.scored.left(without))
        fitted = self._recipes[without] = self._fitted(rows, _at_hand(self.calibrated(without, rows)))
        for part in without:
            here = self.scored.rows({part})
            members, folds = _at_hand(self.calibrated(without, here)), self.scored.folds[here]
            self._left_out[without, part] = {
                name: scratch.kept(recipe.blended(members, folds)) for name, recipe in fitted.items()
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
            if has_decisions(metric):
                multipliers = thresholds.fit(targets, recipe.blended(members, folds), metric)
                recipe = replace(recipe, multipliers=multipliers)
            recipes[name] = recipe
        return recipes


@dataclass(frozen=True)
class Calibrated(Sequence[Probs]):
    """Members' probabilities (images, classes) at `rows`, as decided without some parts; made anew when asked for."""

    members: Sequence[Chosen]
    without: Without
    rows: Indices

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, index: Any) -> Any:
        member = self.members[index]
        decision = member.decisions[self.without]
        logs = member.logs[decision.look]
        here = logs[self.rows]
        scratch.release(logs)
        return calibration.scaled(here, decision.temperature)


def _at_hand(members: Calibrated) -> Sequence[Probs]:
    """Make all members' probabilities at once where they are small, since every method asks for them."""
    cells = len(members) * len(members.rows) * len(next(iter(members.members[0].logs.values()))[0])
    return list(members) if cells <= MAX_CELLS else members


def decided(member: Member, without: Sequence[Without]) -> dict[Without, Decision]:
    """Decide a member's look without each of the sets of parts."""
    return {parts: decide(member, parts) for parts in without}


def taken(usual: Look, decisions: Mapping[Without, Decision]) -> list[Look]:
    """Return the looks that a blend may need: the usual one, and all that some choice took."""
    return sorted({usual, *(decision.look for decision in decisions.values())})


def chosen(member: Member, without: Sequence[Without]) -> Chosen:
    """Decide a member's look without each of the sets of parts, and keep what was taken."""
    return keep(member, decided(member, without))


def keep(member: Member, decisions: Mapping[Without, Decision]) -> Chosen:
    """Keep a member's predictions in the looks that were taken: no blend needs the others."""
    return Chosen(decisions, {look: scratch.kept(member.at(look)) for look in taken(member.usual, decisions)})


def single(nest: Nest, index: int) -> Probs:
    """Return one member's calibrated predictions (images, classes), its look chosen on the other parts."""
    found = {
        part: nest.calibrated(frozenset({part}), nest.scored.rows({part}))[index] for part in nest.scored.all_parts
    }
    return nest.scored.gathered(found)


def at_look(nest: Nest, index: int, look: Look) -> Probs:
    """Return one member's predictions (images, classes) in its usual look or one that some choice took."""
    return calibration.scaled(nest.members[index].logs[look], 1.0)


def best_single(nest: Nest) -> tuple[int, Probs]:
    """Return the best member's position, and the predictions (images, classes) of picking the best one.

    The best of many is flattered by the pick, so each part is predicted by the member that is best on the others.
    """
    picks = {part: _best(nest, frozenset({part})) for part in nest.scored.all_parts}
    found = {part: nest.calibrated(frozenset({part}), nest.scored.rows({part}))[index] for part, index in picks.items()}
    return _best(nest, EVERYTHING), nest.scored.gathered(found)


def _best(nest: Nest, without: Without) -> int:
    rows = nest.scored.rows(nest.scored.left(without))
    members, targets = nest.calibrated(without, rows), nest.scored.targets[rows]
    return int(np.argmax([nest.scored.metric.utility(targets, members[index]) for index in range(len(members))]))


def test_probs(
    source: member_predictions.Source,
    decision: Decision,
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
    probs = member_predictions.read_test(source, decision.look, image_ids, fold, classes)
    return calibration.scaled(tta.seen(probs, shifts.get(decision.look.phase)), decision.temperature)
