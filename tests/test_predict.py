from typing import get_args

import cv2
import numpy as np
import torch

from podium.models import predict
from podium.models.settings import TtaTransform
from podium.predictions.tta import CROP
from podium.serving.standalone import predict as standalone


def test_the_tta_transforms_are_all_flips_and_rotations_of_a_square() -> None:
    assert tuple(predict.TTA) == get_args(TtaTransform)
    square = np.arange(9).reshape(3, 3)
    images = torch.from_numpy(square)[None, None]
    whole = {name: tta for name, tta in predict.TTA.items() if not name.startswith(CROP)}
    seen = {name: tta(images)[0, 0].numpy() for name, tta in whole.items()}
    expected = {
        "identity": square,
        "hflip": np.fliplr(square),
        "vflip": np.flipud(square),
        **{f"rot{90 * k}": np.rot90(square, k) for k in (1, 2, 3)},
        "transpose": square.T,
        "transverse": np.rot90(square, 2).T,
    }
    assert seen.keys() == expected.keys()
    for name, found in seen.items():
        np.testing.assert_array_equal(found, expected[name])
    assert len({found.tobytes() for found in seen.values()}) == 8


def test_crops_are_windows_of_seven_eighths_enlarged_by_the_cubic_kernel() -> None:
    image = np.random.default_rng(0).normal(size=(32, 32)).astype(np.float32)
    windows = {
        "crop_centre": image[2:30, 2:30],
        "crop_top_left": image[:28, :28],
        "crop_top_right": image[:28, 4:],
        "crop_bottom_left": image[4:, :28],
        "crop_bottom_right": image[4:, 4:],
    }
    assert windows.keys() == {name for name in predict.TTA if name.startswith(CROP)}
    for name, window in windows.items():
        found = predict.TTA[name](torch.from_numpy(image)[None, None])[0, 0].numpy()
        np.testing.assert_allclose(found, cv2.resize(window, (32, 32), interpolation=cv2.INTER_CUBIC), atol=1e-4)


def test_a_bundle_transforms_images_as_infer_does() -> None:
    images = np.random.default_rng(0).normal(size=(2, 3, 36, 36)).astype(np.float32)
    assert standalone.TTA.keys() == predict.TTA.keys()
    for name, tta in predict.TTA.items():
        np.testing.assert_allclose(standalone.TTA[name](images), tta(torch.from_numpy(images)).numpy(), atol=1e-5)
