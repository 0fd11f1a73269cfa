import numpy as np
import pytest
from scipy import stats

from podium.scoring import proportions


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (3, 10), (10, 10), (999, 1000)])
def test_wilson_is_scipys(hits: int, n: int) -> None:
    expected = stats.binomtest(hits, n).proportion_ci(0.95, method="wilson")
    assert proportions.wilson(hits / n, n) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_nothing_is_known_of_no_images() -> None:
    low, high = proportions.wilson(np.array([np.nan, 0.5]), np.array([0, 4]))
    assert (low[0], high[0]) == (0, 1)
    assert 0 < low[1] < 0.5 < high[1] < 1


def test_a_cluster_counts_once() -> None:
    assert proportions.effective_count(np.arange(7)) == 7
    assert proportions.effective_count(np.repeat(np.arange(7), 3)) == pytest.approx(7)
    assert 2 < proportions.effective_count(np.array([0, 0, 0, 1, 2])) < 3
    assert proportions.effective_count(np.array([], int)) == 0
