"""How sure a score or a difference is: intervals and one-sided tests whose unit is the group of images.

Images of one group (a burst, a patient, near duplicates) are not independent; all sums are over groups first. What
is a mean over images needs no resampling: the cluster-robust variance is the limit of infinitely many draws of a
bootstrap of groups. Where groups are unequal, it is corrected (a delete-one-group jackknife), and quantiles of
Student's t have the degrees of freedom that the groups leave. Means of losses are skewed (few images cost
much), so that plain t intervals miss the truth on one side: Hall's transformation corrects for it. Metrics that are
no mean are bootstrapped by group.

docs/honest_scores.md says what these intervals cover, by simulation.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray
from scipy import special

from podium.core import seeding
from podium.scoring import proportions, scores

Probs = NDArray[np.float32]
Targets = NDArray[np.int64]
Values = NDArray[np.float64]
Groups = NDArray[np.int64]

LEVEL = 0.95  # of intervals
ALPHA = 0.05  # of tests
# Degrees of freedom at least, where the groups leave as many. k groups that make all of a difference have a t of
# sqrt(k): with 4 degrees k = 4 is not significant (one-sided 5.8%; four of one sign have a chance of 6.3%).
MIN_CARRIERS = 4.0
ROUNDING = 1e-12  # relative, of a score: 64-bit sums
DRAWS = 200  # of a bootstrap whose spread alone is used: its standard error is known to 5%
FEW = 50  # groups of a class, whose bootstrap may show too little variance
DOUBT = 0.25  # groups, wrong or right as one, that are added: few errors cannot tell how they cluster


@dataclass(frozen=True)
class Evidence:
    """What images say of a difference in a mean, or a score; higher is better.

    Attributes:
        difference: candidate minus baseline.
        low, high: its 95% interval, two-sided.
        p_better, p_worse: one-sided, of the hypotheses that the candidate is no better, and no worse.
    """

    difference: float
    low: float
    high: float
    p_better: float
    p_worse: float


NOTHING = Evidence(0.0, 0.0, 0.0, 1.0, 1.0)


def mean_evidence(differences: Values, groups: Groups, level: float = LEVEL, of_runs: Values | None = None) -> Evidence:
    """Test whether the mean of paired differences (images,) is above 0, clustered by group.

    Test and interval take the less sure of the plain t and of the t with Hall's correction for skewness, on as many
    degrees of freedom as groups carry the variance. Where three groups of a thousand make all the difference, that is
    three groups, whatever their signs. The variance is the delete-one-group jackknife's (`_Mean`). The interval
    excludes 0 exactly where the two-sided test rejects it.

    Args:
        differences: (images,) candidate minus baseline; above 0 is better.
        groups: (images,).
        level: of the interval.
        of_runs: (runs,) mean differences of the single runs where `differences` are averages over runs with different
            seeds. Their standard error is added to that of the images, because other seeds would train other networks.

    Sources: Hall 1992, J. R. Statist. Soc. B 54(1), 221-228; degrees of freedom as of Satterthwaite 1946.
    """
    if float(np.abs(differences).max()) <= scores.ROUNDING:
        return NOTHING
    mean = _Mean.of(differences, groups)
    if mean.error == 0:
        return _without_spread(mean.value, n_groups(groups), level)
    if of_runs is not None:
        mean = mean.with_runs(of_runs)
    t = mean.value / mean.error
    both = t, mean.transformed(t)
    low, high = mean.careful_interval(level)
    return Evidence(mean.value, low, high, _tail(min(both), mean.carriers), _tail(-max(both), mean.carriers))


def score_evidence(
    metric: scores.Metric, targets: Targets, *, base: Probs, candidate: Probs, groups: Groups, level: float = LEVEL
) -> Evidence:
    """Test whether `candidate` has the better score, by a paired bootstrap of groups: see `score_evidence_of_runs`."""
    return score_evidence_of_runs(metric, targets, bases=[base], candidates=[candidate], groups=groups, level=level)


def score_evidence_of_runs(
    metric: scores.Metric,
    targets: Targets,
    *,
    bases: Sequence[Probs],
    candidates: Sequence[Probs],
    groups: Groups,
    level: float = LEVEL,
) -> Evidence:
    """Test whether candidates have a better score than baselines on average over runs with different seeds.

    A draw of the paired bootstrap draws groups of images. The difference of a draw is the mean over runs of the
    differences of the runs' scores on these images. The spread of the draws is the standard error of a t test: their
    tails would take thousands of draws to carry a correction for many comparisons. Its degrees of freedom are those of
    the difference in log loss. As in `mean_evidence`, the standard error over runs is added.

    Args:
        metric: the contest's.
        targets: (images,) class indices.
        bases: (images, classes) of each run.
        candidates: (images, classes) of each run, in the same order.
        groups: (images,).
        level: of the interval.
    """
    pairs = list(zip(bases, candidates, strict=True))
    if all(scores.alike(base, candidate) for base, candidate in pairs):
        return NOTHING
    gains = np.array([metric.utility(targets, candidate) - metric.utility(targets, base) for base, candidate in pairs])
    draws, sign = group_draws(groups[:: metric.n_labels]), 1 if metric.greater_is_better else -1
    drawn = np.array(
        [
            [metric.weighted(targets, candidate, draws), metric.weighted(targets, base, draws)]
            for base, candidate in pairs
        ]
    )
    rounding = _rounding(drawn)
    differences = sign * (drawn[:, 1] - drawn[:, 0]).mean(axis=0)
    difference, error, count = float(gains.mean()), _spread(differences, rounding), n_groups(groups)
    if error == 0:
        if abs(difference) <= rounding:
            return no_difference_seen(groups)
        return _without_spread(difference, count, level)
    losses = [scores.log_losses(targets, base) - scores.log_losses(targets, candidate) for base, candidate in pairs]
    freedom = min(_Mean.of(np.mean(losses, axis=0), groups).freedom, DRAWS - 1)
    error, freedom = _with_runs(error, freedom, gains)
    half, t = _quantile(freedom, level) * error, difference / error
    return Evidence(difference, difference - half, difference + half, _tail(t, freedom), _tail(-t, freedom))


def no_difference_seen(groups: Groups) -> Evidence:
    """Return what images say whose scores do not differ although their predictions do: other images may differ."""
    unseen = _unseen(n_groups(groups))
    return replace(NOTHING, low=-unseen, high=unseen)


def score_interval(metric: scores.Metric, targets: Targets, probs: Probs, groups: Groups) -> tuple[float, float]:
    """Return the 95% interval (low, high) of a metric's true value, by group.

    log_loss: the mean's interval with Hall's correction, or where groups are unequal and it is wider, the interval of
    the mean's logarithm. Scores: Wilson's interval, which is right at 0 and 100% too, for as many images as would give
    the score's clustered variance; scores that may be negative are moved to [0, 1] for it. A metric of one's own may
    have any value: the normal interval of a bootstrap by group. Of a mean over classes with
    a rare one, no narrower than what the classes' own intervals give: few images of a class that are all right show no
    variance. All use quantiles of Student's t on the degrees of freedom that the groups leave (`_freedom`): for
    accuracy its own, for other scores those of the log loss.
    """
    mean = _Mean.of(_hits(targets, probs) if metric.is_share_of_images else scores.log_losses(targets, probs), groups)
    if metric.is_log_loss:
        low, high = mean.interval() if mean.error > 0 else _equal_losses(mean.value, n_groups(groups))
        return max(low, 0.0), min(high, scores.WORST_LOSS)
    value = metric.function(targets, probs)
    draws = group_draws(groups[:: metric.n_labels])
    if metric.lowest == -np.inf:
        drawn = metric.weighted(targets, probs, draws)
        half = _quantile(mean.freedom) * _spread(drawn, _rounding(drawn))
        return value - half, value + half
    shift, scale = -metric.lowest, 1 - metric.lowest  # to [0, 1]
    share = (value + shift) / scale
    if metric.is_share_of_images:
        size = _size_of_hits(probs.argmax(axis=1) == targets, groups)
    else:
        drawn = metric.weighted(targets, probs, draws)
        size = _size_of_draws(share, drawn / scale, targets, groups)
    quantile = _quantile(mean.freedom)
    ends = proportions.wilson(share, size, quantile)
    low, high = float(ends[0]) * scale - shift, float(ends[1]) * scale - shift
    if metric.mean_over == "classes" and _groups_of_classes(targets, groups).min() < FEW:
        of_classes = _mean_of_classes(metric, targets, probs, groups, quantile)
        low, high = min(low, of_classes[0]), max(high, of_classes[1])
    return low, high


def _equal_losses(loss: float, count: int) -> tuple[float, float]:
    """Return the interval of a mean where all groups have the same loss: a share that none shows may have any other."""
    unseen = min(_unseen(count), 1.0)
    return (1 - unseen) * loss, (1 - unseen) * loss + unseen * scores.WORST_LOSS


def group_draws(groups: Groups, draws: int = DRAWS) -> NDArray[np.float32]:
    """Draw groups with replacement: how often each image is in each draw (images, draws).

    Whole numbers, in the type that sums fastest; sums over up to 16 million images are exact.
    """
    return _counts(n_groups(groups), draws)[dense(groups)].astype(np.float32)


@lru_cache(maxsize=20)  # every comparison of a table asks for them
def _counts(count: int, draws: int) -> NDArray[Any]:
    """Draw so many groups with replacement: how often each is drawn (count, draws)."""
    rng = np.random.default_rng(seeding.derive("intervals", count))
    drawn = rng.multinomial(count, np.full(count, 1 / count), draws).T
    return np.ascontiguousarray(drawn, np.min_scalar_type(drawn.max()))


def n_groups(groups: Groups) -> int:
    """Return how many groups there are."""
    return int((np.bincount(groups) > 0).sum())


def dense(groups: NDArray[np.generic]) -> Groups:
    """Number groups 0, 1, ... in their sorted order."""
    return cast(Groups, np.unique(groups, return_inverse=True)[1])


def joined_groups(*groupings: Sequence[str]) -> Groups:
    """Number the groups (images,) of images that share a group in any grouping, directly or by others; "" is no group.

    Every image takes the smallest number in its groups, until nothing changes.
    """
    numbers, codes = np.arange(len(groupings[0])), []
    for grouping in groupings:
        names, of_images = np.unique(np.asarray(grouping, str), return_inverse=True)
        codes.append(np.where(names[of_images] == "", len(names) + numbers, of_images))
    while True:
        before = numbers
        for of_images in codes:
            smallest = np.full(of_images.max() + 1, len(numbers))
            np.minimum.at(smallest, of_images, numbers)
            numbers = smallest[of_images]
        if (numbers == before).all():
            return dense(numbers)


@dataclass(frozen=True)
class _Mean:
    """A mean over images and its clustered spread.

    Its variance is the delete-one-group jackknife's (CR3). A large group pulls the mean towards itself, so that its
    images deviate too little from it; a plain sum of squares is too small. For equal groups the two are the same.

    Attributes:
        error: standard error.
        skew: skewness of the groups' sums over sqrt(groups).
        count: groups.
        freedom: degrees of freedom that the groups leave (`_freedom`).
        carriers: the same for the groups that carry the variance: (sum of squares)^2 / sum of 4th powers - 1, at most
            `freedom`.

    Source: Bell & McCaffrey 2002, Survey Methodology 28(2), 169-181.
    """

    value: float
    error: float
    skew: float
    count: int
    freedom: float
    carriers: float

    @classmethod
    def of(cls, values: Values, groups: Groups) -> Self:
        mean, n_images = float(values.mean()), len(values)
        deviations, sizes = values - mean, np.bincount(groups)
        sums, count = np.asarray(np.bincount(groups, deviations), np.float64), int((sizes > 0).sum())
        squares = float((sums**2).sum())
        if count < 2 or squares <= n_images * 1e-24:
            return cls(mean, 0.0, 0.0, count, max(count - 1.0, 1.0), 1.0)
        freedom = _freedom(sizes[sizes > 0], _correlation(sums, sizes, float((deviations**2).sum())))
        apart = sums * _left_out(sizes)
        squares = float((apart**2).sum())
        error = np.sqrt(squares * count / (count - 1)) / n_images
        skewness = float((apart**3).sum()) / count / (squares / count) ** 1.5
        carriers = max(squares**2 / float((apart**4).sum()) - 1, MIN_CARRIERS)
        return cls(mean, float(error), skewness / np.sqrt(count), count, freedom, min(carriers, freedom))

    def with_runs(self, of_runs: Values) -> Self:
        """Add the error of runs (runs,) to that of images; it adds no skewness."""
        error, freedom = _with_runs(self.error, self.carriers, of_runs)
        return replace(self, error=error, skew=self.skew * (self.error / error) ** 3, carriers=freedom)

    def transformed(self, t: float) -> float:
        """Hall's cubic, which rises everywhere: t of a skewed mean -> nearly Student's t."""
        k = self.skew
        return t + k * (t**2 / 3 + 1 / 6) + k**2 * t**3 / 27

    def careful_interval(self, level: float) -> tuple[float, float]:
        """The wider end, on either side, of the plain interval and Hall's, on the carriers' degrees of freedom."""
        quantile = _quantile(self.carriers, level)
        ends = [quantile, self._inverse(quantile)], [-quantile, self._inverse(-quantile)]
        return self.value - max(ends[0]) * self.error, self.value - min(ends[1]) * self.error

    def interval(self) -> tuple[float, float]:
        """Hall's interval; where groups are unequal, on either side the wider of it and the logarithm's, if above 0."""
        quantile = _quantile(self.freedom)
        low, high = (self.value - self._inverse(end) * self.error for end in (quantile, -quantile))
        if self.freedom == self.count - 1 or self.value <= 0:
            return low, high
        factor = float(np.exp(min(quantile * self.error / self.value, 100)))  # 100: far above any loss
        return min(low, self.value / factor), max(high, self.value * factor)

    def _inverse(self, t: float) -> float:
        k = self.skew
        return t if abs(k) < 1e-9 else float(3 * (np.cbrt(1 + k * (t - k / 6)) - 1) / k)


def _left_out(sizes: NDArray[np.int64]) -> Values:
    """Return how many times further from the mean each group (groups,) is if it is left out, over that of equal groups.

    A group with a share h of the images is 1 / (1 - h) times as far.
    """
    n_images, count = sizes.sum(), (sizes > 0).sum()
    return np.asarray((n_images - n_images / count) / (n_images - sizes), np.float64)


def _correlation(sums: Values, sizes: NDArray[np.int64], squares: float) -> float:
    """Return the correlation of two images of a group, from 0 to 1.

    Args:
        sums: (groups,) of deviations from the mean.
        sizes: (groups,) images.
        squares: sum of squared deviations of all images.
    """
    pairs = int((sizes * (sizes - 1)).sum())
    if pairs == 0:
        return 0.0
    covariance = (float((sums**2).sum()) - squares) / pairs
    return float(np.clip(covariance * sizes.sum() / squares, 0, 1))


def _freedom(sizes: NDArray[np.int64], correlation: float) -> float:
    """Return the degrees of freedom of a jackknife variance of groups of these sizes (groups,).

    They are those of a chi-squared variable with the same mean and variance as the jackknife variance (Satterthwaite),
    where two images of a group have this correlation. Equal groups leave groups - 1. 20 groups of log-normal size
    (sigma 1) leave about 4 where their images stand and fall together.

    Sources: Bell & McCaffrey 2002, Survey Methodology 28(2), 169-181; Imbens & Kolesar 2016, Review of Economics and
    Statistics 98(4), 701-712.
    """
    if sizes.min() == sizes.max():
        return float(max(len(sizes) - 1, 1))
    share, variance = sizes / sizes.sum(), sizes * (1 + correlation * (sizes - 1.0))
    # The jackknife variance is proportional to u'Au. u: the groups' sums, which have these variances. A, off its
    # diagonal: total - pulled[i] - pulled[j].
    pulled = share / (1 - share) ** 2
    total = float((share * pulled).sum())
    diagonal = 1 / (1 - share) ** 2 - 2 * pulled + total
    of_all, of_pulled = float(variance.sum()), float((pulled * variance).sum())
    squares = 2 * float((pulled**2 * variance).sum()) * of_all + 2 * of_pulled**2
    squares += total * of_all * (total * of_all - 4 * of_pulled)
    squares += float(((diagonal**2 - (total - 2 * pulled) ** 2) * variance**2).sum())
    return float(np.clip(float((diagonal * variance).sum()) ** 2 / squares, 1, len(sizes) - 1))


def _with_runs(error: float, freedom: float, of_runs: Values) -> tuple[float, float]:
    """Add the standard error of a mean over runs (runs,) to an error; return both errors' degrees of freedom, too.

    Source: Welch 1947, Biometrika 34.
    """
    added = float(of_runs.var(ddof=1)) / len(of_runs) if len(of_runs) > 1 else 0.0
    if added == 0:
        return error, freedom
    variance = error**2 + added
    return float(np.sqrt(variance)), variance**2 / (error**4 / freedom + added**2 / (len(of_runs) - 1))


def _tail(t: float, freedom: float) -> float:
    """Return the chance that Student's t is above `t` (scipy.stats does the same, a hundred times slower)."""
    return float(special.stdtr(freedom, -t))


def _quantile(freedom: float, level: float = LEVEL) -> float:
    return float(special.stdtrit(freedom, (1 + level) / 2))


def _without_spread(difference: float, count: int, level: float = LEVEL) -> Evidence:
    """Nothing differs, or all of `count` groups differ alike: then the sign test, in which each is a toss of a coin."""
    if difference == 0:
        return NOTHING
    chance = 0.5**count
    half = abs(difference) * (min(_unseen(count), 1.0) if 2 * chance < 1 - level else 1.0)
    p_better, p_worse = (chance, 1.0) if difference > 0 else (1.0, chance)
    return Evidence(difference, difference - half, difference + half, p_better, p_worse)


def _unseen(count: int) -> float:
    """Return how large a share may be that none of `count` groups shows (Hanley & Lippman-Hand 1983, JAMA 249)."""
    return 3 / count


def _spread(drawn: Values, rounding: float) -> float:
    """Return the standard deviation of a bootstrap's scores (draws,); 0 where all of it is rounding."""
    there = drawn[np.isfinite(drawn)]
    return float(there.std(ddof=1)) if len(there) > 1 and np.ptp(there) > rounding else 0.0


def _rounding(scored: Values) -> float:
    """Return what sums in another order move scores of this size, many times over."""
    return ROUNDING * float(np.abs(scored[np.isfinite(scored)]).max(initial=0))


def _hits(targets: Targets, probs: Probs) -> Values:
    return np.asarray(probs.argmax(axis=1) == targets, np.float64)


def _size_of_hits(hits: NDArray[np.bool_], groups: Groups) -> float:
    """Return the number of independent images that would tell as much of an accuracy.

    With no errors it is the number of groups; with few, between that and what their clustering says.
    """
    share, count = hits.mean(), n_groups(groups)
    mean = _Mean.of(hits.astype(np.float64), groups)
    if mean.error == 0:
        return float(count)
    size = min(share * (1 - share) / mean.error**2, len(hits))
    rare = hits if share < 0.5 else ~hits
    n_rare = n_groups(groups[rare])
    return float((n_rare + DOUBT) / (n_rare / size + DOUBT / count))


def _mean_of_classes(
    metric: scores.Metric, targets: Targets, probs: Probs, groups: Groups, quantile: float
) -> tuple[float, float]:
    """Return the interval of a mean over classes: from Wilson's of each class, as if classes were independent.

    Source: Zou & Donner 2008, Statistics in Medicine 27(10), 1693-1702 (MOVER).
    """
    hits, found = probs.argmax(axis=1) == targets, []
    for index in np.unique(targets):
        positive = targets == index
        if metric.judges_labels:
            share, size = hits[positive].mean(), _size_of_hits(hits[positive], groups[positive])
        elif probs.shape[1] == 2 and index == 0:
            continue  # two classes have the curve of the second
        else:
            against = np.column_stack([-probs[:, index], probs[:, index]])
            share = metric.weighted(positive.astype(np.int64), against, np.ones((len(targets), 1)))[0]
            assert metric.images_of_area is not None  # as every mean of curves has it
            size = metric.images_of_area(share, n_groups(groups[positive]), n_groups(groups[~positive]))
        found.append((share, *proportions.wilson(share, size, quantile)))
    shares, lows, highs = np.array(found, np.float64).T
    mean, below, above = shares.mean(), np.linalg.norm(shares - lows), np.linalg.norm(highs - shares)
    return float(mean - below / len(shares)), float(mean + above / len(shares))


def _groups_of_classes(targets: Targets, groups: Groups) -> NDArray[np.int64]:
    return np.array([n_groups(groups[targets == index]) for index in np.unique(targets)])


def _size_of_draws(share: float, drawn: Values, targets: Targets, groups: Groups) -> float:
    """Return the number of independent images that would give a score its bootstrap's variance.

    A score without variance is that of a class average on one image a group and class.
    """
    error = _spread(drawn, _rounding(drawn))
    if error > 0 and 0 < share < 1:
        return float(np.clip(share * (1 - share) / error**2, 1, len(targets)))
    per_class = _groups_of_classes(targets, groups)
    return float(min(len(per_class) ** 2 / (1 / per_class).sum(), n_groups(groups)))
