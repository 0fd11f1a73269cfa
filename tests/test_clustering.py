import numpy as np
import pytest

from podium.analysis.clustering import star_clusters, supported


def test_a_chain_does_not_grow() -> None:
    names = ["e", "b", "c", "d", "a", "f", "alone"]
    chain = [(k, k + 1) for k in range(5)]  # e-b-c-d-a-f
    assert star_clusters(names, np.array(chain)).tolist() == [1, 1, 1, 4, 4, 4, 6]


@pytest.mark.parametrize("seed", range(5))
def test_stars_cover_every_pair_and_members_are_paired_with_their_centre(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pairs = np.unique(np.sort(rng.integers(0, 60, (80, 2)), axis=1), axis=0)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    names = [f"{k:02}" for k in rng.permutation(60)]
    centres = star_clusters(names, pairs)
    known = {tuple(pair) for pair in pairs.tolist()}
    for node, centre in enumerate(centres.tolist()):
        assert centre == node or (min(node, centre), max(node, centre)) in known
        assert centres[centre] == centre
    alone = {node for node in range(60) if (centres == node).sum() == 1}
    assert not any(a in alone and b in alone for a, b in known), "a pair of free nodes would have made a star"


def test_a_doubtful_pair_needs_a_third_node_paired_with_both() -> None:
    pairs, none = np.array([(0, 1), (1, 2), (2, 3)]), np.empty((0, 2), np.int64)
    assert supported(np.array([(0, 2), (0, 3), (1, 3), (4, 5)]), pairs).tolist() == [[0, 2], [1, 3]]
    assert supported(none, pairs).tolist() == supported(np.array([(0, 2)]), none).tolist() == []
