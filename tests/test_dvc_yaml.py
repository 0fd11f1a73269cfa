"""dvc.yaml against the stages' code: DVC does not follow imports, so what a stage imports must be in its deps."""

import ast
from typing import Any

import pytest
import yaml

from podium.preflight import pruning
from tests import graph

STAGES: dict[str, Any] = yaml.safe_load((graph.PROJECT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
WITHOUT_TORCH = (
    "prepare",
    "label",
    "analyze",
    "picture",
    "split",
    "extra",
    "audit",
    "external",
    "ensemble",
    "report",
    "review",
    "ladder",
    "page",
)
ENVIRONMENT_ONLY = ("stages/__init__.py", "podium/__init__.py")  # say what is wrong with `python`, or nothing at all


def code(stage: str) -> set[str]:
    """The files and folders of code that dvc.yaml lists in a stage's deps."""
    spec = STAGES[stage]
    return {dep for dep in spec.get("do", spec)["deps"] if dep.startswith(("podium/", "stages/"))}


def within(file: str, dep: str) -> bool:
    return file == dep or file.startswith(f"{dep}/")


def test_a_stage_is_a_file_of_the_same_name() -> None:
    files = {path.stem for path in (graph.PROJECT / "stages").glob("*.py")} - {"__init__"}
    assert files == set(STAGES)
    for stage, spec in STAGES.items():
        assert spec.get("do", spec)["cmd"].startswith(f"python -m stages.{stage}")


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_reads_calls_and_writes_and_leaves_the_rest_to_packages(stage: str) -> None:
    assert len((graph.PROJECT / f"stages/{stage}.py").read_text(encoding="utf-8").splitlines()) <= 125


@pytest.mark.parametrize("stage", STAGES)
def test_everything_that_a_stage_imports_lies_in_its_deps(stage: str) -> None:
    outside = {
        file
        for file in graph.imported(f"stages/{stage}.py")
        if file not in ENVIRONMENT_ONLY
        and not any(within(file, dep) for dep in code(stage))
        and not (file.endswith("/__init__.py") and is_docstring_only(file))
    }
    assert not outside, f"dvc.yaml: {stage}: add to deps the packages of {sorted(outside)}"


@pytest.mark.parametrize("stage", STAGES)
def test_everything_in_a_stages_deps_is_imported_from(stage: str) -> None:
    files = {file for file in graph.imported(f"stages/{stage}.py") if not file.endswith("/__init__.py")}
    idle = {dep for dep in code(stage) if not any(within(file, dep) for file in files)}
    assert not idle, f"dvc.yaml: {stage}: imports nothing from {sorted(idle)}"
    assert all((graph.PROJECT / dep).exists() for dep in code(stage))


def is_docstring_only(file: str) -> bool:
    body = ast.parse((graph.PROJECT / file).read_text(encoding="utf-8")).body
    return len(body) == 1 and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)


@pytest.mark.parametrize("stage", ["pretrain", "finetune", "fixres", "pseudo", "distill"])
def test_a_training_reads_no_output_of_another_fold(stage: str) -> None:
    """Another fold's model has learned this fold's labels, so whatever it predicts carries them."""
    made = [dep for dep in STAGES[stage]["deps"] if dep.startswith(("models/", "data/"))]
    shared = (
        "data/check/",
        "data/split/",
        "data/prepare/",
        "models/weights/",
        "models/probe/",
        "data/extra",
    )  # by no fold's training
    assert all("${item.fold}" in dep for dep in made if not dep.startswith(shared))


def test_check_knows_which_outputs_a_map_owns_and_which_folders_may_be_empty() -> None:
    """So that it removes what nothing owns any more, and makes what DVC would miss."""
    by_fold, by_name, folders = {}, {}, {}
    for spec in STAGES.values():
        owner = spec.get("foreach", spec.get("matrix", {}).get("member", ""))[2:-1]
        assert owner in ("", "contest.images", *pruning.MAPS)
        for out in spec.get("do", spec)["outs"] if owner in pruning.MAPS else []:
            folder = out.partition("/${")[0]
            folders[folder] = owner
            if "${item.fold}" in out:
                by_fold[folder.split("/")[1]] = owner
            else:
                by_name[folder] = owner
    assert (by_fold, by_name) == (pruning.BY_FOLD, pruning.BY_NAME)
    read = {dep for spec in STAGES.values() for dep in spec.get("do", spec)["deps"]}
    assert {folder for folder, owner in folders.items() if owner != "members"} & read == set(pruning.MAY_BE_EMPTY)


def test_the_demos_deps_are_all_files_that_it_imports() -> None:
    deps = yaml.safe_load((graph.PROJECT / "demo/dvc.yaml").read_text(encoding="utf-8"))["stages"]["draw"]["deps"]
    listed, wanted = {f"demo/{dep}" for dep in deps}, graph.imported("demo/draw.py")
    assert listed == wanted, (
        f"demo/dvc.yaml: draw: deps should be {sorted(file.removeprefix('demo/') for file in wanted)}"
    )


@pytest.mark.parametrize("stage", STAGES)
def test_stages_do_not_import_stages(stage: str) -> None:
    others = {f"stages/{name}.py" for name in STAGES if name != stage}
    assert not graph.imported(f"stages/{stage}.py") & others


@pytest.mark.parametrize("stage", WITHOUT_TORCH)
def test_the_stage_names_no_torch(stage: str) -> None:
    assert not graph.foreign(graph.imported(f"stages/{stage}.py")) & {"torch", "timm", "torchvision", "dvclive"}


def test_a_walk_finds_packages_submodules_and_late_imports(tmp_path: Any) -> None:
    files = {
        "stages/__init__.py": "",
        "stages/one.py": "import os\nfrom podium.core import cli\ndef f():\n    import podium.sub.late\n",
        "podium/__init__.py": "",
        "podium/core/__init__.py": "",
        "podium/core/cli.py": "from podium.core.errors import InputError",
        "podium/core/errors.py": "class InputError(Exception): pass",
        "podium/sub/__init__.py": "from podium import seen",
        "podium/sub/late.py": "",
        "podium/seen.py": "import torch.nn",
        "podium/unseen.py": "",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    found = graph.imported("stages/one.py", tmp_path)
    assert found == files.keys() - {"podium/unseen.py"}
    assert graph.foreign(found, tmp_path) == {"os", "podium", "torch"}


@pytest.mark.slow
def test_dvc_names_matrix_items_by_member_and_fold(tmp_path: Any) -> None:
    """Undocumented: `<stage>@<member>-<fold>` for a matrix over the keys of a map."""
    made = graph.build(tmp_path)
    watched = ("pretrain", "fixres", "infer", "external", "probe", "weights", "prepare")
    assert {name for name in made.stages() if name.startswith(watched)} == {
        *graph.of_member("a", "weights", "probe", "pretrain", "infer", "infer_pretrain"),
        *graph.of_member("b", "weights", "probe", "pretrain", "infer", "infer_pretrain"),
        "prepare@train",
        "prepare@test",
    }
