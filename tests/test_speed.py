"""tools/speed.py: how many passes a blend needs, and how fast networks are."""

import pandas as pd
import torch

from podium import contracts
from podium.inference.settings import MemberSettings
from podium.models.settings import ModelSettings
from tests import tiny
from tools import speed


def members(*rows: tuple[str, float, str, str, str]) -> pd.DataFrame:
    named = [dict(zip(("member", "weight", "image_sizes", "transforms", "phases"), row, strict=True)) for row in rows]
    return pd.DataFrame(named, columns=list(contracts.MEMBERS.columns))


def test_every_fold_size_transform_and_phase_is_a_pass_and_folds_share_frozen_backbones() -> None:
    table = members(
        ("a", 0.5, "32 40", "hflip identity", "finetune probe"),
        ("b", 0.2, "32", "identity", "pseudo"),
        ("none", 0.0, "32", "identity", "finetune"),
        ("theirs", 0.2, "0", "identity", "elsewhere"),
        ("joint_probe", 0.1, "0", "identity", "joint_probe"),
    )
    settings = {name: MemberSettings.model_validate(tiny.member()) for name in ("a", "b")}
    found = speed.passes(table, settings, n_folds=3)
    assert found == {("a", 32): 2 * 3 + 2 + 2, ("a", 40): 2 * 3 + 2, ("b", 32): 3 + 2}


def test_a_larger_image_takes_longer() -> None:
    model = ModelSettings.model_validate(tiny.member()["model"])
    small, large = (speed.seconds_per_image(model, size, torch.device("cpu")) for size in (32, 256))
    assert 0 < small < large


def test_a_student_is_one_pass() -> None:
    values = {
        "members": {"a": tiny.member(), "b": tiny.member()},
        "distill": {"b": {}},
        "folds": [0, 1],
        "torch": {"threads": 1, "device": "cpu"},
    }
    found = speed.images_per_second(members(("a", 1.0, "32", "identity", "finetune")), values)
    assert found.keys() == {"blend", "b"}
    assert found["blend"] < found["b"]
