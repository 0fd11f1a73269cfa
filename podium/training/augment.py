"""Build albumentations pipelines from [{Op: kwargs}, ...] of params.yaml; a seed determines the result."""

import os
from collections.abc import Sequence
from typing import Any

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # otherwise importing it searches for updates online

import albumentations as A
import numpy as np

from podium.core import pixels
from podium.core.colours import RGB
from podium.core.errors import InputError
from podium.models.preprocessing import Image
from podium.training.auto_augment import RandAugment, TrivialAugment

OWN_OPS = {"TrivialAugment": TrivialAugment, "RandAugment": RandAugment}
NESTED_OPS = {"OneOf", "SomeOf", "Sequential"}
LONGEST_SIDE = 32_766  # pixels: OpenCV's affine ops and remap count in 16 bits
TRIED = 20  # draws: an op that takes RGB alone may not be drawn at once
IMAGE_SIZE = "image_size"  # in an op's arguments, this word is replaced by the training size


def build(spec: Sequence[dict[str, Any]], image_size: int, key: str, channels: int = RGB) -> A.Compose:
    """Build the pipeline of a phase's `augmentation` list.

    Args:
        spec: maps with one key, an albumentations class, TrivialAugment or RandAugment, and its arguments (null for
            none); OneOf, SomeOf and Sequential have such a list under `transforms`.
        image_size: in pixels; replaces the word image_size in arguments.
        key: the dotted key in params.yaml, for errors.
        channels: of the images.

    Raises:
        InputError: an op is unknown or not for images, or its arguments are wrong or unknown.
    """
    pipeline = A.Compose([_op(item, image_size, f"{key}.{i}") for i, item in enumerate(spec)], seed=0)
    _try_out(pipeline, image_size, key, channels)
    return pipeline


def apply(pipeline: A.Compose, image: Image, seed: int) -> Image:
    """Augment one image (height, width, channels); the same seed gives the same result in any process."""
    pipeline.set_random_seed(seed)
    image = _within(image, LONGEST_SIDE)
    return np.ascontiguousarray(pipeline(image=image)["image"])


def _within(image: Image, longest: int) -> Image:
    """Shrink an image whose longer side has more pixels than `longest`, e.g. a panorama of 40,000 x 300."""
    sides = image.shape[:2]
    if max(sides) <= longest:
        return image
    height, width = (max(1, round(side * longest / max(sides))) for side in sides)
    return pixels.resized(image, height, width, shrinks=True)


def _try_out(pipeline: A.Compose, image_size: int, key: str, channels: int) -> None:
    """Refuse a pipeline that does not return bytes of these channels, e.g. Normalize; the training normalises."""
    side = max(2 * image_size, 256)
    grey = np.full((side, side, channels), 128, np.uint8)
    try:
        for seed in range(1 if channels == RGB else TRIED):
            augmented = apply(pipeline, grey, seed)
    except Exception as error:  # albumentations and OpenCV raise many classes of errors for wrong arguments
        what = f"{side} x {side} pixels" + (f" and {channels} channels" if channels != RGB else "")
        raise InputError(f"params.yaml: {key}: fails on an image of {what}: {error}") from None
    if augmented.dtype != np.uint8 or augmented.ndim != 3 or augmented.shape[2] != channels:
        raise InputError(
            f"params.yaml: {key}: turns bytes of {channels} channels into {augmented.dtype} {augmented.shape}; remove"
            " the op that changes the type or the channels (mean and std are applied afterwards)"
        )


def _op(item: Any, image_size: int, key: str) -> A.BasicTransform | A.BaseCompose:
    if not isinstance(item, dict) or len(item) != 1:
        raise InputError(f"params.yaml: {key}: must be a map with one key, an albumentations class, is {item!r}")
    ((name, kwargs),) = item.items()
    key = f"{key}.{name}"
    kwargs = _resolved({} if kwargs is None else kwargs, image_size)
    if not isinstance(kwargs, dict):
        raise InputError(f"params.yaml: {key}: its arguments must be a map, are {kwargs!r}")
    if name in NESTED_OPS:
        nested = kwargs.pop("transforms", None)
        if not isinstance(nested, list) or not nested:
            raise InputError(f"params.yaml: {key}: needs a list `transforms` of ops")
        kwargs["transforms"] = [_op(inner, image_size, f"{key}.{i}") for i, inner in enumerate(nested)]
    return _construct(_image_class(name, key), kwargs, key)


def _image_class(name: str, key: str) -> Any:
    cls = OWN_OPS.get(str(name)) or getattr(A, str(name), None)
    if name in NESTED_OPS:
        return cls
    if not isinstance(cls, type) or not issubclass(cls, (A.ImageOnlyTransform, A.DualTransform)):
        raise InputError(f"params.yaml: {key}: albumentations {A.__version__} has no image transform of this name")
    return cls


def _construct(cls: Any, kwargs: dict[str, Any], key: str) -> Any:
    """Construct an op; unknown arguments are errors here, while albumentations only warns and ignores them."""
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return cls(**kwargs)
    except Exception as error:  # each op checks its arguments in its own way
        raise InputError(f"params.yaml: {key}: {error}") from None


def _resolved(value: Any, image_size: int) -> Any:
    if value == IMAGE_SIZE:
        return image_size
    if isinstance(value, dict):
        return {k: _resolved(v, image_size) if k != "transforms" else v for k, v in value.items()}
    if isinstance(value, list):
        return [_resolved(v, image_size) for v in value]
    return value
