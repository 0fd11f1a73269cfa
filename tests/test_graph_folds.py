"""Members: what an edit of one reruns, and trainings side by side; the real dvc.yaml with quick stand-ins.

One fold: the trainings of all folds come from one matrix (test_dvc_yaml.py checks their names, and test_end_to_end.py
runs two).
"""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import graph
from tests.graph import Graph, of_member
from tests.test_graph_reruns import AFTER, BLEND, FOLDS, PHASES, once, setting
from tools import run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    return graph.built(tmp_path_factory.getbasetemp() / "one_fold", FOLDS)


@pytest.fixture
def repo(built: Graph, tmp_path: Path) -> Graph:
    return built.copy(tmp_path)


def test_adding_a_member_trains_only_it_and_removing_it_again_trains_nothing(repo: Graph) -> None:
    """After the removal the repository is what a fresh clone with the members a and b would build."""
    blend, lock = [repo.read(path) for path in BLEND], repo.lock()
    repo.edit(setting("members", "c", to=graph.member()))
    assert repo.repro() == once(
        *("check", "joint_probe", *AFTER),
        *of_member("c", "weights", "probe", *PHASES, "infer", "infer_pretrain", folds=FOLDS),
    )
    assert [repo.read(path) for path in BLEND] != blend
    repo.edit(lambda values: values["members"].pop("c"))
    assert set(repo.repro()) <= {"check", "joint_probe", *AFTER}
    assert [repo.read(path) for path in BLEND] == blend
    assert {stage: entry for stage, entry in repo.lock().items() if stage in lock} == lock
    repo.edit(setting("members", "c", to=graph.member()))
    assert set(repo.repro()) <= {"check", "joint_probe", *AFTER}  # the cache brings it back


def test_other_bytes_in_a_weights_file_rerun_that_member_only(repo: Graph) -> None:
    (repo.root / "w.safetensors").write_text("two")
    assert repo.repro() == once(
        *of_member("a", "weights", "probe", *PHASES, "infer", "infer_pretrain", folds=FOLDS), "joint_probe", *AFTER
    )


def test_stages_side_by_side_leave_the_lock_of_a_sequential_run(
    built: Graph, repo: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`make JOBS=2`, as tools/run.py runs it."""
    forgotten = [*of_member("a", "finetune", "infer", folds=FOLDS), *of_member("b", "finetune", "infer", folds=FOLDS)]
    forget(repo, forgotten)
    repo.log.write_text("")
    for name, value in repo._env(seconds=1).items():
        monkeypatch.setenv(name, value)
    assert run.run(run.COMMAND, repo.root, [{}, {}]) == 0
    ran = repo.log.read_text().split()
    assert sorted(ran) == sorted(forgotten)
    assert sorted(ran[:2]) == ["finetune@a-0", "finetune@b-0"]
    assert repo.lock() == built.lock()
    assert repo.repro() == {}


def forget(repo: Graph, stages: list[str]) -> None:
    """Remove stages from dvc.lock, and the run-cache that would restore their outputs."""
    path = repo.root / "dvc.lock"
    lock: dict[str, Any] = yaml.safe_load(path.read_text())
    for stage in stages:
        del lock["stages"][stage]
    path.write_text(yaml.safe_dump(lock, sort_keys=False))
    shutil.rmtree(repo.root / ".dvc/cache/runs")
