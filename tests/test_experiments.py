"""Variants compared with `dvc exp run`: the real dvc.yaml with quick stand-ins for the stages (tests/graph.py)."""

import json
import re
from pathlib import Path

import pytest

from tests import graph
from tests.graph import Graph, of_member

pytestmark = pytest.mark.slow

PHASES = ("pretrain", "finetune")
ADD_C = "+members.c=" + json.dumps(graph.member()).replace('"', "")  # Hydra's grammar wants keys without quotes


@pytest.fixture
def repo(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Graph:
    """A copy of the whole graph, run and committed."""
    return graph.built(tmp_path_factory.getbasetemp() / "graph").copy(tmp_path)


def test_a_setting_is_tried_in_the_workspace(repo: Graph) -> None:
    ran = repo.dvc("exp", "run", "-S", "members.a.finetune.lr=0.9")
    assert ran == dict.fromkeys(["check", *of_member("a", "finetune", "infer"), "ensemble"], 1)
    repo.revert()
    assert repo.repro() == {}


def test_a_member_is_added_and_one_taken_out(repo: Graph) -> None:
    ran = repo.dvc("exp", "run", "--temp", "-n", "added", "-S", ADD_C)
    assert ran == dict.fromkeys(["check", *of_member("c", "weights", *PHASES, "infer"), "ensemble"], 1)
    ran = repo.dvc("exp", "run", "--temp", "-n", "removed", "-S", "~members.b")
    assert ran == dict.fromkeys(["check", "ensemble"], 1)
    assert repo.run("git", "status", "--short") == ""


def test_a_grid_is_queued_run_and_shown_in_a_terminals_width(repo: Graph) -> None:
    repo.dvc("exp", "run", "--queue", "-S", "members.a.finetune.lr=0.31,0.32")
    ran = repo.dvc("exp", "run", "--run-all", "-j", "1")
    assert ran == dict.fromkeys(["check", *of_member("a", "finetune", "infer"), "ensemble"], 2)
    recipe = re.search(r"^\t@?(dvc exp show .*)$", (graph.PROJECT / "Makefile").read_text(), re.MULTILINE)
    assert recipe is not None
    table = repo.run("bash", "-c", f"COLUMNS=120 {recipe[1]}")
    assert "0.31" in table
    assert "0.32" in table
    assert max(len(line) for line in table.splitlines()) <= 120
