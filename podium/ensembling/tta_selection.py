"""Whether a member should look at images in another way than it was trained: at other sizes, at several, in one transform.

The winning entry's author tested at a higher resolution than the training's and warns that it can make things worse
(a ConvNeXt-tiny falls from 82.9 to 79.0 on ImageNet from 224 to 288). So a member leaves its training size only on
evidence: a paired one-sided test at 5%, Holm over all candidates, clustered by group, on per-image log losses at each
candidate's own temperature; for metrics that log loss does not stand for, a paired bootstrap of the metric. Nor may
the metric itself be lower on the same images. A size that is worse by the same test in the other direction is said to
be so, and is left out of the average of sizes.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from podium.predictions import calibration
from podium.predictions.calibration import Probs
from podium.predictions.tta import Tta, singles
from podium.scoring import bootstrap, intervals
from podium.scoring.evaluation_set import EvaluationSet

DEFAULT, CHOSEN, SUPPORTED, OPEN, WORSE = "default", "chosen", "supported", "not supported", "worse"


@dataclass(frozen=True)
class Candidate:
    """A look as it did on the images that decide, against the usual look.

    Attributes:
        loss: mean cross-entropy in nats at `temperature`.
        evidence: of the log loss's gain, or the metric's.
        p: that it is no better, adjusted for the number of candidates.
        verdict: usual, taken, supported (another is better still), not supported, worse.
    """

    tta: Tta
    temperature: float
    loss: float
    evidence: intervals.Evidence
    p: float
    verdict: str


@dataclass(frozen=True)
class TtaChoice:
    """The look that is taken, its temperature, and what was held against each other."""

    tta: Tta
    temperature: float
    candidates: tuple[Candidate, ...]


@dataclass
class OofByTta:
    """A member's out-of-fold log probabilities in each look.

    Attributes:
        usual: the look it is trained for.
        others: single sizes, and single transforms, to hold against it.
        logs: look -> (images, classes), for `usual` and `others`, or those of them that are asked for.
        scored: the images.
    """

    usual: Tta
    others: tuple[Tta, ...]
    logs: dict[Tta, Probs]
    scored: EvaluationSet
    _curves: dict[Tta, calibration.LossCurve] = field(default_factory=dict)

    def temperature(self, tta: Tta, held_out: Collection[int]) -> float:
        """Fit the temperature of a TTA on the images outside the outer_folds `without`."""
        if tta not in self._curves:
            s = self.scored
            self._curves[tta] = calibration.curve(self.at(tta), s.targets, s.outer_folds, len(s.all_outer_folds))
        return self._curves[tta].temperature(np.array(self.scored.left(held_out)))

    def at(self, tta: Tta) -> Probs:
        """Return the log probabilities of a TTA, averaged now where it is of several sizes."""
        if tta not in self.logs:
            total = np.zeros_like(self.logs[self.usual])
            for single in singles(tta):
                total += np.exp(self.logs[single])
            self.logs[tta] = calibration.log_probs(total / np.float32(len(tta.image_sizes)))
        return self.logs[tta]


def decide(member: OofByTta, held_out: Collection[int] = ()) -> TtaChoice:
    """Choose a member's look on the images outside the outer_folds `without`."""
    usual = _try(member, member.usual, held_out)
    others = [_try(member, tta, held_out) for tta in member.others]
    harmful = _harmful(usual, others)
    if average := _average(member, harmful):
        others.append(_try(member, average, held_out))
    evidence = _evidence(usual, others, bool(held_out))
    p_values = bootstrap.holm([found.p_better for found in evidence])
    better = [
        other
        for other, p in zip(others, p_values, strict=True)
        if p < intervals.ALPHA and other.utility >= usual.utility
    ]
    taken = min(better or [usual], key=lambda tried: tried.order)
    candidates = [Candidate(usual.tta, usual.temperature, usual.loss, intervals.NOTHING, 1.0, DEFAULT)]
    for other, found, p in zip(others, evidence, p_values, strict=True):
        verdict = (
            CHOSEN if other is taken else SUPPORTED if other in better else WORSE if other.tta in harmful else OPEN
        )
        candidates.append(Candidate(other.tta, other.temperature, other.loss, found, p, verdict))
    return TtaChoice(taken.tta, taken.temperature, tuple(candidates))


@dataclass(frozen=True, eq=False)
class _Trial:
    """A look on the images that decide: their rows, and their losses (rows,) at its temperature."""

    tta: Tta
    temperature: float
    rows: NDArray[np.int64]
    losses: calibration.Values
    logs: Probs
    scored: EvaluationSet

    @property
    def loss(self) -> float:
        return float(self.losses.mean())

    @property
    def order(self) -> tuple[float, Tta]:
        """Return what the best of several is the first by."""
        return self.loss, self.tta

    @cached_property
    def utility(self) -> float:
        """Return the contest's metric, higher is better."""
        return self.scored.metric.utility(self.scored.targets[self.rows], self.probs())

    def probs(self) -> Probs:
        return calibration.scaled(self.logs[self.rows], self.temperature)


def _try(member: OofByTta, tta: Tta, held_out: Collection[int]) -> _Trial:
    s = member.scored
    rows, temperature, logs = s.rows(s.left(held_out)), member.temperature(tta, held_out), member.at(tta)
    return _Trial(tta, temperature, rows, calibration.losses(logs[rows], s.targets[rows], temperature), logs, s)


def _harmful(usual: _Trial, others: Sequence[_Trial]) -> set[Tta]:
    """Return the ttas that are worse than the usual one, by log loss whatever the metric: it shows it first."""
    groups = usual.scored.groups[usual.rows]
    found = [intervals.mean_evidence(usual.losses - other.losses, groups).p_worse for other in others]
    adjusted = bootstrap.holm(found)
    return {other.tta for other, p in zip(others, adjusted, strict=True) if p < intervals.ALPHA}


def _average(member: OofByTta, harmful: set[Tta]) -> Tta | None:
    """Return the look at all sizes that do no harm, if there are several."""
    usual = member.usual
    alike = [tta for tta in member.others if (tta.transforms, tta.phase) == (usual.transforms, usual.phase)]
    sizes = [tta.image_sizes[0] for tta in alike if tta not in harmful]
    return Tta(tuple(sorted([*usual.image_sizes, *sizes])), usual.transforms, usual.phase) if sizes else None


def _evidence(usual: _Trial, others: Sequence[_Trial], nested: bool) -> list[intervals.Evidence]:
    """Compare; where `nested`, only the look that is taken counts, and bootstraps that cannot change it are spared.

    Those are of ttas whose score is no higher, and of all behind one that is taken whatever their p-values are: it is
    supported (Bonferroni), and none of a smaller loss can be.
    """
    scored = usual.scored
    targets, groups = scored.targets[usual.rows], scored.groups[usual.rows]
    if scored.by_log_loss:
        return [intervals.mean_evidence(usual.losses - other.losses, groups) for other in others]
    base = intervals.Baseline(scored.metric, targets, usual.probs(), groups)
    found, settled, open_before = dict.fromkeys(range(len(others)), intervals.NOTHING), False, False
    for index in sorted(found, key=lambda index: others[index].order):
        if nested and (settled or others[index].utility <= usual.utility):
            continue
        found[index] = base.evidence(others[index].probs())
        p = found[index].p_better
        settled = p * len(others) < intervals.ALPHA and not open_before
        open_before |= p < intervals.ALPHA  # later ones decide whether Holm supports it
    return list(found.values())
