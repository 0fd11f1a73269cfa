"""A clone without a lock: a run changes no file that git tracks, and experiments work before and after its commit."""

import json
from pathlib import Path

import pytest

from tests import graph
from tests.graph import PROJECT
from tests.test_graph_reruns import AFTER, once

pytestmark = pytest.mark.slow

MADE = ("dvc.lock", "metrics/summary.json")  # not in git until a user commits a run; not ignored: DVC wants that


def test_the_project_tracks_no_lock_and_no_metrics() -> None:
    tracked = graph.run_git(PROJECT, "ls-files", *MADE, "demo/dvc.lock").split()
    assert not tracked
    for name in (*MADE, "demo/dvc.lock"):
        assert graph.run_git(PROJECT, "check-ignore", name, check=False) == ""


def test_a_run_on_a_fresh_clone_changes_no_tracked_file_and_experiments_work(tmp_path: Path) -> None:
    repo = graph.build(tmp_path, folds=(0,))
    repo.edit(lambda values: values.update(members={"a": graph.member(weights_file="w.safetensors")}))
    repo.commit()
    repo.repro()
    assert repo.run("git", "status", "--porcelain").split("\n")[:-1] == [
        f"?? {name}" for name in ("dvc.lock", "metrics/")
    ]
    before = repo.read("metrics/summary.json")
    ran = repo.dvc("exp", "run", "-n", "higher", "-S", "members.a.finetune.lr=0.5")
    assert ran == once("check", *graph.of_member("a", "finetune", "infer", folds=(0,)), *AFTER)
    assert repo.read("metrics/summary.json") != before
    repo.run("git", "checkout", "-q", ".")
    assert repo.repro().keys() <= ran.keys()
    assert repo.read("metrics/summary.json") == before  # the run-cache brings the first run back
    shown = json.loads(repo.run("dvc", "exp", "show", "--json"))
    assert "higher" in json.dumps(shown)
    repo.commit()
    assert repo.repro() == {}
    assert repo.run("git", "status", "--porcelain") == ""
