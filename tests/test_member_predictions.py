from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from podium.core import params
from podium.core.errors import InputError
from podium.predictions import member_predictions
from podium.predictions.tta import ELSEWHERE, FINETUNE, FIXRES, Tta


def member(pretrain: dict[str, Any] | None = None, finetune: dict[str, Any] | None = None, **infer: Any) -> dict:
    phase = {"epochs": 1, "lr": 0.1}
    return {
        "model": {"backbone": "resnet10t", "weights": "none", "image_size": 32},
        "pretrain": phase | (pretrain or {}),
        "finetune": phase | (finetune or {}),
        "infer": {"image_sizes": [40, 32], "transforms": ["identity", "hflip"]} | infer,
    }


def found(root: Path, **values: Any) -> dict[str, member_predictions.MemberPredictions]:
    settings = {"members": {"a": member()}, "fixres": {}, "external": {}, **values}
    (root / "params.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    return member_predictions.blend_members(params.read(root), root)


def test_members_and_predictions_made_elsewhere_are_sorted_together(tmp_path: Path) -> None:
    given = found(tmp_path, members={"c": member(), "a": member()}, external={"b": {}})
    assert list(given) == ["a", "b", "c"]
    assert given["b"].usual.phase == ELSEWHERE
    assert given["b"].others == ()


def test_the_usual_look_is_the_training_size_in_all_views(tmp_path: Path) -> None:
    source = found(tmp_path)["a"]
    assert source.usual == Tta((32,), ("hflip", "identity"))
    assert set(source.others) == {Tta((40,), ("hflip", "identity")), Tta((32,), ("identity",))}


def test_a_training_size_that_is_not_inferred_leaves_the_first(tmp_path: Path) -> None:
    source = found(tmp_path, members={"a": member(image_sizes=[48, 40])})["a"]
    assert source.usual.image_sizes == (48,)


def test_a_third_phase_is_a_look_of_its_own(tmp_path: Path) -> None:
    source = found(tmp_path, fixres={"a": {"image_size": 32, "epochs": 1, "lr": 0.1}})["a"]
    assert Tta((32,), ("hflip", "identity"), FIXRES) in source.others
    assert source.files[FIXRES] == tmp_path / "data/infer_fixres/a.parquet"


@pytest.mark.parametrize(
    ("pretrain", "finetune", "weighted"),
    [
        ({}, {}, set()),
        ({}, {"class_weights": "balanced"}, {FINETUNE}),
        ({"class_weights": "balanced"}, {}, set()),
        ({"class_weights": "balanced"}, {"epochs": 0}, {FINETUNE}),  # infer reads pretrain's weights then
    ],
)
def test_the_last_training_says_whether_priors_are_put_back(
    tmp_path: Path, pretrain: dict[str, Any], finetune: dict[str, Any], weighted: set[str]
) -> None:
    source = found(tmp_path, members={"a": member(pretrain, finetune)})["a"]
    assert source.weighted == weighted
    targets, folds = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 1, 0, 1, 0, 1])
    shifts = member_predictions.shifts(source, targets, folds, n_classes=2)
    assert shifts.keys() == weighted
    for rows in shifts.values():
        np.testing.assert_allclose(rows, np.log([[1, 2], [2, 1]]), rtol=1e-6)  # counts on the other fold


def test_classes_are_weighed_in_a_third_phase_alone(tmp_path: Path) -> None:
    fixres = {"a": {"image_size": 48, "epochs": 1, "lr": 0.1, "class_weights": "balanced"}}
    assert found(tmp_path, fixres=fixres)["a"].weighted == {FIXRES}


def test_a_wrong_setting_is_named_with_its_section(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"fixres\.a\.image_size"):
        found(tmp_path, fixres={"a": {"epochs": 1, "lr": 0.1}})
