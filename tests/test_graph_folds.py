"""Members x folds, which a setting reruns and which run side by side: the real dvc.yaml with quick stand-ins."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests import graph
from tests.graph import Graph, of_member
from tests.test_graph_reruns import AFTER, BLEND, BLENDING, PHASES, once, setting

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    return graph.built(tmp_path_factory.getbasetemp() / "two_folds")


@pytest.fixture
def repo(built: Graph, tmp_path: Path) -> Graph:
    return built.copy(tmp_path)


@pytest.mark.parametrize(
    ("change", "rerun"),
    [
        (setting("ensemble", "method", to="greedy"), [*BLENDING]),
        (setting("members", "a", "finetune", "lr", to=0.5), [*of_member("a", "finetune", "infer"), *AFTER]),
        (setting("members", "a", "pretrain", "lr", to=0.5), [*of_member("a", "pretrain", "finetune", "infer"), *AFTER]),
    ],
    ids=["ensemble", "finetune", "pretrain"],
)
def test_a_setting_reruns_its_phase_and_what_follows(
    repo: Graph, change: Callable[[dict[str, Any]], None], rerun: list[str]
) -> None:
    repo.edit(change)
    assert repo.repro() == once("check", *rerun)


def test_adding_a_member_trains_only_it_and_taking_it_out_again_trains_nothing(repo: Graph) -> None:
    blend, lock = [repo.read(path) for path in BLEND], repo.lock()
    repo.edit(setting("members", "c", to=graph.member()))
    assert repo.repro() == once("check", *of_member("c", "weights", "probe", *PHASES, "infer"), *AFTER)
    assert [repo.read(path) for path in BLEND] != blend
    repo.edit(lambda values: values["members"].pop("c"))
    assert set(repo.repro()) <= {"check", *AFTER}
    assert [repo.read(path) for path in BLEND] == blend
    assert {stage: entry for stage, entry in repo.lock().items() if stage in lock} == lock
    repo.edit(setting("members", "c", to=graph.member()))
    assert set(repo.repro()) <= {"check", *AFTER}  # the cache brings it back


def test_other_bytes_in_a_weights_file_rerun_that_member_only(repo: Graph) -> None:
    (repo.root / "w.safetensors").write_text("two")
    assert repo.repro() == once(*of_member("a", "weights", "probe", *PHASES, "infer"), *AFTER)


def test_members_side_by_side_leave_the_lock_of_a_sequential_run(built: Graph, tmp_path: Path) -> None:
    repo = graph.build(tmp_path)
    assert repo.repro("split", "weights@a", "weights@b")["split"] == 1
    repo.log.write_text("")
    chains = {m: [*of_member(m, *PHASES, folds=[0]), *of_member(m, *PHASES, folds=[1]), f"infer@{m}"] for m in "ab"}
    scripts = ["\n".join(f"dvc --wait-for-lock repro -q -s {stage}" for stage in chains[m]) for m in "ab"]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda script: repo.run("bash", "-ec", script, seconds=0.2), scripts))
    ran = repo.log.read_text().split()
    assert ran.index("pretrain@a-0") < ran.index("infer@b")
    assert ran.index("pretrain@b-0") < ran.index("infer@a")
    assert sorted(ran) == sorted(chains["a"] + chains["b"])
    assert not repo.repro().keys() & {*ran}
    assert repo.lock() == built.lock()
    assert [repo.read(path) for path in BLEND] == [built.read(path) for path in BLEND]
