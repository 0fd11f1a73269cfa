import numpy as np
import pytest

from podium.analysis import fingerprints, hash_variants
from tests.photos import brighter, cropped, photo


def shot(image: np.ndarray, brightened: int = 0, window: hash_variants.Window = (0, 0, 0, 0)) -> np.ndarray:
    """One variant of one image before it is turned, (side, side)."""
    thumbs = fingerprints.thumbnails(np.ascontiguousarray(image))[None]
    return hash_variants.shot(thumbs, hash_variants.SHOTS.index((brightened, window)))[0]


def distance(one: np.uint64, other: np.uint64) -> int:
    return int(one ^ other).bit_count()


@pytest.mark.parametrize("turn", range(hash_variants.TURNS))
def test_a_turned_hash_is_the_hash_of_the_turned_picture(turn: int) -> None:
    pictures = np.stack([shot(photo(k)) for k in range(5)])
    by_frequencies = hash_variants.hashes(pictures)[turn]
    by_pixels = hash_variants.hashes(hash_variants.turned(pictures, turn), turns=[0])[0]
    assert by_frequencies.tolist() == by_pixels.tolist()
    assert np.array_equal(hash_variants.turned_back(hash_variants.turned(pictures, turn), turn), pictures)


def test_turns_are_the_eight_of_a_square_and_all_differ() -> None:
    picture = shot(photo(1))
    turned = {hash_variants.turned(picture, turn).tobytes(): turn for turn in range(hash_variants.TURNS)}
    assert len(turned) == hash_variants.TURNS
    assert {turned[np.rot90(picture, k).tobytes()] for k in (1, 2, 3)} == set(hash_variants.ROTATED)
    assert {turned[np.rot90(picture[:, ::-1], k).tobytes()] for k in range(4)} == set(hash_variants.MIRRORED)


def test_a_turned_image_has_a_turned_variant() -> None:
    image = photo(2)
    assert np.array_equal(shot(image[:, ::-1]), hash_variants.turned(shot(image), 1))
    assert np.array_equal(shot(np.rot90(image)), hash_variants.turned(shot(image), hash_variants.ROTATED[-1]))


@pytest.mark.parametrize("window", [(2, 2, 2, 2), (4, 4, 4, 4), (4, 0, 0, 0), (0, 4, 0, 4)])
def test_a_cropped_variant_is_the_variant_of_a_cropped_image(window: hash_variants.Window) -> None:
    image = photo(3, 320, 400)
    crop = shot(cropped(image, *(cut / hash_variants.UNIT for cut in window)))
    assert np.abs(shot(image, window=window).astype(int) - crop).max() <= 4
    assert np.abs(shot(image).astype(int) - crop).max() > 12


def test_a_brightened_variant_is_the_variant_of_a_brightened_image() -> None:
    image = photo(4)
    assert np.abs(shot(image, brightened=1).astype(int) - shot(brighter(image, 1.3))).max() <= 1


def test_hashes_of_changed_copies_are_near_and_of_others_far() -> None:
    one, other = photo(1), photo(2)
    hashed = hash_variants.hashes(np.stack([shot(one), shot(brighter(one, 0.7)), shot(other)]), turns=[0])[0]
    assert distance(hashed[0], hashed[1]) <= 2
    assert distance(hashed[0], hashed[2]) > 15
    assert not (hashed & np.uint64(1)).any(), "the mean has no bit"
