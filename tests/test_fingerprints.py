import cv2
import numpy as np
import pytest

from podium.analysis import fingerprints
from tests.photos import photo


def test_equal_pixels_in_another_shape_are_another_image() -> None:
    image = photo(3, 40, 60)
    assert fingerprints.digest(image) == fingerprints.digest(image.copy())
    assert fingerprints.digest(image) != fingerprints.digest(image.reshape(60, 40, 3))


@pytest.mark.parametrize(("size", "cut"), [(100, (0, 0)), (64, (2, 4)), (37, (4, 4)), (5, (0, 8))])
def test_cells_share_out_what_is_not_cut_off(size: int, cut: tuple[int, int]) -> None:
    weights = fingerprints.area_weights(size, 32, cut, 80)
    assert (weights == np.round(weights)).all()
    assert len(set(weights.sum(axis=1))) == 1, "cells are equal"
    inside = weights.sum(axis=0) / (80 * 32)
    assert inside.sum() == pytest.approx(size * (80 - sum(cut)) / 80)
    assert ((inside >= 0) & (inside <= 1)).all()
    assert inside[0] == pytest.approx(max(0, 1 - size * cut[0] / 80)), "the first pixel is cut as far as it should be"


def test_a_thumbnail_is_the_mean_over_cells() -> None:
    image = photo(1, 192, 128)
    plain, brightened = fingerprints.thumbnails(image)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    means = grey.reshape(64, 3, 64, 2).mean(axis=(1, 3))
    assert np.array_equal(plain, np.floor(means + 0.5))
    saturated = np.clip(image * 1.3, 0, 255)
    assert np.abs(brightened - (saturated @ [0.299, 0.587, 0.114]).reshape(64, 3, 64, 2).mean(axis=(1, 3))).max() < 1.5


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (63, 65)])
def test_any_shape_has_a_thumbnail(shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), 77, np.uint8)
    assert (fingerprints.thumbnails(image)[0] == 77).all()


def test_fingerprints_are_the_same_whatever_the_number_of_workers() -> None:
    images = {f"{k:02}": photo(k, 30, 40) for k in range(fingerprints.CHUNK + 3)}
    seen = []
    alone = fingerprints.prints(images, sorted(images), bar=lambda done: (seen.append(1) or one for one in done))
    both = fingerprints.prints(images, sorted(images), workers=2)
    assert len(seen) == len(images)
    assert alone.image_ids == both.image_ids == sorted(images)
    assert alone.digests == both.digests
    assert np.array_equal(alone.thumbs, both.thumbs)


def test_contrast_is_the_standard_deviation() -> None:
    pictures = np.zeros((3, 32, 32), np.uint8)
    pictures[1, :, 16:] = 100
    pictures[2] = np.random.default_rng(0).integers(0, 256, (32, 32))
    contrasts = fingerprints.contrasts(pictures)
    assert contrasts[:2].tolist() == [0, 50]
    assert contrasts[2] == pytest.approx(pictures[2].std())
    assert fingerprints.contrasts(pictures[:0]).shape == (0,)
