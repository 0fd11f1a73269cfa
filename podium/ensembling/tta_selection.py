"""Which TTA a member predicts with: the one with the smallest left-out cost.

The winning entry's author tested at a higher resolution than the training's and warns that it can make things worse
(a ConvNeXt-tiny falls from 82.9 to 79.0 on ImageNet from 224 to 288). A phase of training can make things worse too.
So the size, the transforms and the phase are chosen by their cost on images that the model has not seen: the log loss
at each candidate's own temperature, or what `Metric.chosen_by` names. Candidates that lose to the default TTA in a
test are left out of averages. Comparisons with the default TTA are reported, and decide nothing else.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from podium.core import scratch
from podium.predictions import calibration
from podium.predictions.calibration import FittedCalibration, LossCurve, Probs, Values
from podium.predictions.tta import Tta, average_ttas, single_ttas
from podium.scoring import comparison, intervals
from podium.scoring.comparison import Comparison
from podium.scoring.evaluation_set import EvaluationSet, Indices


@dataclass(frozen=True)
class TtaChoice:
    """The chosen TTA and its calibration."""

    tta: Tta
    calibration: FittedCalibration


@dataclass(frozen=True)
class TtaCandidate:
    """A TTA on all images, compared with the default TTA.

    Attributes:
        log_loss: mean, in nats.
        cost: what the choice makes small; the log loss, or what `Metric.chosen_by` names.
        compared: None for the default TTA itself.
    """

    tta: Tta
    calibration: FittedCalibration
    log_loss: float
    cost: float
    compared: Comparison | None


@dataclass
class OofByTta:
    """A member's out-of-fold log probabilities by TTA.

    Attributes:
        default: the TTA that it is trained for.
        alternatives: single TTAs that are compared with it.
        logs: TTA -> (images, classes), for `default` and `alternatives`, or those of them that are asked for.
        images: the evaluation set.
        shifts: phase -> log class prior (images, classes) of the images that its models were trained on; only phases
            whose training weighed classes.
    """

    default: Tta
    alternatives: tuple[Tta, ...]
    logs: dict[Tta, Probs]
    images: EvaluationSet
    shifts: dict[str, Probs] = field(default_factory=dict)
    _curves: dict[tuple[Tta, float], LossCurve] = field(default_factory=dict)

    def shift_of(self, tta: Tta) -> Probs | None:
        """Return the log class prior (images, classes) that a TTA's phases may have lost, or None."""
        return next((self.shifts[phase] for phase in tta.phases if phase in self.shifts), None)

    def calibration(self, tta: Tta, held_out: Collection[int] = ()) -> FittedCalibration:
        """Fit a TTA's temperature and prior strength on the images outside the outer folds `held_out`.

        As calibration.fit does, with curves that are measured once for all sets of outer folds.
        """
        folds = np.array(self.images.remaining(held_out))
        strengths = (0.0,) if self.shift_of(tta) is None else calibration.PRIOR_STRENGTHS
        fitted = [(*self._curve(tta, strength).lowest(folds), strength) for strength in strengths]
        _, temperature, strength = min(fitted)
        return FittedCalibration(temperature, strength)

    def _curve(self, tta: Tta, strength: float) -> LossCurve:
        if (tta, strength) not in self._curves:
            i = self.images
            logs = calibration.with_prior(self.at(tta), self.shift_of(tta), strength)
            self._curves[tta, strength] = calibration.curve(logs, i.targets, i.outer_folds, len(i.all_outer_folds))
            scratch.release(self.at(tta))
        return self._curves[tta, strength]

    def at(self, tta: Tta) -> Probs:
        """Return the log probabilities of a TTA; the mean over several sizes or phases is made when it is asked for."""
        if tta not in self.logs:
            singles = single_ttas(tta)
            total = np.zeros_like(self.logs[singles[0]], subok=False)
            for single in singles:
                total += np.exp(self.logs[single])
                scratch.release(self.logs[single])
            total /= np.float32(len(singles))
            self.logs[tta] = scratch.on_disk(calibration.log_probs(total))
        return self.logs[tta]


def choose_tta(member: OofByTta, held_out: Collection[int] = ()) -> TtaChoice:
    """Choose a member's TTA by the images outside the outer folds `held_out`; the default TTA wins ties."""
    best = min(_trials(member, held_out), key=lambda trial: trial.cost)  # the first of several
    return TtaChoice(best.tta, best.calibration)


def candidates(member: OofByTta, held_out: Collection[int] = ()) -> list[Tta]:
    """Return the default TTA, the single alternatives, and the averages that leave out harmful ones."""
    return [trial.tta for trial in _trials(member, held_out)]


def report(member: OofByTta) -> list[TtaCandidate]:
    """Compare every candidate with the default TTA on all images."""
    base, *others = _trials(member, ())
    base_probs = base.probs()
    rows = [TtaCandidate(base.tta, base.calibration, base.log_loss, base.cost, None)]
    for trial in others:
        found = comparison.compare(
            member.images.metric,
            member.images.targets,
            base=base_probs,
            candidate=trial.probs(),
            groups=member.images.groups,
            n_comparisons=len(others),
        )
        rows.append(TtaCandidate(trial.tta, trial.calibration, trial.log_loss, trial.cost, found))
    return rows


@dataclass(frozen=True, eq=False)
class _Trial:
    """A calibrated TTA on the images at `rows`, which decide."""

    member: OofByTta
    tta: Tta
    calibration: FittedCalibration
    rows: Indices

    @cached_property
    def losses(self) -> Values:
        """Return the log losses (rows,)."""
        targets = self.member.images.targets[self.rows]
        return calibration.losses(self._shifted_logs(), targets, self.calibration.temperature)

    @property
    def log_loss(self) -> float:
        return float(self.losses.mean())

    @cached_property
    def cost(self) -> float:
        images = self.member.images
        return self.log_loss if images.metric.chosen_by == "log_loss" else images.cost(self.rows, self.probs())

    def probs(self) -> Probs:
        return calibration.scaled(self._shifted_logs(), self.calibration.temperature)

    def _shifted_logs(self) -> Probs:
        shift = self.member.shift_of(self.tta)
        every = self.member.at(self.tta)
        logs = every[self.rows]
        scratch.release(every)
        here = None if shift is None else shift[self.rows]
        return calibration.with_prior(logs, here, self.calibration.prior_strength)


def _trials(member: OofByTta, held_out: Collection[int]) -> list[_Trial]:
    """Try the default TTA first, then the single alternatives, then the averages that leave out harmful ones."""
    rows = member.images.rows(member.images.remaining(held_out))

    def tried(ttas: Iterable[Tta]) -> list[_Trial]:
        return [_Trial(member, tta, member.calibration(tta, held_out), rows) for tta in ttas]

    default, *singles = tried((member.default, *member.alternatives))
    harmful = [trial.tta for trial in singles if _loses(trial, default, len(singles))]
    return [default, *singles, *tried(average_ttas(member.default, member.alternatives, harmful))]


def _loses(trial: _Trial, default: _Trial, n_tests: int) -> bool:
    """Say whether a candidate's log loss is higher in a one-sided test at 5% over all candidates (Bonferroni)."""
    groups = trial.member.images.groups[trial.rows]
    found = intervals.mean_evidence(default.losses - trial.losses, groups)
    return found.p_worse * n_tests < intervals.ALPHA


def chosen_ttas(default: Tta, choices: Sequence[TtaChoice]) -> list[Tta]:
    """Return the TTAs that a blend may need: the default one, and all that were chosen without some outer folds."""
    return sorted({default, *(choice.tta for choice in choices)})
