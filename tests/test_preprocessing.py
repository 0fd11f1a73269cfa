import json

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from podium.models.preprocessing import Preprocessing

HALF = (0.5, 0.5, 0.5)


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    size=st.integers(8, 64),
    resize=st.sampled_from(["squash", "crop", "pad"]),
)
def test_every_image_becomes_a_square_of_the_size(height: int, width: int, size: int, resize: str) -> None:
    image = np.full((height, width, 3), 77, np.uint8)
    fitted = Preprocessing(HALF, HALF, resize).to_size(image, size)
    assert fitted.shape == (size, size, 3)
    assert fitted.dtype == np.uint8
    assert set(np.unique(fitted)) <= {77, 128}  # one colour stays one colour; padding is the mean


def test_each_resize_mode_uses_its_region_of_the_image() -> None:
    image = np.zeros((40, 80, 3), np.uint8)
    image[:, :20] = image[:, 60:] = 255  # the outer quarters
    seen = {r: Preprocessing((0, 0, 0), HALF, r).to_size(image, 40).mean() / 255 for r in ("squash", "crop", "pad")}
    assert seen["squash"] == pytest.approx(0.5, abs=0.03)
    assert seen["crop"] == 0  # the middle alone
    assert seen["pad"] == pytest.approx(0.25, abs=0.03)  # all of it, above and below black


def test_crop_fraction_takes_a_smaller_middle() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    image[25:75, 25:75] = 255
    half = Preprocessing(HALF, HALF, "crop", 0.5).to_size(image, 32)
    whole = Preprocessing(HALF, HALF, "crop", 1.0).to_size(image, 32)
    assert half.min() > 200
    assert whole.mean() == pytest.approx(255 / 4, rel=0.05)


def test_an_image_that_fits_already_is_not_touched() -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    assert Preprocessing(HALF, HALF, "crop", 0.5).to_size(image, 32) is image


def test_normalising_gives_mean_zero_and_std_one() -> None:
    p = Preprocessing((0.2, 0.4, 0.6), (0.1, 0.2, 0.3))
    images = torch.tensor([51, 102, 153], dtype=torch.uint8).view(1, 3, 1, 1)
    assert torch.allclose(p.normalise(images), torch.zeros(1, 3, 1, 1), atol=1e-6)
    assert torch.allclose(p.normalise(images + 51), 0.2 / torch.tensor(p.std).view(1, 3, 1, 1), atol=1e-5)


def test_mean_and_std_are_made_once_and_serve_training_after_a_prediction(monkeypatch: pytest.MonkeyPatch) -> None:
    p, images = Preprocessing((0.21, 0.4, 0.6), (0.1, 0.2, 0.3)), torch.zeros(1, 3, 1, 1, dtype=torch.uint8)
    with torch.inference_mode():
        first = p.normalise(images)
    monkeypatch.setattr(torch, "tensor", None)  # a second copy to the device would call it
    weight = torch.ones(1, requires_grad=True)
    (p.normalise(images) * weight).sum().backward()
    assert weight.grad is not None
    assert weight.grad.item() == pytest.approx(first.sum().item())


def test_it_survives_being_stored_as_json() -> None:
    p = Preprocessing((0.1, 0.2, 0.3), HALF, "crop", 0.875)
    assert Preprocessing.from_dict(json.loads(json.dumps(p.to_dict()))) == p


def test_a_very_narrow_image_is_cut_before_it_is_scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    resize = cv2.resize
    monkeypatch.setattr(cv2, "resize", lambda image, size, **how: seen.append(size) or resize(image, size, **how))
    Preprocessing(HALF, HALF, "crop").to_size(np.zeros((20_000, 2, 3), np.uint8), 224)
    assert seen == [(224, 224)]
