"""What the optional maps `fixres` and `external` make run, and leave behind: the real dvc.yaml with quick stand-ins."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests import graph
from tests.graph import Graph, of_member
from tests.test_graph_reruns import AFTER, BLEND, FOLDS, once

pytestmark = pytest.mark.slow

FIXRES = of_member("a", "fixres", "infer_fixres", folds=FOLDS)
SETTINGS = {"image_size": 80, "epochs": 1, "lr": 0.1}
GIVEN = {"oof": "data/contest/oof.csv", "test": "data/contest/their_test.csv"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    return graph.built(tmp_path_factory.getbasetemp() / "one_fold", FOLDS)


@pytest.fixture
def repo(built: Graph, tmp_path: Path) -> Graph:
    repo = built.copy(tmp_path)
    for path in GIVEN.values():
        (repo.root / path).write_text(path)
    return repo


def put(repo: Graph, section: str, name: str, settings: dict[str, Any]) -> None:
    repo.edit(lambda values: values[section].update({name: settings}))


def files(repo: Graph) -> set[str]:
    """Every file under models/ and data/."""
    tops = (repo.root / "models", repo.root / "data")
    return {str(path.relative_to(repo.root)) for top in tops for path in top.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("section", "name", "settings", "runs"),
    [("fixres", "a", SETTINGS, FIXRES), ("external", "theirs", GIVEN, ["external@theirs"])],
    ids=["fixres", "external"],
)
def test_an_entry_runs_its_own_stages_and_taken_out_again_leaves_nothing(
    repo: Graph, section: str, name: str, settings: dict[str, Any], runs: list[str]
) -> None:
    stages, before, blend, lock = repo.stages(), files(repo), [repo.read(path) for path in BLEND], repo.lock()
    assert not {stage.partition("@")[0] for stage in stages} & {"fixres", "infer_fixres", "external"}
    put(repo, section, name, settings)
    assert repo.repro() == once("check", *runs, *AFTER)
    assert files(repo) > before
    assert [repo.read(path) for path in BLEND] != blend
    repo.edit(lambda values: values[section].clear())
    assert set(repo.repro()) <= {"check", *AFTER}
    assert files(repo) == before
    assert [repo.read(path) for path in BLEND] == blend
    assert {stage: entry for stage, entry in repo.lock().items() if stage in lock} == lock
    put(repo, section, name, settings)
    assert set(repo.repro()) <= {"check", *AFTER}  # the cache brings it back
    assert repo.repro() == {}


def test_back_at_a_commit_without_them_nothing_runs(repo: Graph) -> None:
    repo.commit()
    put(repo, "fixres", "a", SETTINGS)
    put(repo, "external", "theirs", GIVEN)
    repo.repro()
    repo.revert()
    assert repo.repro() == {}
    assert repo.run("git", "status", "--short") == ""


def test_a_change_reruns_what_follows_it_alone(repo: Graph) -> None:
    put(repo, "fixres", "a", SETTINGS)
    put(repo, "external", "theirs", GIVEN)
    repo.repro()
    put(repo, "fixres", "a", SETTINGS | {"lr": 0.2})
    (repo.root / GIVEN["oof"]).write_text("others")
    assert repo.repro() == once("check", *FIXRES, "external@theirs", *AFTER)
    repo.edit(lambda values: values["members"]["a"]["finetune"].update(lr=0.5))
    assert repo.repro() == once("check", *of_member("a", "finetune", "infer", folds=FOLDS), *FIXRES, *AFTER)
    repo.edit(lambda values: values["members"]["b"]["finetune"].update(lr=0.5))
    assert repo.repro() == once("check", *of_member("b", "finetune", "infer", folds=FOLDS), *AFTER)
    (repo.root / "data/contest/test/new.png").write_text("new")
    ran = repo.repro()
    assert ran.keys() >= {"infer_fixres@a", "external@theirs", *AFTER}
    assert not ran.keys() & {"fixres@a-0", "check", "probe@a"}


def test_with_data_thrown_away_it_is_rebuilt(repo: Graph) -> None:
    """ensemble depends on folders that nothing but check makes where the maps are empty."""
    for name in ("data/infer_fixres", "data/external", "data/check"):
        shutil.rmtree(repo.root / name)
    assert set(repo.repro()) <= {"check", *AFTER}
    assert repo.repro() == {}
