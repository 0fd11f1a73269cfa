import numpy as np
import pytest

from podium.analysis import lsh


def flipped(hashes: np.ndarray, bits: int, rng: np.random.Generator) -> np.ndarray:
    """Flip a number of bits of each hash, different ones in each; bit 0 never varies."""
    chosen = np.stack([rng.choice(np.arange(1, 64), bits, replace=False) for _ in hashes]).astype(np.uint64)
    return hashes ^ np.bitwise_or.reduce(np.uint64(1) << chosen, axis=1, initial=0)


def found(queries: np.ndarray, hashes: np.ndarray, distance: int) -> list[tuple[int, int]]:
    return [tuple(row) for block in lsh.near(queries, hashes, distance) for row in block.tolist()]


def random_hashes(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**63, count, dtype=np.uint64) << np.uint64(1)


@pytest.mark.parametrize("bits", [0, 1, 3, 5])
def test_near_hashes_are_found_once_and_no_others(bits: int) -> None:
    hashes = random_hashes(400)
    queries = flipped(hashes, bits, np.random.default_rng(1))
    assert sorted(found(queries, hashes, 5)) == [(k, k) for k in range(400)]


@pytest.mark.parametrize(("bits", "chance"), [(8, 0.957), (10, 0.77)])
def test_farther_hashes_are_found_with_the_documented_probability(bits: int, chance: float) -> None:
    hashes = random_hashes(3000)
    queries = flipped(hashes, bits, np.random.default_rng(1))
    assert len(found(queries, hashes, bits)) / 3000 == pytest.approx(chance, abs=0.04)


def test_the_distance_is_a_limit() -> None:
    hashes = random_hashes(300)
    queries = flipped(hashes, 4, np.random.default_rng(1))
    assert found(queries, hashes, 3) == []
    assert len(found(queries, hashes, 4)) == 300


def test_a_pair_depends_on_no_other_image(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = random_hashes(300)
    queries = flipped(hashes, 9, np.random.default_rng(1))
    alone = [k for k in range(300) if found(queries[k : k + 1], hashes[k : k + 1], 9)]
    assert 0 < len(alone) < 300, "some are missed, or this test says nothing"
    monkeypatch.setattr(lsh, "BLOCK", 7)
    assert sorted(found(queries, hashes, 9)) == [(k, k) for k in alone]


def test_all_equal_hashes_are_found_and_no_hashes_give_no_pairs() -> None:
    same = np.full(30, 12, np.uint64)
    assert sorted(found(same, same, 0)) == [(i, j) for i in range(30) for j in range(30)]
    assert found(same[:0], same, 5) == found(same, same[:0], 5) == []


def test_every_table_compares_bits_that_vary() -> None:
    masks = [int(mask) for mask in lsh.masks()]
    assert len(set(masks)) == lsh.TABLES
    assert {mask.bit_count() for mask in masks} == {lsh.KEY_BITS}
    assert not any(mask & 1 for mask in masks)
