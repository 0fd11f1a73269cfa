"""How sure a difference between two predictions of the same images is: an interval and a p-value, by clusters.

The interval is a paired bootstrap of whole clusters (groups, duplicates): both predictions are scored on the same
drawn images. The p-value is of the paired randomization test, right for any metric and any number of images: if
neither is better, their answers on a cluster may as well be swapped. For accuracy without clusters it is McNemar's
exact test but for the error of drawing. Seeds are fixed: the same inputs give the same numbers.

Sources: Davison & Hinkley 1997, Bootstrap Methods and their Application, 3.8; Noreen 1989, Computer-Intensive Methods
for Testing Hypotheses; Agresti & Min 2005, Statistics in Medicine 24 (one more discordant pair).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from podium.core import seeding
from podium.scoring.scores import ROUNDING, Metric, Probs, Targets, alike

REPLICATES = 1000
CHUNK = 100  # replicates at a time: (images, CHUNK) weights of 100,000 images take 40 MB
Z = 1.959964  # of 95%
Clusters = NDArray[np.int64]


@dataclass(frozen=True)
class Difference:
    """Of the second prediction's value from the first's, in the metric's own unit and direction.

    Attributes:
        low, high: of the 95% interval.
        p_value: two-sided.
    """

    value: float
    low: float
    high: float
    p_value: float

    @property
    def supported(self) -> bool:
        """Say whether both the interval and the test speak of a difference, at 5%."""
        return self.p_value < 0.05 and not self.low <= 0 <= self.high


NOTHING = Difference(0.0, 0.0, 0.0, 1.0)  # of predictions that are the same but for rounding


def clusters(*groupings: Sequence[str]) -> Clusters:
    """Number the clusters (images,) of images that share a group in any grouping; "" shares nothing."""
    n_images = len(groupings[0])
    rows, columns, n_nodes = [], [], n_images
    for grouping in groupings:
        names, codes = np.unique(np.asarray(grouping, str), return_inverse=True)
        named = np.flatnonzero(names[codes] != "")
        rows.append(named)
        columns.append(n_nodes + codes[named])
        n_nodes += len(names)
    edges = (np.concatenate(rows), np.concatenate(columns))
    joined = coo_array((np.ones(len(edges[0]), np.int8), edges), shape=(n_nodes, n_nodes))
    _, numbers = connected_components(joined, directed=False)
    return np.asarray(np.unique(numbers[:n_images], return_inverse=True)[1], np.int64)


def paired(
    metric: Metric,
    targets: Targets,
    first: Probs,
    second: Probs,
    cluster: Clusters,
    *,
    replicates: int = REPLICATES,
) -> Difference:
    """Compare two predictions of the same images.

    Args:
        metric: what they are compared in.
        targets: (images,) class indices.
        first: (images, classes).
        second: (images, classes).
        cluster: (images,) numbers from 0.
        replicates: of the bootstrap and of the test.

    Raises:
        ValueError: the metric is not defined on these images, and the predictions are not alike.
    """
    if alike(first, second):
        return NOTHING
    value = metric.function(targets, second) - metric.function(targets, first)
    drawn = np.concatenate(
        [
            metric.weighted(targets, second, weights) - metric.weighted(targets, first, weights)
            for weights in _drawn(cluster, replicates)
        ]
    )
    both, twice = np.concatenate([first, second]), np.concatenate([targets, targets])
    swapped = np.concatenate([_swapped(metric, twice, both, half) for half in _halves(cluster, replicates)])
    # a score may be at its end for all replicates
    return _difference(value, drawn, swapped, cluster, bounded=metric.greater_is_better)


def paired_mean(
    differences: NDArray[np.float64], cluster: Clusters, *, of_hits: bool, replicates: int = REPLICATES
) -> Difference:
    """Compare two predictions by what each image brings to a mean; where they differ, with the numbers of `paired`.

    Args:
        differences: (images,) second minus first; may be averages over several trainings.
        cluster: (images,) numbers from 0.
        of_hits: images are right or wrong, and may all agree.
        replicates: of the bootstrap and of the test.
    """
    if not of_hits and float(np.abs(differences).max()) <= ROUNDING:
        return NOTHING
    value = float(differences.mean())
    weightings = _drawn(cluster, replicates)
    drawn = np.concatenate([differences @ weights / weights.sum(0, dtype=np.float64) for weights in weightings])
    swapped = np.concatenate([differences @ (1 - 2 * half) for half in _halves(cluster, replicates)]) / len(differences)
    return _difference(value, drawn, swapped, cluster, bounded=of_hits)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values of tests made side by side, so that 5% is the chance of a single false one among them.

    Source: Holm 1979, Scandinavian Journal of Statistics 6.
    """
    adjusted, worst = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(np.argsort(p_values, kind="stable")):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = worst
    return adjusted


def _difference(
    value: float, drawn: NDArray[np.float64], swapped: NDArray[np.float64], cluster: Clusters, *, bounded: bool
) -> Difference:
    """Sum up what the bootstrap drew and what the test swapped, (replicates,) differences each."""
    as_large = int((np.abs(swapped) >= abs(value) - 1e-9).sum())
    low, high = _interval(value, drawn, 1 / (cluster.max() + 1) if bounded else 0.0)
    return Difference(value, low, high, (as_large + 1) / (len(swapped) + 1))


def _interval(value: float, drawn: NDArray[np.float64], one_cluster: float) -> tuple[float, float]:
    """Take what the bootstrap drew (where a curve was defined); but at least one more discordant cluster's error.

    HeldOut that, two predictions with the same labels, or two that rank without an error, would have 0 to 0.
    """
    defined = drawn[np.isfinite(drawn)]
    low, high = np.quantile(defined, [0.025, 0.975])
    margin = Z * float(np.hypot(defined.std(), one_cluster)) if one_cluster else 0.0
    return min(float(low), value - margin), max(float(high), value + margin)


def _swapped(metric: Metric, twice: Targets, both: Probs, half: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the differences (weightings,) where the predictions of images with `half` 1 are swapped.

    Args:
        metric: what they are compared in.
        twice: (2 images,) targets, once for either prediction.
        both: (2 images, classes) the first prediction of all images, then the second.
        half: (images, weightings) of 0 and 1.
    """
    rest = 1 - half
    first, second = np.split(metric.weighted(twice, both, np.block([[rest, half], [half, rest]])), 2)
    return second - first


def _drawn(cluster: Clusters, replicates: int) -> Iterator[NDArray[np.float32]]:
    """Yield how often each image's cluster was drawn: (images, CHUNK or fewer)."""
    n_clusters = int(cluster.max()) + 1
    for chunk, size in _chunks(replicates):
        rng = np.random.default_rng(seeding.derive("bootstrap", chunk))
        places = rng.integers(0, n_clusters, (n_clusters, size)) * size + np.arange(size)
        times = np.bincount(places.ravel(), minlength=n_clusters * size).reshape(n_clusters, size)
        yield times.astype(np.float32)[cluster]


def _halves(cluster: Clusters, replicates: int) -> Iterator[NDArray[np.float32]]:
    """Yield 0 or 1 for each image's cluster: (images, CHUNK or fewer)."""
    for chunk, size in _chunks(replicates):
        rng = np.random.default_rng(seeding.derive("randomization", chunk))
        yield rng.integers(0, 2, (int(cluster.max()) + 1, size)).astype(np.float32)[cluster]


def _chunks(replicates: int) -> Iterator[tuple[int, int]]:
    for chunk, start in enumerate(range(0, replicates, CHUNK)):
        yield chunk, min(CHUNK, replicates - start)
