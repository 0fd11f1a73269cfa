"""A family is one module with NAMES and register(), found without an entry anywhere else, and it has a test file."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import timm

from podium.models import family_registry
from podium.models.families import fcanet
from tests import graph


def test_every_family_is_registered_with_timm_and_has_a_test_file() -> None:
    owners = family_registry.register_all()
    assert owners["fcanet50"] == owners["fcanet101"] == "fcanet"
    assert all(timm.is_model(name) for name in owners)
    for family, module in family_registry.modules().items():
        assert module.__doc__
        assert "Source: " in module.__doc__, f"{family}.py: its docstring names no source"
        assert (graph.PROJECT / f"tests/test_{family}.py").is_file(), f"{family}.py has no tests/test_{family}.py"


def test_registering_again_leaves_the_builders_as_they_are() -> None:
    family_registry.register_all()
    before = timm.models.model_entrypoint("fcanet50")
    family_registry.register_all()
    assert timm.models.model_entrypoint("fcanet50") is before is fcanet.fcanet50


@pytest.mark.parametrize("name", family_registry.register_all())
def test_a_backbone_of_a_family_has_what_podium_reads_of_timms_models(name: str) -> None:
    config = timm.get_pretrained_cfg(name)
    assert config is not None
    assert config.classifier
    assert len(config.mean) == len(config.std) == 3


@pytest.mark.parametrize(
    ("module", "word"),
    [
        ({"register": lambda: None}, "NAMES"),
        ({"NAMES": "fcanet50", "register": lambda: None}, "NAMES"),
        ({"NAMES": (), "register": lambda: None}, "NAMES"),
        ({"NAMES": ("fcanet50",)}, "register"),
        ({"NAMES": ("no_such_net",), "register": lambda: None}, "no_such_net"),
    ],
)
def test_a_module_that_lacks_a_fact_is_refused_with_its_file(module: dict[str, Any], word: str) -> None:
    with pytest.raises(TypeError, match=rf"families/new\.py: .*{word}"):
        family_registry.register("new", SimpleNamespace(**module))  # type: ignore[arg-type]


def test_two_families_with_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(family_registry, "modules", lambda: {"one": fcanet, "two": fcanet})
    with pytest.raises(TypeError, match=r"one\.py and two\.py both register fcanet34"):
        family_registry.register_all()


def test_a_new_file_in_the_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "newnet.py").write_text("NAMES = ('newnet',)\n")
    monkeypatch.setattr(family_registry.families, "__path__", [str(tmp_path)])
    assert list(family_registry.modules()) == ["newnet"]
    sys.modules.pop("podium.models.families.newnet")
