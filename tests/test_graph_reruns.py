"""What runs again after which change: the real dvc.yaml with quick stand-ins for the stages (tests/graph.py)."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import graph
from tests.graph import Graph, of_member

pytestmark = pytest.mark.slow

FOLDS = (0,)  # with two the tests take a third longer
PHASES = ("pretrain", "finetune")
BLENDING = ("ensemble", "activation_maps", "report", "ladder")  # the stages that read all members
TRAINING = {name for member in "ab" for name in of_member(member, *PHASES, folds=FOLDS)}
AFTER = (*BLENDING, "review", "page")  # what follows infer
BLEND = ("data/ensemble/submission.csv", "data/ensemble/oof.parquet", "metrics/summary.json")


def once(*stages: str) -> dict[str, int]:
    return dict.fromkeys(stages, 1)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    return graph.built(tmp_path_factory.getbasetemp() / "one_fold", FOLDS)


@pytest.fixture
def repo(built: Graph, tmp_path: Path) -> Graph:
    return built.copy(tmp_path)


def test_nothing_changed_runs_nothing(repo: Graph) -> None:
    before = repo.read("dvc.lock")
    assert repo.repro() == {}
    assert repo.read("dvc.lock") == before
    assert repo.run("git", "status", "--short") == ""


def setting(*path: str, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(values: dict[str, Any]) -> None:
        for step in path[:-1]:
            values = values[step]
        values[path[-1]] = to

    return change


def test_settings_rerun_their_stages_and_what_follows_and_reverted_nothing(repo: Graph) -> None:
    """Settings of `finetune` are changed in test_fresh_clone.py, and of `ensemble` alone in test_experiments.py."""
    repo.edit(setting("ensembel", to={}))  # a mistyped section reruns check alone
    repo.edit(setting("members", "a", "infer", "image_sizes", to=[80]))
    repo.edit(setting("members", "b", "pretrain", "lr", to=0.5))
    of_a = [*of_member("a", "infer", "infer_pretrain", "probe"), "joint_probe"]
    of_b = of_member("b", *PHASES, "infer", "infer_pretrain", folds=FOLDS)
    assert repo.repro() == once("check", *of_a, *of_b, *AFTER)
    repo.revert()
    assert repo.repro() == {}
    assert repo.run("git", "status", "--short") == ""


def test_new_test_images_train_nothing_and_thousands_keep_the_idle_run_fast(repo: Graph) -> None:
    few = _seconds_of_nothing(repo)
    for i in range(2_500):
        (repo.root / f"data/contest/test/new{i}.png").write_text(f"{i}")
    ran = repo.repro()
    assert ran.keys() >= {"prepare@test", "analyze", "audit", "probe@a", "infer@a", "infer@b", *AFTER}
    assert not ran.keys() & {"check", "prepare@train", "label", "split", "weights@a", "weights@b", *TRAINING}
    assert _seconds_of_nothing(repo) <= 1.75 * few


def test_an_override_decodes_nothing(repo: Graph) -> None:
    (repo.root / "data/contest/overrides.csv").write_text("0.png,drop,blurred")
    ran = repo.repro()
    assert ran.keys() >= {"label", "split", *TRAINING, "infer@a", "infer@b", *AFTER}
    assert not ran.keys() & {"check", "prepare@train", "prepare@test", "analyze", "weights@a", "weights@b"}


def test_confirming_a_label_reviews_again_and_trains_nothing(repo: Graph) -> None:
    """The stand-ins keep confirmations out of labels.csv and folds.csv; the tests of both stages hold these to it."""
    with (repo.root / "data/contest/overrides.csv").open("a") as opened:
        opened.write("\n0.png,cat,confirmed\n")
    assert repo.repro() == once("label", "split", "review", "page")


AFTER_TRAINING = ("contest", "predictions", "scoring", "ensembling", "reports")


def test_an_edit_of_code_that_no_training_imports_trains_nothing(repo: Graph) -> None:
    """Status suffices: that DVC stops where a rerun leaves the same bytes, the test of a confirmed label shows."""
    edit_code(repo, "contracts.py", *(f"{package}/__init__.py" for package in AFTER_TRAINING))
    changed = changed_stages(repo)
    assert changed >= {"label", "split", "ensemble", "report", "ladder", "review", "page"}
    assert not changed & {
        *TRAINING,
        *(name for member in "ab" for name in of_member(member, "weights", "probe", "infer")),
    }
    edit_code(repo, "inference/__init__.py")
    changed = changed_stages(repo)
    assert {"infer@a", "infer@b"} <= changed
    assert not changed & TRAINING


def edit_code(repo: Graph, *names: str) -> None:
    for name in names:
        with (repo.root / "podium" / name).open("a") as opened:
            opened.write("# edited")


def changed_stages(repo: Graph) -> set[str]:
    return set(json.loads(repo.run("dvc", "status", "--json")))


def test_the_demo_is_drawn_when_the_contest_points_there(repo: Graph) -> None:
    shutil.copyfile(graph.PROJECT / "params.yaml", repo.root / "params.yaml")
    repo.edit(setting("contest", "images", to={"train": "demo/images/train", "test": "demo/images/test"}))
    assert repo.repro("prepare@train") == once("draw", "check", "prepare@train")


def _seconds_of_nothing(repo: Graph) -> float:
    """Processor time of a rebuild that runs nothing; time by the clock would depend on what else runs."""
    assert repo.repro() == {}
    return graph.server().seconds
