"""What runs again after which change: the real dvc.yaml with quick stand-ins for the stages (tests/graph.py)."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import graph
from tests.graph import Graph, of_member

pytestmark = pytest.mark.slow

FOLDS = (0,)  # with two (test_graph_folds.py) these take a third longer
PHASES = ("pretrain", "finetune")
BLENDING = ("ensemble", "report", "ladder")  # the stages that read all members
TRAINING = {name for member in "ab" for name in of_member(member, *PHASES, folds=FOLDS)}
AFTER = (*BLENDING, "review")  # what follows infer
BLEND = ("data/ensemble/submission.csv", "data/ensemble/oof.parquet", "metrics/summary.json")


def once(*stages: str) -> dict[str, int]:
    return dict.fromkeys(stages, 1)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    return graph.built(tmp_path_factory.getbasetemp() / "one_fold", FOLDS)


@pytest.fixture
def repo(built: Graph, tmp_path: Path) -> Graph:
    return built.copy(tmp_path)


def test_nothing_changed_runs_nothing_and_a_forced_rerun_leaves_the_lock_as_it_is(repo: Graph) -> None:
    before = repo.read("dvc.lock")
    assert repo.repro() == {}
    assert repo.read("dvc.lock") == before
    assert repo.repro("-f") == once(*repo.stages())
    assert repo.read("dvc.lock") == before
    assert repo.run("git", "status", "--short") == ""


def setting(*path: str, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(values: dict[str, Any]) -> None:
        for step in path[:-1]:
            values = values[step]
        values[path[-1]] = to

    return change


def test_a_setting_of_infer_reruns_it_and_taken_back_nothing(repo: Graph) -> None:
    repo.edit(setting("members", "a", "infer", "image_sizes", to=[80]))
    assert repo.repro() == once("check", "infer@a", *AFTER)
    repo.revert()
    assert repo.repro() == {}
    assert repo.run("git", "status", "--short") == ""


def test_a_mistyped_section_reruns_check_alone(repo: Graph) -> None:
    repo.edit(setting("ensembel", to={}))
    assert repo.repro() == once("check")


def test_taking_a_member_out_leaves_what_a_fresh_clone_would_get(repo: Graph, tmp_path: Path) -> None:
    repo.edit(lambda values: values["members"].pop("b"))
    assert repo.repro() == once("check", *AFTER)
    fresh = graph.build(tmp_path / "fresh", folds=FOLDS)
    fresh.edit(lambda values: values["members"].pop("b"))
    fresh.repro()
    lock = repo.lock()
    assert {stage: lock[stage] for stage in fresh.stages()} == fresh.lock()
    assert [repo.read(path) for path in BLEND] == [fresh.read(path) for path in BLEND]


def test_a_new_test_image_trains_nothing(repo: Graph) -> None:
    (repo.root / "data/contest/test/new.png").write_text("new")
    ran = repo.repro()
    assert ran.keys() >= {"prepare@test", "analyze", "audit", "infer@a", "infer@b", *AFTER}
    assert not ran.keys() & {"check", "prepare@train", "label", "split", "weights@a", "weights@b", "probe@a", *TRAINING}


def test_an_override_decodes_nothing(repo: Graph) -> None:
    (repo.root / "data/contest/overrides.csv").write_text("0.png,drop,blurred")
    ran = repo.repro()
    assert ran.keys() >= {"label", "split", *TRAINING, "infer@a", "infer@b", *AFTER}
    assert not ran.keys() & {"check", "prepare@train", "prepare@test", "analyze", "weights@a", "weights@b"}


def test_confirming_a_label_reviews_again_and_trains_nothing(repo: Graph) -> None:
    """The stand-ins keep confirmations out of labels.csv and folds.csv; the tests of both stages hold these to it."""
    with (repo.root / "data/contest/overrides.csv").open("a") as opened:
        opened.write("\n0.png,cat,confirmed\n")
    assert repo.repro() == once("label", "split", "review")


AFTER_TRAINING = ("contest", "predictions", "scoring", "ensembling", "reports")


def test_an_edit_of_what_follows_training_or_reads_the_contest_retrains_nothing(repo: Graph) -> None:
    for package in AFTER_TRAINING:
        with (repo.root / f"podium/{package}/__init__.py").open("a") as opened:
            opened.write("# edited")
    with (repo.root / "podium/contracts.py").open("a") as opened:
        opened.write("# edited")
    changed = set(json.loads(repo.run("dvc", "status", "--json")))
    assert changed >= {"label", "split", "ensemble", "report", "ladder", "review"}
    assert not changed & {
        *TRAINING,
        *(name for member in "ab" for name in of_member(member, "weights", "probe", "infer")),
    }
    assert not repo.repro().keys() & TRAINING


def test_an_edit_of_inference_trains_nothing(repo: Graph) -> None:
    with (repo.root / "podium/inference/__init__.py").open("a") as opened:
        opened.write("# edited")
    changed = set(json.loads(repo.run("dvc", "status", "--json")))
    assert {"infer@a", "infer@b"} <= changed
    assert not changed & TRAINING


def test_the_demo_is_drawn_when_the_contest_points_there(repo: Graph) -> None:
    shutil.copyfile(graph.PROJECT / "params.yaml", repo.root / "params.yaml")
    repo.edit(setting("contest", "images", to={"train": "demo/images/train", "test": "demo/images/test"}))
    assert repo.repro("prepare@train") == once("draw", "check", "prepare@train")


def test_nothing_to_do_takes_at_most_twice_as_long_with_20000_images_as_with_three(repo: Graph, tmp_path: Path) -> None:
    few = _seconds_of_nothing(repo)
    folder = tmp_path / "many"
    folder.mkdir()
    for i in range(20_000):
        (folder / f"{i}.png").write_text(f"{i}")
    repo.edit(setting("contest", "images", "test", to=str(folder)))
    repo.repro()
    assert _seconds_of_nothing(repo) <= 2 * few


def _seconds_of_nothing(repo: Graph) -> float:
    """The faster of two rebuilds that run nothing."""

    def timed() -> float:
        start = time.perf_counter()
        assert repo.repro() == {}
        return time.perf_counter() - start

    return min(timed(), timed())
