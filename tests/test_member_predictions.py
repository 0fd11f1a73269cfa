from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from podium.core import params
from podium.core.errors import InputError
from podium.predictions import member_predictions
from podium.predictions.blend_names import blend_names
from podium.predictions.tta import (
    ELSEWHERE,
    FINETUNE,
    FIXRES,
    JOINT_PROBE,
    PRETRAIN,
    PROBE,
    PSEUDO,
    SOUP,
    Tta,
    average_ttas,
    single_ttas,
)

BOTH = ("hflip", "identity")


def member(pretrain: dict[str, Any] | None = None, finetune: dict[str, Any] | None = None, **infer: Any) -> dict:
    phase = {"epochs": 1, "lr": 0.1}
    return {
        "model": {"backbone": "resnet10t", "weights": "none", "image_size": 32},
        "pretrain": phase | (pretrain or {}),
        "finetune": phase | (finetune or {}),
        "infer": {"image_sizes": [40, 32], "transforms": ["identity", "hflip"]} | infer,
    }


def found(root: Path, **values: Any) -> dict[str, member_predictions.MemberPredictions]:
    settings = {"members": {"a": member()}, "fixres": {}, "pseudo": {}, "external": {}, **values}
    (root / "params.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    return member_predictions.blend_members(params.read(root), root)


def test_members_external_predictions_and_the_joint_probe_are_sorted_together(tmp_path: Path) -> None:
    given = found(tmp_path, members={"z": member(), "a": member()}, external={"b": {}})
    assert list(given) == ["a", "b", "joint_probe", "z"]
    assert list(given) == blend_names(params.read(tmp_path))
    assert given["b"].default.phases == (ELSEWHERE,)
    assert given["b"].alternatives == ()
    joint = given["joint_probe"]
    assert (joint.default, joint.alternatives) == (Tta((0,), ("identity",), (JOINT_PROBE,)), ())
    assert joint.files[JOINT_PROBE] == tmp_path / "data/joint_probe/predictions.parquet"
    assert joint.weighted == set()


def test_one_member_has_no_joint_probe(tmp_path: Path) -> None:
    assert list(found(tmp_path, external={"b": {}})) == ["a", "b"] == blend_names(params.read(tmp_path))


def test_the_default_tta_is_the_training_size_in_all_transforms(tmp_path: Path) -> None:
    source = found(tmp_path)["a"]
    assert source.default == Tta((32,), BOTH)
    assert set(source.alternatives) == {
        Tta((40,), BOTH),
        Tta((32,), ("identity",)),
        Tta((32,), BOTH, (PROBE,)),
        Tta((40,), BOTH, (PROBE,)),
        Tta((32,), BOTH, (PRETRAIN,)),
    }
    folders = {phase: path.parent.name for phase, path in source.files.items()}
    assert folders == {
        FINETUNE: "infer",
        FIXRES: "infer_fixres",
        PRETRAIN: "infer_pretrain",
        PROBE: "probe",
        PSEUDO: "infer_pseudo",
        SOUP: "soup",
    }


@pytest.mark.parametrize("epochs", [{"pretrain": {"epochs": 0}}, {"finetune": {"epochs": 0}}])
def test_phase_1_is_an_alternative_where_both_phases_have_epochs(tmp_path: Path, epochs: dict[str, Any]) -> None:
    source = found(tmp_path, members={"a": member(**epochs)})["a"]
    assert all(PRETRAIN not in tta.phases for tta in source.alternatives)


def test_a_training_size_that_is_not_predicted_leaves_the_first(tmp_path: Path) -> None:
    source = found(tmp_path, members={"a": member(image_sizes=[48, 40])})["a"]
    assert source.default.image_sizes == (48,)


def test_a_third_phase_is_an_alternative(tmp_path: Path) -> None:
    source = found(tmp_path, fixres={"a": {"image_size": 32, "epochs": 1, "lr": 0.1}})["a"]
    assert Tta((32,), BOTH, (FIXRES,)) in source.alternatives
    assert source.files[FIXRES] == tmp_path / "data/infer_fixres/a.parquet"


def test_averages_are_over_sizes_over_phases_and_over_both(tmp_path: Path) -> None:
    source = found(tmp_path)["a"]
    averages = average_ttas(source.default, source.alternatives)
    expected = {
        ((32, 40), (FINETUNE,)),
        ((32, 40), (PROBE,)),
        ((32,), (FINETUNE, PROBE)),
        ((32, 40), (FINETUNE, PROBE)),
        ((32,), (FINETUNE, PRETRAIN)),
    }
    assert {(tta.image_sizes, tta.phases) for tta in averages} == expected
    assert len(averages) == len(expected)
    assert {tta.transforms for tta in averages} == {BOTH}
    assert not set(averages) & {source.default, *source.alternatives}


@pytest.mark.parametrize(("size", "averaged"), [(32, True), (40, True), (48, False)])
def test_the_third_phase_is_averaged_with_the_second_where_both_predict_its_size(
    tmp_path: Path, size: int, averaged: bool
) -> None:
    source = found(tmp_path, fixres={"a": {"image_size": size, "epochs": 1, "lr": 0.1}})["a"]
    averages = average_ttas(source.default, source.alternatives)
    assert [tta for tta in averages if FIXRES in tta.phases] == averaged * [Tta((size,), BOTH, (FINETUNE, FIXRES))]


@pytest.mark.parametrize(
    "harmful",
    [Tta((40,), BOTH), Tta((40,), BOTH, (PROBE,)), Tta((32,), BOTH, (PROBE,)), Tta((32,), BOTH, (PRETRAIN,))],
)
def test_no_average_has_a_part_that_harms(tmp_path: Path, harmful: Tta) -> None:
    source = found(tmp_path)["a"]
    for tta in average_ttas(source.default, source.alternatives, [harmful]):
        assert harmful not in single_ttas(tta)


@pytest.mark.parametrize(
    ("pretrain", "finetune", "weighted"),
    [
        ({}, {}, set()),
        ({}, {"class_weights": "balanced"}, {FINETUNE}),
        ({"class_weights": "balanced"}, {}, {FINETUNE, PRETRAIN}),  # as far as phase 2 does not bring them back
        ({"class_weights": "balanced", "epochs": 0}, {}, set()),
        ({"sampler": "balanced"}, {"loss": "logit_adjusted"}, {FINETUNE, PRETRAIN}),
        ({"class_weights": "balanced"}, {"epochs": 0}, {FINETUNE, PRETRAIN}),  # infer reads pretrain's weights then
    ],
)
def test_the_training_of_a_phase_says_whether_priors_are_put_back(
    tmp_path: Path, pretrain: dict[str, Any], finetune: dict[str, Any], weighted: set[str]
) -> None:
    source = found(tmp_path, members={"a": member(pretrain, finetune)})["a"]
    assert source.weighted == weighted
    targets, folds = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 1, 0, 1, 0, 1])
    shifts = member_predictions.prior_shifts(source, targets, folds, n_classes=2)
    assert shifts.keys() == weighted
    for rows in shifts.values():
        np.testing.assert_allclose(rows, np.log([[1, 2], [2, 1]]), rtol=1e-6)  # counts on the other fold


def test_classes_are_weighed_in_a_third_phase_alone(tmp_path: Path) -> None:
    fixres = {"a": {"image_size": 48, "epochs": 1, "lr": 0.1, "class_weights": "balanced"}}
    assert found(tmp_path, fixres=fixres)["a"].weighted == {FIXRES}


def test_phases_after_one_that_weighs_classes_may_lack_the_priors_too(tmp_path: Path) -> None:
    """A short training of the head and the norms, or with pseudo-labels of a model that lacks them."""
    members = {"a": member(finetune={"class_weights": "balanced"})}
    fixres, pseudo = {"a": {"image_size": 48, "epochs": 1, "lr": 0.1}}, {"a": {"epochs": 1, "lr": 0.1}}
    source = found(tmp_path, members=members, fixres=fixres, pseudo=pseudo)["a"]
    assert source.weighted == {FINETUNE, FIXRES, PSEUDO}


def test_a_wrong_setting_is_named_with_its_section(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"fixres\.a\.image_size"):
        found(tmp_path, fixres={"a": {"epochs": 1, "lr": 0.1}})


def test_pseudo_labels_are_an_alternative_at_every_size(tmp_path: Path) -> None:
    pseudo = {"a": {"epochs": 1, "lr": 0.1, "sampler": "balanced"}}
    source = found(tmp_path, pseudo=pseudo)["a"]
    assert {tta for tta in source.alternatives if PSEUDO in tta.phases} == {
        Tta((32,), BOTH, (PSEUDO,)),
        Tta((40,), BOTH, (PSEUDO,)),
    }
    assert source.weighted == {PSEUDO}
    assert Tta((32, 40), BOTH, (PSEUDO,)) in average_ttas(source.default, source.alternatives)


def test_a_soup_is_an_alternative_at_every_size(tmp_path: Path) -> None:
    members = {"a": member(finetune={"class_weights": "balanced"}), "b": member()}
    source = found(tmp_path, members=members, soup={"a": {"members": ["b"]}})["a"]
    assert {tta for tta in source.alternatives if SOUP in tta.phases} == {
        Tta((size,), BOTH, (SOUP,)) for size in (32, 40)
    }
    assert SOUP in source.weighted
    assert Tta((32, 40), BOTH, (SOUP,)) in average_ttas(source.default, source.alternatives)
