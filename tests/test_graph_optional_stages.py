"""What the optional maps make run, and leave behind: the real dvc.yaml with quick stand-ins."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests import graph
from tests.graph import Graph, of_member
from tests.test_graph_reruns import AFTER, BLEND, FOLDS, TRAINING, once

pytestmark = pytest.mark.slow

FIXRES = of_member("a", "fixres", "infer_fixres", folds=FOLDS)
PSEUDO = of_member("a", "pseudo", "infer_pseudo", folds=FOLDS)
DISTILL = of_member("a", "distill", folds=FOLDS)
MAPS = ("fixres", "pseudo", "soup", "distill", "external")
SETTINGS = {"image_size": 80, "epochs": 1, "lr": 0.1}
GIVEN = {"oof": "data/contest/oof.csv", "test": "data/contest/their_test.csv"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    return graph.built(tmp_path_factory.getbasetemp() / "one_fold", FOLDS)


@pytest.fixture
def repo(built: Graph, tmp_path: Path) -> Graph:
    return built.copy(tmp_path)


@pytest.fixture(scope="module")
def in_place(built: Graph, tmp_path_factory: pytest.TempPathFactory) -> Graph:
    """A copy with an entry in each map, run but not committed."""
    repo = built.copy(tmp_path_factory.mktemp("in_place"))
    for path in GIVEN.values():
        (repo.root / path).write_text(path)
    repo.commit()
    fill(repo)
    assert repo.repro() == once("check", *FIXRES, *PSEUDO, "soup@a", *DISTILL, "external@theirs", *AFTER)
    return repo


@pytest.fixture(scope="module")
def filled(in_place: Graph, tmp_path_factory: pytest.TempPathFactory) -> Graph:
    """A copy of it, to be copied."""
    return in_place.copy(tmp_path_factory.mktemp("filled"))


def put(repo: Graph, section: str, name: str, settings: dict[str, Any]) -> None:
    repo.edit(lambda values: values[section].update({name: settings}))


def fill(repo: Graph) -> None:
    for section in ("fixres", "pseudo", "distill"):
        put(repo, section, "a", SETTINGS)
    put(repo, "soup", "a", {"members": ["b"]})
    put(repo, "external", "theirs", GIVEN)


def files(repo: Graph) -> set[str]:
    """Every file under models/ and data/, without those given from outside."""
    tops = (repo.root / "models", repo.root / "data")
    found = {str(path.relative_to(repo.root)) for top in tops for path in top.rglob("*") if path.is_file()}
    return found - set(GIVEN.values())


def test_without_entries_there_are_no_stages(built: Graph) -> None:
    optional = {*MAPS, "infer_fixres", "infer_pseudo"}
    assert not {stage.partition("@")[0] for stage in built.stages()} & optional


def test_entries_run_their_own_stages_and_removing_them_leaves_nothing(
    built: Graph, filled: Graph, tmp_path: Path
) -> None:
    repo = filled.copy(tmp_path)
    blend, lock = [built.read(path) for path in BLEND], built.lock()
    assert files(repo) > files(built)
    assert [repo.read(path) for path in BLEND] != blend
    for section in MAPS:
        repo.edit(lambda values, section=section: values[section].clear())
    assert set(repo.repro()) <= {"check", *AFTER}
    assert files(repo) == files(built)
    assert [repo.read(path) for path in BLEND] == blend
    assert {stage: entry for stage, entry in repo.lock().items() if stage in lock} == lock
    fill(repo)
    assert set(repo.repro()) <= {"check", *AFTER}  # the cache brings them back
    assert repo.repro() == {}


def test_back_at_a_commit_without_them_nothing_runs(in_place: Graph, filled: Graph) -> None:
    """In one place: `dvc checkout` removes the outputs that it made there. In a copied folder it knows of none."""
    in_place.revert()
    assert in_place.repro() == {}
    assert in_place.run("git", "status", "--short") == ""


def test_a_change_reruns_what_follows_it_alone(filled: Graph, tmp_path: Path) -> None:
    repo = filled.copy(tmp_path)
    put(repo, "fixres", "a", SETTINGS | {"lr": 0.2})
    assert repo.repro() == once("check", *FIXRES, *DISTILL, *AFTER)
    repo.edit(lambda values: values["members"]["b"]["finetune"].update(lr=0.5))
    (repo.root / GIVEN["oof"]).write_text("others")
    changed = of_member("b", "finetune", "infer", folds=FOLDS)
    assert repo.repro() == once("check", *changed, "soup@a", *DISTILL, "external@theirs", *AFTER)
    repo.edit(lambda values: values["members"]["a"]["finetune"].update(lr=0.5))
    changed = of_member("a", "finetune", "infer", folds=FOLDS)
    assert repo.repro() == once("check", *changed, *FIXRES, *PSEUDO, "soup@a", *DISTILL, *AFTER)
    (repo.root / "data/contest/test/new.png").write_text("new")
    ran = repo.repro()
    assert ran.keys() >= {"infer_fixres@a", *PSEUDO, *DISTILL, "external@theirs", *AFTER}
    assert not ran.keys() & {"fixres@a-0", "check", "weights@a"}


def test_with_data_thrown_away_it_is_rebuilt(repo: Graph) -> None:
    """ensemble depends on folders that nothing but check makes where the maps are empty."""
    for name in ("data/infer_fixres", "data/external", "data/check"):
        shutil.rmtree(repo.root / name)
    assert set(repo.repro()) <= {"check", *AFTER}
    assert repo.repro() == {}


def test_extra_images_reach_every_training(repo: Graph) -> None:
    put(repo, "extra", "others", {"pattern": "^others/"})
    assert repo.repro().keys() >= {"check", "split", "extra@others", *TRAINING, *AFTER}
