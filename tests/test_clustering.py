import numpy as np
import pytest

from stages.lib.clustering import star_clusters


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
