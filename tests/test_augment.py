from typing import Any

import numpy as np
import pytest
import torch

from podium.core.errors import InputError
from podium.training import augment

SPEC: list[dict[str, Any]] = [
    {"RandomResizedCrop": {"size": ["image_size", "image_size"], "scale": [0.5, 1.0]}},
    {"HorizontalFlip": None},
    {"OneOf": {"transforms": [{"GaussNoise": {}}, {"ColorJitter": {"p": 1.0}}], "p": 0.9}},
    {"RandAugment": {"n": 1, "m": 5}},
    {
        "SomeOf": {
            "transforms": [{"Affine": {"rotate": [-30, 30]}}, {"CoarseDropout": {}}, {"TrivialAugment": {}}],
            "n": 2,
        }
    },
]
IMAGE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def test_the_seed_alone_decides() -> None:
    first, second = augment.build(SPEC, 24, "k"), augment.build(SPEC, 24, "k")
    forward = [augment.apply(first, IMAGE, seed) for seed in range(6)]
    backward = [augment.apply(second, IMAGE, seed) for seed in reversed(range(6))][::-1]
    for a, b in zip(forward, backward, strict=True):
        np.testing.assert_array_equal(a, b)
    assert len({image.tobytes() for image in forward}) == 6


@pytest.mark.parametrize("op", [{"RandAugment": {"n": 2, "m": 9}}, {"TrivialAugment": None}], ids=str)
def test_ops_of_torchvision_leave_the_global_random_stream_alone(op: dict[str, Any]) -> None:
    pipeline = augment.build([op], 24, "k")
    before = torch.get_rng_state()
    found = [augment.apply(pipeline, IMAGE, seed) for seed in range(10)]
    assert torch.equal(torch.get_rng_state(), before)
    assert {image.shape for image in found} == {IMAGE.shape}
    assert len({image.tobytes() for image in found}) > 5  # an op may be the identity


def test_image_size_stands_for_the_members_size() -> None:
    assert augment.apply(augment.build(SPEC, 24, "k"), IMAGE, 0).shape == (24, 24, 3)


def test_no_augmentation_changes_nothing() -> None:
    np.testing.assert_array_equal(augment.apply(augment.build([], 24, "k"), IMAGE, 3), IMAGE)


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ({"HorizontalFlop": None}, "k.0.HorizontalFlop: albumentations"),
        ({"HorizontalFlip": {"prob": 1}}, "k.0.HorizontalFlip"),
        ({"HorizontalFlip": {"p": 3}}, "k.0.HorizontalFlip"),
        ({"Compose": {}}, "k.0.Compose"),
        ({"RandAugment": {"m": 31}}, "k.0.RandAugment"),
        ({"TrivialAugment": {"m": 9}}, "k.0.TrivialAugment"),
        ({"OneOf": {"p": 1}}, "needs a list `transforms`"),
        ({"OneOf": {"transforms": [{"Nope": {}}]}}, "k.0.OneOf.0.Nope"),
        ({"HorizontalFlip": {}, "VerticalFlip": {}}, "an albumentations class"),
        ({"HorizontalFlip": [1]}, "must be a map"),
        ({"HorizontalFlip": []}, "must be a map"),
        ("HorizontalFlip", "an albumentations class"),
    ],
)
def test_a_wrong_op_is_named(item: Any, words: str) -> None:
    with pytest.raises(InputError) as raised:
        augment.build([item], 24, "k")
    assert words in str(raised.value)


@pytest.mark.parametrize(
    "op", [{"Affine": {"rotate": [5, 9], "p": 1}}, {"ElasticTransform": {"p": 1}}, {"Perspective": {}}]
)
@pytest.mark.parametrize("shape", [(2, 40_000), (33_000, 1)])
def test_an_image_that_opencv_takes_for_too_wide_is_augmented(op: Any, shape: tuple[int, int]) -> None:
    """OpenCV's affine ops and remap refuse sides of 32,767 pixels and more."""
    pipeline = augment.build([op], 24, "k")
    image = np.full((*shape, 3), 77, np.uint8)
    assert augment.apply(pipeline, image, 0).dtype == np.uint8
