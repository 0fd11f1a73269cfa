"""The variants of docs.measure.ablation are settings that trainings accept, and each is another training."""

import pytest

from docs.measure import variants
from podium.core import params
from podium.models.settings import ModelSettings
from podium.training.phase import OPTIONAL
from podium.training.settings import (
    DistillSettings,
    FinetuneSettings,
    FixresSettings,
    PretrainSettings,
    PseudoSettings,
)
from tests.graph import PROJECT

SETTINGS = {
    "model": ModelSettings,
    "pretrain": PretrainSettings,
    "finetune": FinetuneSettings,
    "fixres": FixresSettings,
    "pseudo": PseudoSettings,
    "distill": DistillSettings,
}
MEMBER = params.read(PROJECT, "recipes/claims/ablation_antbee.yaml")["members"]["vit"]
TRAINED = variants.VARIANTS | variants.LONG


@pytest.mark.parametrize("name", TRAINED)
def test_a_variant_is_accepted_and_changes_the_training(name: str) -> None:
    settings = variants.changed(MEMBER, TRAINED[name], seed=3)
    for section, cls in SETTINGS.items():
        if section in settings:
            params.parse(settings[section], section, cls)
    assert settings["model"]["seed"] == 3
    assert (settings == variants.changed(MEMBER, {}, seed=3)) == (name == variants.BASE)


def test_only_an_optional_phase_that_is_asked_for_runs() -> None:
    assert not set(OPTIONAL) & set(variants.changed(MEMBER, TRAINED["ema"], seed=0))
    assert set(OPTIONAL) & set(variants.changed(MEMBER, TRAINED["pseudo"], seed=0)) == {"pseudo"}


def test_a_share_of_the_image_size_is_predicted_by_the_phase_and_its_baseline() -> None:
    own = MEMBER["model"]["image_size"]
    sizes = {name: variants.predicted_size(MEMBER, name) for name in (*variants.VARIANTS, *variants.TTAS)}
    assert {name for name, size in sizes.items() if size != own} == {"fixres", variants.BASELINES["fixres"]}
    assert sizes["fixres"] == own * 4 / 3 == variants.changed(MEMBER, TRAINED["fixres"], 0)["fixres"]["image_size"]
