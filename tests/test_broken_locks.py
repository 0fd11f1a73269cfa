"""A dvc.lock that a kill has cut off is moved away; a whole one stays, and so does any while DVC runs."""

import fcntl
from pathlib import Path

import pytest

from podium.preflight import broken_locks

LOCK = """schema: '2.0'
stages:
  check:
    cmd: python -m stages.check
    deps:
    - path: podium/core
      hash: md5
      md5: 0123456789abcdef0123456789abcdef.dir
    params:
      params.yaml:
        clip_grad:
    outs:
    - path: data/check/ok.txt
      hash: md5
      md5: 0123456789abcdef0123456789abcdef
"""
LINES = LOCK.splitlines(keepends=True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    return tmp_path


def test_a_whole_lock_stays(root: Path) -> None:
    (root / "dvc.lock").write_text(LOCK)
    (root / broken_locks.RWLOCK).write_text("{}")
    assert not list(broken_locks.remove(root))
    assert (root / "dvc.lock").read_text() == LOCK
    assert (root / broken_locks.RWLOCK).exists()
    assert not (root / "logs").exists()


@pytest.mark.parametrize(
    "text",
    ["", *("".join(LINES[:n]) for n in (1, 2, 3, 5, 9, 12)), LOCK[:-1], LOCK[:100], LOCK.replace("path: data", "pa")],
)
def test_a_lock_that_is_cut_off_is_moved_away(root: Path, text: str) -> None:
    for name in broken_locks.LOCKS:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
    (root / broken_locks.RWLOCK).write_text("")
    messages = list(broken_locks.remove(root))
    assert [name in message for name, message in zip(broken_locks.LOCKS, messages, strict=True)] == [True, True]
    assert not any((root / name).exists() for name in (*broken_locks.LOCKS, broken_locks.RWLOCK))
    assert (root / "logs/broken-demo-dvc.lock").read_text() == text


def test_nothing_is_moved_while_dvc_runs(root: Path) -> None:
    (root / "dvc.lock").write_text("")
    with (root / ".dvc/tmp/lock").open("a") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        assert not list(broken_locks.remove(root))
    assert (root / "dvc.lock").exists()
