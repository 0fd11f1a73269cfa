"""Packages of podium/ import downwards, in one declared list of layers."""

import ast
import re
from pathlib import Path

import pytest

from tests import graph

# From the top down. A package imports from the layers below its own; packages of one layer know nothing of each other.
LAYERS = (
    ("discovery",),
    ("page", "preflight", "serving"),
    ("ensembling", "reports", "activation_maps"),
    ("predictions",),
    ("inference",),
    ("training",),
    ("probes", "contest"),
    ("scoring",),
    ("models", "images", "analysis", "pictures", "audit"),
    ("folds",),
    ("contracts",),
    ("core",),
)
PACKAGES = [name for layer in LAYERS for name in layer]
HEIGHT = {name: -place for place, layer in enumerate(LAYERS) for name in layer}
MODULES = sorted(
    path.relative_to(graph.PROJECT).as_posix()
    for path in (graph.PROJECT / "podium").rglob("*.py")
    if path.name != "__init__.py" or path.parent.name != "podium"
)


def package(file: str) -> str:
    """E.g. "core" of podium/core/tables.py, and "contracts" of podium/contracts.py."""
    return file.split("/")[1].removesuffix(".py")


def direct(file: str, root: Path = graph.PROJECT) -> set[str]:
    """Files of podium/ that a file imports itself, at its top or in a function."""
    modules = graph.modules(ast.parse((root / file).read_text(encoding="utf-8")))
    return {found for module in modules for found in graph.files(module, root) if found.startswith("podium/")}


def test_every_package_stands_in_a_layer() -> None:
    assert {package(file) for file in MODULES} == set(PACKAGES)


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_imports_from_layers_below_its_own(name: str) -> None:
    upwards = {
        f"{file} imports {other}"
        for file in MODULES
        if package(file) == name
        for other in direct(file)
        if other != "podium/__init__.py" and package(other) != name and HEIGHT[package(other)] >= HEIGHT[name]
    }
    assert not upwards


def test_no_modules_import_each_other_in_a_circle() -> None:
    below = {file: {other for other in direct(file) if not other.endswith("__init__.py")} for file in MODULES}
    while free := [file for file, others in below.items() if not others & below.keys() - {file}]:
        for file in free:
            del below[file]
    assert not below


def test_an_import_in_the_middle_of_a_function_counts(tmp_path: Path) -> None:
    for name, text in {"core/a.py": "def f():\n    from podium.core import b\n", "core/b.py": ""}.items():
        path = tmp_path / "podium" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert direct("podium/core/a.py", tmp_path) == {"podium/core/b.py"}


@pytest.mark.parametrize("name", PACKAGES)
def test_the_map_of_the_packages_and_the_page_on_the_code_name_each(name: str) -> None:
    docstring = (graph.PROJECT / "podium/__init__.py").read_text(encoding="utf-8")
    assert re.search(rf"^{name} ", docstring, re.MULTILINE)
    assert f"| `podium/{name}" in (graph.PROJECT / "docs/stages.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [name for name in PACKAGES if name != "contracts"])
def test_the_docstring_of_a_package_names_each_of_its_files(name: str) -> None:
    folder = graph.PROJECT / "podium" / name
    docstring = (folder / "__init__.py").read_text(encoding="utf-8")
    files = {path.name for path in folder.glob("*.py")} - {"__init__.py"}
    assert not {file for file in files if file not in docstring}
