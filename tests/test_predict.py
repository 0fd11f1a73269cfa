from typing import get_args

import numpy as np
import torch

from podium.models import predict
from podium.models.settings import TtaTransform


def test_the_tta_transforms_are_all_flips_and_rotations_of_a_square() -> None:
    assert tuple(predict.TTA) == get_args(TtaTransform)
    square = np.arange(9).reshape(3, 3)
    seen = {name: tta(torch.from_numpy(square)[None, None])[0, 0].numpy() for name, tta in predict.TTA.items()}
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
