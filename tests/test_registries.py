"""Registries of metrics and blending methods: one file an entry, and no fact forgotten."""

import types
from typing import Any

import pytest

from podium.ensembling import method_registry
from podium.ensembling.blending import Method
from podium.ensembling.settings import EnsembleSettings
from podium.scoring import scores
from podium.scoring.metric import Metric

REGISTRIES = [(scores, "podium/scoring/metrics"), (method_registry, "podium/ensembling/methods")]


@pytest.mark.parametrize("kind", [Metric, Method])
def test_a_fact_that_is_forgotten_is_an_error(kind: Any) -> None:
    with pytest.raises(TypeError, match="missing"):
        kind(name="new")


def test_a_metric_whose_facts_contradict_each_other_is_an_error() -> None:
    facts: dict[str, Any] = {"greater_is_better": True, "mean_over": "none", "lowest": 0, "by_log_loss": False}
    with pytest.raises(TypeError, match="one of of_probs"):
        Metric(name="new", **facts)
    with pytest.raises(TypeError, match="images_of_area"):
        Metric(name="new", of_ranks=True, of_probs=lambda *_: None, **facts)  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize(("registry", "folder"), REGISTRIES)
def test_a_file_without_its_entry_is_an_error_that_names_it(
    registry: Any, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry.importlib, "import_module", lambda _: types.ModuleType("empty"))
    with pytest.raises(TypeError, match=rf"{folder}/\w+\.py: define MET"):
        registry._discovered()


def test_the_setting_names_every_method_and_no_other() -> None:
    schema = EnsembleSettings.model_json_schema()["properties"]["method"]
    assert schema["enum"] == ["auto", *method_registry.METHODS]
    assert next(iter(method_registry.METHODS)) == method_registry.BASELINE
