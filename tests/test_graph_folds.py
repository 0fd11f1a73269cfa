"""Members: what an edit of one reruns, and trainings side by side; the real dvc.yaml with quick stand-ins.

One fold: the trainings of all folds come from one matrix (test_dvc_yaml.py checks their names, and test_end_to_end.py
runs two).
"""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
import yaml

from tests import graph
from tests.graph import Graph, of_member
from tests.test_graph_reruns import AFTER, BLEND, FOLDS, PHASES, once, setting

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


def test_members_side_by_side_leave_the_lock_of_a_sequential_run(built: Graph, repo: Graph) -> None:
    chains = {member: of_member(member, *PHASES, "infer", folds=FOLDS) for member in "ab"}
    forget(repo, chains["a"] + chains["b"])

    started = Barrier(2)

    def run(chain: list[str]) -> None:
        repo.run("dvc", "--version")  # each thread starts its server; then both chains begin together
        started.wait(60)
        for stage in chain:
            repo.run("dvc", "--wait-for-lock", "repro", "-s", stage, seconds=1)

    repo.log.write_text("")
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run, chains.values()))
    ran = repo.log.read_text().split()
    assert ran.index("pretrain@a-0") < ran.index("infer@b")
    assert ran.index("pretrain@b-0") < ran.index("infer@a")
    assert sorted(ran) == sorted(chains["a"] + chains["b"])
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
