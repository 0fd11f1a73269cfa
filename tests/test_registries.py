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
    facts: dict[str, Any] = {"greater_is_better": True, "mean_over": "none", "lowest": 0}
    facts |= {"chosen_by": "log_loss", "thresholds": "likeliest"}
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


def test_what_decides_and_the_thresholds_fit_each_metric() -> None:
    """Classes of the same weight are a matter of the decision, and a rank needs none."""
    for metric in scores.METRICS.values():
        assert (metric.of_ranks or metric.of_errors is not None) == (metric.chosen_by == "itself")
        assert metric.judges_labels or metric.thresholds == "likeliest"
    facts = {name: (metric.chosen_by, metric.thresholds) for name, metric in scores.METRICS.items()}
    assert facts["balanced_accuracy"] == ("balanced_log_loss", "prior")
    assert facts["macro_f1"] == ("balanced_log_loss", "fitted")
    assert facts["quadratic_kappa"] == ("log_loss", "fitted")
    for name in ("mcc", "kappa"):
        assert facts[name] == ("log_loss", "tested")
    for name in ("accuracy", "micro_f1", "log_loss", "kl_divergence", "map@5", "top_accuracy@1", "pf1"):
        assert facts[name] == ("log_loss", "likeliest")


def test_the_setting_names_every_method_and_no_other() -> None:
    schema = EnsembleSettings.model_json_schema()["properties"]["method"]
    assert schema["enum"] == ["auto", *method_registry.METHODS]
    assert next(iter(method_registry.METHODS)) == method_registry.BASELINE
