"""Variants compared with `dvc exp run`: the real dvc.yaml with quick stand-ins for the stages (tests/graph.py)."""

import json
import shutil
from pathlib import Path

import pytest

from tests import graph
from tests.graph import Graph, of_member
from tests.test_graph_reruns import BLENDING, FOLDS, PHASES
from tools import experiments

pytestmark = pytest.mark.slow

ADD_C = "+members.c=" + json.dumps(graph.member()).replace('"', "")  # Hydra's grammar wants keys without quotes


@pytest.fixture
def repo(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Graph:
    """A copy of the whole graph, run and committed."""
    return graph.built(tmp_path_factory.getbasetemp() / "one_fold", FOLDS).copy(tmp_path)


def test_a_contest_that_dvc_keeps_stays_where_it_is(tmp_path: Path) -> None:
    """With `/data/*` in .gitignore DVC took data/ for ignored, and `dvc checkout` deleted the images."""
    repo = graph.build(tmp_path)
    repo.run("dvc", "add", "data/contest/train", "data/contest/test")
    repo.run("git", "add", "-A")
    repo.run("git", "commit", "-qm", "contest")
    images = sorted((repo.root / "data/contest/train").iterdir())
    assert len(images) > 1
    repo.run("dvc", "checkout", "--allow-missing")
    assert sorted((repo.root / "data/contest/train").iterdir()) == images
    shutil.rmtree(repo.root / "data/contest/train")
    repo.run("dvc", "checkout", "--allow-missing")
    assert sorted((repo.root / "data/contest/train").iterdir()) == images


def test_a_member_is_added_for_one_experiment(repo: Graph) -> None:
    ran = repo.dvc("exp", "run", "--temp", "-n", "added", "-S", ADD_C)
    assert ran == dict.fromkeys(
        [
            "check",
            *of_member("c", "weights", "probe", *PHASES, "infer", "infer_pretrain", folds=FOLDS),
            *("joint_probe", *BLENDING, "review", "page"),
        ],
        1,
    )
    assert repo.run("git", "status", "--short") == ""


def test_a_grid_is_queued_run_and_shown_in_words(repo: Graph, capsys: pytest.CaptureFixture[str]) -> None:
    repo.dvc("exp", "run", "--queue", "-S", "ensemble.method=greedy,logits")
    ran = repo.dvc("exp", "run", "--run-all", "-j", "1")
    assert ran == dict.fromkeys(["check", *BLENDING, "page"], 2)
    experiments.main("--width", "80", root=repo.root)
    head, workspace, commit, *tried = capsys.readouterr().out.splitlines()
    assert head.split() == ["experiment", "changed"]  # the stand-ins have no scores
    assert workspace == "workspace"
    assert "method" not in commit
    assert sorted(line.split("  ")[-1] for line in tried) == [
        "ensemble.method: auto -> greedy",
        "ensemble.method: auto -> logits",
    ]
