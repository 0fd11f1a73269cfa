"""The count of a contest's variants in a repository, and the sentence about it."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from podium.core.errors import InputError
from tools import variants

CONTEST = {"images": {"train": "data/train", "test": "data/test"}, "labels": "data/train.csv", "metric": "accuracy"}
LOCK = (
    "stages:\n  label:\n    outs:\n    - path: data/label/labels.csv\n      hash: md5\n      md5: {}\n      size: 9\n"
)


def write(root: Path, score: Any, *, contest: Any = CONTEST, labels: str = "one", lr: float = 0.1) -> dict[str, Any]:
    """Write the committed outputs of a run."""
    (root / "params.yaml").write_text(yaml.safe_dump({"contest": contest, "members": {"a": {"lr": lr}}}))
    (root / "dvc.lock").write_text(LOCK.format(labels))
    (root / "metrics").mkdir(exist_ok=True)
    summary = {"metric": "accuracy", "oof_score": score}
    (root / "metrics/summary.json").write_text(json.dumps(summary))
    return summary


def git(root: Path, *words: str) -> str:
    identity = ("-c", "user.name=n", "-c", "user.email=e@localhost", "-c", "init.defaultBranch=main")
    done = subprocess.run(["git", *identity, *words], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(root: Path) -> None:
    git(root, "add", "-A", ":!logs")
    git(root, "commit", "-qm", "a run", "--allow-empty")


def experiment(root: Path, ref: str, score: float, **changes: Any) -> None:
    """Commit a run that only a ref leads to, as DVC does; leave the workspace as it was."""
    write(root, score, **changes)
    commit(root)
    git(root, "update-ref", ref, "HEAD")
    git(root, "reset", "-q", "--hard", "HEAD~1")


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository with one committed run, which is that of the workspace."""
    git(tmp_path, "init", "-q")
    write(tmp_path, 0.9)
    commit(tmp_path)
    return tmp_path


def known(root: Path, summary: dict[str, Any] | None = None) -> list[float]:
    here = json.loads((root / "metrics/summary.json").read_text()) if summary is None else summary
    return sorted(variants.of_this_contest(root, here).values())


def test_commits_branches_experiments_and_the_workspace_count_once_each(repo: Path) -> None:
    git(repo, "checkout", "-qb", "side")
    write(repo, 0.8)
    commit(repo)
    git(repo, "checkout", "-q", "main")
    experiment(repo, "refs/exps/ab/cdef/lively-newt", 0.7)
    experiment(repo, "refs/exps/ab/cdef/slow-toad", 0.7)  # the same numbers again
    assert known(repo) == [0.7, 0.8, 0.9]
    assert known(repo, write(repo, 0.95)) == [0.7, 0.8, 0.9, 0.95]


def test_a_run_that_was_never_committed_is_remembered_where_it_was_shown(repo: Path) -> None:
    for score in (0.91, 0.92, 0.91):
        known(repo, write(repo, score))
    git(repo, "checkout", "-q", ".")
    assert known(repo) == [0.9, 0.91, 0.92]
    assert len((repo / variants.LOG).read_text().splitlines()) == 1 + 3


def test_settings_that_were_committed_before_they_ran_and_change_no_number_are_no_variant(repo: Path) -> None:
    write(repo, 0.9, lr=0.2)
    commit(repo)
    assert known(repo) == [0.9]


@pytest.mark.parametrize(
    "ref", ["refs/stash", "refs/exps/stash", "refs/exps/celery/failed", "refs/exps/exec/EXEC_HEAD"]
)
def test_what_waits_failed_or_runs_is_no_variant(repo: Path, ref: str) -> None:
    experiment(repo, ref, 0.1)
    assert known(repo) == [0.9]


def test_another_contest_is_told_by_its_section_and_by_its_labels(repo: Path) -> None:
    experiment(repo, "refs/exps/ab/cdef/metric", 0.5, contest={**CONTEST, "metric": "macro_f1"})
    experiment(repo, "refs/exps/ab/cdef/labels", 0.6, labels="others")
    experiment(repo, "refs/exps/ab/cdef/mine", 0.7)
    assert known(repo) == [0.7, 0.9]
    git(repo, "rm", "-q", "dvc.lock")
    assert known(repo) == [0.6, 0.7, 0.9]  # whose labels the workspace's are is not known


@pytest.mark.parametrize(
    "text",
    [
        "# made by hand\ncontest:   # the data\n{0}\n\n# who\nmembers: {{a: 1}}\n",
        "shared: &images {{train: data/train, test: data/test}}\ncontest:\n{0}\n",
        "members: {{a: 1}}\ncontest: {{\n{1}\n}}\nfolds: [0]\n",
    ],
)
def test_a_contest_is_the_same_however_its_section_is_written(repo: Path, text: str) -> None:
    images = "*images" if "shared" in text else "{train: data/train, test: data/test}"
    lines = [f"images: {images}", "# labels", "labels: data/train.csv", "metric: accuracy"]
    block, flow = "\n".join(f"  {line}" for line in lines), ",\n".join(line for line in lines if line[0] != "#")
    write(repo, 0.8)
    (repo / "params.yaml").write_text(text.format(block, flow))
    commit(repo)
    git(repo, "checkout", "-q", "HEAD~1")
    git(repo, "update-ref", "refs/exps/ab/cdef/e", "main")
    assert known(repo) == [0.8, 0.9]


def test_commits_that_hold_no_run_are_passed_over(repo: Path) -> None:
    for path, text in {"params.yaml": "a: [", "metrics/summary.json": "{", "dvc.lock": ""}.items():
        before = (repo / path).read_text()
        (repo / path).write_text(text)
        (repo / "metrics/summary.json").write_text(f'{{"changed by": "{path}"}}' if path != "dvc.lock" else "[]")
        commit(repo)
        (repo / path).write_text(before)
    assert known(repo, write(repo, 0.9)) == [0.9]


@pytest.mark.parametrize("before", ["nothing", "a repository without commits"])
def test_without_commits_the_log_counts(tmp_path: Path, before: str) -> None:
    if before != "nothing":
        git(tmp_path, "init", "-q")
    assert known(tmp_path, write(tmp_path, 0.8)) == [0.8]
    assert known(tmp_path, write(tmp_path, 0.9)) == [0.8, 0.9]


def test_a_project_in_a_folder_of_a_repository_is_read_there(repo: Path) -> None:
    inner = repo / "inner"
    inner.mkdir()
    write(inner, 0.6)
    commit(repo)
    write(inner, 0.7)
    assert known(inner) == [0.6, 0.7]


def test_without_git_the_log_counts(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert known(repo) == [0.9]


def test_a_damaged_log_is_named(repo: Path) -> None:
    path = repo / variants.LOG
    for text in ("contest,score\na,1\n", f"{','.join(variants.SHOWN.columns)}\na,b,c,high\n", ""):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        with pytest.raises(InputError, match=r"logs/variants\.csv: .*delete it"):
            known(repo)


def test_the_same_commands_whatever_the_number_of_experiments(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    run = variants._git
    monkeypatch.setattr(
        variants, "_git", lambda root, *words, **options: calls.append(words[0]) or run(root, *words, **options)
    )
    known(repo)
    once = list(calls)
    for k in range(5):
        experiment(repo, f"refs/exps/ab/cdef/e{k}", 0.5 + k / 100)
    calls.clear()
    assert len(known(repo)) == 6
    assert calls == once


def test_the_best_variants_lead_over_the_mean_is_reported_in_the_metrics_direction() -> None:
    text = " ".join(variants.summary_text([0.80, 0.84, 0.88], greater_is_better=True).split())
    assert text.startswith("3 variants of this contest are known")
    assert "the best, 0.8800, leads their mean by 0.0400" in text
    assert "the best, 0.8000, leads their mean by 0.0400" in variants.summary_text(
        [0.8, 0.84, 0.88], greater_is_better=False
    ).replace("\n", " ")
    assert variants.summary_text([0.8], greater_is_better=True).startswith("1 variant of this contest is known")
