import cv2
import numpy as np
import pytest

from stages.lib import duplicates
from stages.lib.duplicates import SIDE, Prints
from stages.lib.errors import InputError

SETTINGS = {"max_hash_distance": 6, "min_similarity": 0.97}


def photo(seed: int, height: int = 96, width: int = 128) -> np.ndarray:
    """A picture with structure at every scale, as photos have, different for every seed."""
    rng = np.random.default_rng(seed)
    drawn = np.zeros((height, width, 3))
    for side in (3, 6, 12, 24):
        coarse = rng.normal(size=(side, side, 3)).astype(np.float32)
        drawn += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) / np.sqrt(side)
    drawn = (drawn - drawn.min()) / np.ptp(drawn)
    return np.round(drawn * 255).astype(np.uint8)


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(encoded, cv2.IMREAD_COLOR)


def brighter(image: np.ndarray, factor: float) -> np.ndarray:
    return np.clip(image * factor, 0, 255).round().astype(np.uint8)


CHANGES = {
    "jpeg 30": lambda image: jpeg(image, 30),
    "half": lambda image: cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "double": lambda image: cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC),
    "mirrored": lambda image: image[:, ::-1],
    "mirrored, jpeg 50": lambda image: jpeg(np.ascontiguousarray(image[:, ::-1]), 50),
    "darker": lambda image: brighter(image, 0.7),
    "grey": lambda image: np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2),
}


def prints(images: dict[str, np.ndarray]) -> Prints:
    return duplicates.prints(images, sorted(images))


def search(train: dict[str, np.ndarray], test: dict[str, np.ndarray] | None = None) -> duplicates.Found:
    return duplicates.search(prints(train), prints(test or {}), **SETTINGS)


def thumbs_of(*patterns: np.ndarray) -> np.ndarray:
    return np.stack([np.clip(128 + 40 * p / p.std(), 0, 255).round().astype(np.uint8) for p in patterns])


@pytest.mark.parametrize("change", CHANGES)
def test_changed_copies_are_found(change: str) -> None:
    train = {f"{k:02}": photo(k) for k in range(20)}
    train |= {f"{k:02}x": CHANGES[change](train[f"{k:02}"]) for k in range(10)}
    found = search(train)
    assert found.clusters == {name: f"{k:02}" for k in range(10) for name in (f"{k:02}", f"{k:02}x")}
    assert found.exact == []
    assert found.apart == 0


def test_equal_pixels_are_exact_whatever_the_settings() -> None:
    train = {"b": photo(1), "a": photo(1), "c": photo(2), "flat": np.full((50, 50, 3), 9, np.uint8)}
    test = {"z": photo(2), "flat": np.full((50, 50, 3), 9, np.uint8)}
    found = duplicates.search(prints(train), prints(test), max_hash_distance=0, min_similarity=1)
    assert found.clusters == {"a": "a", "b": "a"}
    assert found.leaks == [("flat", "flat", "exact", 1.0), ("z", "c", "exact", 1.0)]
    assert sorted(found.exact) == [
        [("train", "a"), ("train", "b")],
        [("train", "c"), ("test", "z")],
        [("train", "flat"), ("test", "flat")],
    ]


def test_equal_pixels_in_another_shape_are_another_image() -> None:
    image = photo(3, 40, 60)
    assert duplicates.digest(image) != duplicates.digest(image.reshape(60, 40, 3))


def test_images_that_only_share_a_hash_are_not_merged() -> None:
    """Two scenes with one sky (the low frequencies that the hash sees) and other ground."""
    sky = cv2.resize(np.random.default_rng(0).normal(size=(4, 4)), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    thumbs = []
    for seed in (1, 2):
        spectrum = cv2.dct(np.random.default_rng(seed).normal(size=(SIDE, SIDE)))
        spectrum[: duplicates.HASH_SIDE, : duplicates.HASH_SIDE] = 0
        thumbs.append(sky / sky.std() + 0.6 * cv2.idct(spectrum))
    same, other = duplicates.perceptual_hashes(thumbs_of(*thumbs))
    assert int(same ^ other).bit_count() <= SETTINGS["max_hash_distance"]
    train = {name: np.repeat(thumb[..., None], 3, 2) for name, thumb in zip("ab", thumbs_of(*thumbs), strict=True)}
    assert search(train).clusters == {}


def test_near_uniform_images_resemble_nothing() -> None:
    rng = np.random.default_rng(0)
    train = {str(k): (200 + rng.integers(0, 2, (60, 60, 3))).astype(np.uint8) for k in range(8)}
    assert search(train).clusters == {}


def test_a_chain_does_not_grow() -> None:
    names = ["e", "b", "c", "d", "a", "f", "alone"]
    chain = [(k, k + 1) for k in range(5)]  # e-b-c-d-a-f
    centres = duplicates.star_clusters(names, np.array(chain))
    assert centres.tolist() == [1, 1, 1, 4, 4, 4, 6]


@pytest.mark.parametrize("seed", range(5))
def test_stars_cover_every_pair_and_members_are_paired_with_their_centre(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pairs = np.unique(np.sort(rng.integers(0, 60, (80, 2)), axis=1), axis=0)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    names = [f"{k:02}" for k in rng.permutation(60)]
    centres = duplicates.star_clusters(names, pairs)
    known = {tuple(pair) for pair in pairs.tolist()}
    for node, centre in enumerate(centres.tolist()):
        assert centre == node or (min(node, centre), max(node, centre)) in known
        assert centres[centre] == centre
    alone = {node for node in range(60) if (centres == node).sum() == 1}
    assert not any(a in alone and b in alone for a, b in known), "a pair of free nodes would have made a star"


def test_too_many_pairs_are_an_error_that_names_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "MAX_PAIRS", 20)
    with pytest.raises(InputError, match=r"analyze\.min_similarity \(0\.97\)"):
        search({str(k): jpeg(photo(1), 50 + k) for k in range(12)})


def test_a_slowly_changing_series_is_not_one_cluster() -> None:
    first, last = photo(1).astype(float), photo(2).astype(float)
    steps = {f"{k:02}": np.round(first + (last - first) * k / 30).astype(np.uint8) for k in range(31)}
    found = search(steps)
    assert found.apart > 0
    thumbs = {name: duplicates.thumbnail(image)[None] for name, image in steps.items()}
    for cluster in set(found.clusters.values()):
        members = [name for name, c in found.clusters.items() if c == cluster]
        assert members[0] == cluster
        confirmed = [[duplicates.similarities(thumbs[a], thumbs[b])[0] >= 0.97 for b in members] for a in members]
        assert any(all(row) for row in confirmed), "no member resembles all others"


def test_a_test_image_changes_no_cluster_and_links_nothing() -> None:
    first, last = photo(1).astype(float), photo(2).astype(float)
    mix = {share: np.round(first + (last - first) * share).astype(np.uint8) for share in (0.0, 0.1, 0.2, 0.3)}
    train = {"a": mix[0.0], "c": mix[0.3], "d": photo(5), "e": jpeg(photo(5), 60)}
    test = {"a": mix[0.1], "b": mix[0.2], "e": photo(5)}
    assert search(train).clusters == search(train, test).clusters == {"d": "d", "e": "d"}
    leaks = {(a, b): kind for a, b, kind, _ in search(train, test).leaks}
    assert leaks["a", "a"] == "near"
    assert leaks["b", "c"] == "near"
    assert (leaks["e", "d"], leaks["e", "e"]) == ("exact", "near")


@pytest.mark.parametrize("n", [0, 1])
def test_none_and_one_image(n: int) -> None:
    found = search({str(k): photo(k) for k in range(n)})
    assert (found.clusters, found.leaks, found.exact, found.nearest) == ({}, [], [], {})


@pytest.mark.parametrize("distance", [0, 1, 6, 16])
def test_the_banded_search_finds_every_candidate_once(distance: int) -> None:
    rng = np.random.default_rng(distance)
    n = 200
    hashes = rng.integers(0, 2**64, 2 * n, dtype=np.uint64)
    for k in range(0, 2 * n, 3):  # neighbours at every distance, upright and mirrored
        flipped = rng.choice(64, size=rng.integers(0, 20), replace=False)
        hashes[k] = hashes[(k + 7) % (2 * n)] ^ np.bitwise_or.reduce(
            np.uint64(1) << flipped.astype(np.uint64), initial=np.uint64(0)
        )
    blocks = list(duplicates._candidates(hashes, n, distance))
    got = [tuple(pair) for pair in np.concatenate(blocks).tolist()] if blocks else []
    expected = {
        (i, j)
        for i in range(n)
        for j in range(i + 1, 2 * n)
        if j % n != i and int(hashes[i] ^ hashes[j]).bit_count() <= distance
    }
    assert len(got) == len(set(got))
    assert set(got) == expected


def test_similarity_is_the_correlation_and_exact_in_any_company() -> None:
    thumbs = np.random.default_rng(0).integers(0, 256, (9, SIDE, SIDE)).astype(np.uint8)
    together = duplicates.similarities(thumbs[:-1], thumbs[1:])
    alone = [duplicates.similarities(thumbs[k : k + 1], thumbs[k + 1 : k + 2])[0] for k in range(8)]
    assert together.tolist() == alone
    assert together[0] == pytest.approx(np.corrcoef(thumbs[0].ravel(), thumbs[1].ravel())[0, 1])
    halves = np.zeros((1, SIDE, SIDE), np.uint8)
    halves[:, : SIDE // 2] = 255
    assert duplicates.similarities(halves, 255 - halves)[0] == -1
    flat = np.full((1, SIDE, SIDE), 7, np.uint8)
    assert duplicates.similarities(flat, thumbs[:1])[0] == 0


def test_a_mirrored_hash_is_the_hash_with_odd_columns_turned_over() -> None:
    thumbs = np.stack([duplicates.thumbnail(photo(k)) for k in range(5)])
    odd_columns = sum(1 << bit for bit in range(64) if bit % 8 % 2)
    differing = duplicates.perceptual_hashes(thumbs) ^ duplicates.perceptual_hashes(thumbs[:, :, ::-1])
    assert [int(bits) for bits in differing] == [odd_columns] * 5
