import numpy as np
import pytest

from podium.analysis import fingerprints, hash_variants, thumbnail_similarity
from podium.analysis.hash_variants import SIDE
from tests.photos import cropped, photo


def thumb(image: np.ndarray) -> np.ndarray:
    return fingerprints.thumbnails(np.ascontiguousarray(image))[0]


def test_similarity_is_the_correlation_and_exact_in_any_company() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (9, SIDE, SIDE)).astype(np.uint8)
    together = thumbnail_similarity.similarities(pictures[:-1], pictures[1:])
    alone = [thumbnail_similarity.similarities(pictures[k : k + 1], pictures[k + 1 : k + 2])[0] for k in range(8)]
    assert together.tolist() == alone
    assert together[0] == pytest.approx(np.corrcoef(pictures[0].ravel(), pictures[1].ravel())[0, 1])
    halves = np.zeros((1, SIDE, SIDE), np.uint8)
    halves[:, : SIDE // 2] = 255
    assert thumbnail_similarity.similarities(halves, 255 - halves)[0] == -1
    flat = np.full((1, SIDE, SIDE), 7, np.uint8)
    assert thumbnail_similarity.similarities(flat, pictures[:1])[0] == 0


def test_a_local_difference_is_that_of_the_worst_block() -> None:
    rng = np.random.default_rng(0)
    one = rng.integers(60, 200, (2, SIDE, SIDE)).astype(np.uint8)
    other = one.copy()
    other[1, 8:12, 20:24] = 255 - other[1, 8:12, 20:24]
    differences = thumbnail_similarity.local_differences(one, other)
    assert differences[0] == 0
    z = [(x[1] - x[1].mean()) / x[1].std() for x in (one.astype(float), other.astype(float))]
    assert differences[1] == pytest.approx(np.sqrt(((z[0] - z[1])[8:12, 20:24] ** 2).mean()), abs=0.01)
    assert thumbnail_similarity.similarities(one[1:], other[1:])[0] > 0.95
    assert thumbnail_similarity.local_differences(one[1:], other[1:])[0] == differences[1], "exact in any company"


def test_brightness_and_contrast_are_no_local_difference() -> None:
    one = np.random.default_rng(1).integers(100, 200, (1, SIDE, SIDE)).astype(np.uint8)
    assert thumbnail_similarity.local_differences(one, one // 2)[0] < 0.1


@pytest.mark.parametrize("window", [(0, 0, 0, 0), (4, 4, 4, 4), (0, 0, 4, 0), (4, 0, 4, 0), (1, 6, 3, 2)])
def test_the_window_of_a_crop_is_found(window: tuple[int, int, int, int]) -> None:
    image = photo(5, 320, 480)
    crop = cropped(image, *(cut / hash_variants.UNIT for cut in window))
    target = hash_variants.cut_out(thumb(crop), (0, 0, 0, 0))
    similarity, found = thumbnail_similarity.best_window(thumb(image), target, (2, 2, 2, 2))
    assert similarity > 0.99
    assert max(abs(a - b) for a, b in zip(found, window, strict=True)) <= 1


def test_no_window_of_another_photo_is_like_it() -> None:
    target = hash_variants.cut_out(thumb(photo(6)), (0, 0, 0, 0))
    assert thumbnail_similarity.best_window(thumb(photo(7)), target, (0, 0, 0, 0))[0] < 0.8
