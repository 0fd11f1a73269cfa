"""dvc.yaml against the stages' code: DVC does not follow imports, so what a stage imports must be in its deps."""

from typing import Any

import pytest
import yaml

from tests import graph

STAGES: dict[str, Any] = yaml.safe_load((graph.PROJECT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
WITHOUT_TORCH = ("label", "analyze", "picture", "split", "audit", "external", "ensemble", "report", "review", "ladder")
AFTER_TRAINING = (
    "inference",
    "ensembling",
    "predictions",
    "submission",
    "contest",
    "picture",
    "gallery",
    "findings",
    "label_errors",
)


def code(stage: str) -> set[str]:
    """The Python files that dvc.yaml lists in a stage's deps."""
    spec = STAGES[stage]
    return {dep for dep in spec.get("do", spec)["deps"] if dep.endswith(".py")}


def test_a_stage_is_a_file_of_the_same_name() -> None:
    files = {path.stem for path in (graph.PROJECT / "stages").glob("*.py")} - {"__init__"}
    assert files == set(STAGES)
    for stage, spec in STAGES.items():
        assert spec.get("do", spec)["cmd"].startswith(f"python -m stages.{stage}")


@pytest.mark.parametrize("stage", STAGES)
def test_the_deps_are_all_files_that_the_stage_imports(stage: str) -> None:
    wanted, listed = graph.imported(f"stages/{stage}.py"), code(stage)
    assert listed == wanted, (
        f"dvc.yaml: {stage}: missing {sorted(wanted - listed)}, not imported {sorted(listed - wanted)};"
        f" the Python files in deps should be\n{', '.join(sorted(wanted))}"
    )


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


@pytest.mark.parametrize("stage", ["pretrain", "finetune", "fixres", "probe"])
def test_training_imports_nothing_that_follows_it_or_reads_the_contest(stage: str) -> None:
    unwanted = {f"stages/lib/{room}.py" for room in AFTER_TRAINING}
    assert not graph.imported(f"stages/{stage}.py") & unwanted


@pytest.mark.parametrize("stage", WITHOUT_TORCH)
def test_the_stage_names_no_torch(stage: str) -> None:
    assert not graph.foreign(graph.imported(f"stages/{stage}.py")) & {"torch", "timm", "torchvision", "dvclive"}


def test_a_walk_finds_packages_submodules_and_late_imports(tmp_path: Any) -> None:
    files = {
        "stages/__init__.py": "",
        "stages/one.py": "import os\nfrom stages.lib import cli\ndef f():\n    import stages.lib.sub.late\n",
        "stages/lib/__init__.py": "",
        "stages/lib/cli.py": "from stages.lib.errors import InputError",
        "stages/lib/errors.py": "class InputError(Exception): pass",
        "stages/lib/sub/__init__.py": "from stages.lib import seen",
        "stages/lib/sub/late.py": "",
        "stages/lib/seen.py": "import torch.nn",
        "stages/lib/unseen.py": "",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    found = graph.imported("stages/one.py", tmp_path)
    assert found == files.keys() - {"stages/lib/unseen.py"}
    assert graph.foreign(found, tmp_path) == {"os", "stages", "torch"}


@pytest.mark.slow
def test_dvc_names_matrix_items_by_member_and_fold(tmp_path: Any) -> None:
    """Undocumented: `<stage>@<member>-<fold>` for a matrix over the keys of a map."""
    made = graph.build(tmp_path)
    watched = ("pretrain", "fixres", "infer", "external", "probe", "weights", "prepare")
    assert {name for name in made.stages() if name.startswith(watched)} == {
        *graph.of_member("a", "weights", "probe", "pretrain", "infer"),
        *graph.of_member("b", "weights", "probe", "pretrain", "infer"),
        "prepare@train",
        "prepare@test",
    }
