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
