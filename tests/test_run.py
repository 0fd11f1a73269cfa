"""`make`'s wrapper of `dvc repro`, with scripts in the place of DVC."""

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from podium.core import tables
from tests import tiny
from tests.graph import PROJECT
from tests.test_check import project
from tools import run, run_estimate, run_screen, speed

PARAMS = "members: {a: {}, b: {}}\nfolds: [0, 1]\n"
GRAPH = """
stages:
  check: {cmd: x}
  weights: {foreach: "${members}", do: {cmd: x}}
  finetune: {matrix: {member: "${members}", fold: "${folds}"}, cmd: x}
  page: {cmd: x}
"""
FAKE = r"""
import sys
print("'demo/images.dvc' didn't change, skipping")
print("Stage 'check' didn't change, skipping\n")
print("Running stage 'weights@a':\n> python -m stages.weights a")
print("weights@a: WARNING: slow network")
print("weights@a: 12 values")
sys.stdout.flush()
sys.stderr.write("\rweights@a:  50%|###  | 1/2\rweights@a: 100%|######| 2/2\n")
sys.stderr.flush()
print("Updating lock file 'dvc.lock'\n")
print("Running stage 'finetune@a-0':\n> python -m stages.finetune a 0")
print("Generating lock file 'dvc.lock'")
print("To track the changes with git, run:\n\n\tgit add dvc.lock\n")
print("Use `dvc push` to send your updates to remote storage.")
"""
FAILING = r"""
import sys
print("Running stage 'page':\n> python -m stages.page")
print("Traceback (most recent call last):\nERROR: params.yaml: nothing works")
sys.exit("ERROR: failed to reproduce 'page'")
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "params.yaml").write_text(PARAMS)
    (tmp_path / "dvc.yaml").write_text(GRAPH)
    live = tmp_path / "data/finetune/a/0.live"
    live.mkdir(parents=True)
    (live / "metrics.json").write_text('{"held_out": {"accuracy_score": 0.81, "log_loss": 0.5}, "step": 3}')
    return tmp_path


def command(root: Path, script: str) -> tuple[str, str]:
    (root / "fake.py").write_text(script)
    return sys.executable, "fake.py"


def log_of(root: Path) -> str:
    (log,) = (root / "logs").glob("*.log")
    return log.read_text()


def test_a_stage_is_a_line_with_time_and_result_and_warnings_come_once_at_the_end(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run.run(command(root, FAKE), root) == 0
    lines = capsys.readouterr().out.splitlines()
    weights, finetune, unchanged, warning, where = lines
    assert weights.split()[:2] == ["weights@a", "0:00"]
    assert "12 values" in weights
    assert "accuracy score 0.8100" in finetune
    assert unchanged.endswith(" 2")
    assert "slow network" in warning
    assert "logs/" in where
    assert "git add dvc.lock" in log_of(root)
    assert "slow network" in log_of(root)


def test_without_a_terminal_a_stages_line_is_shown_whole(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = f"{'word ' * 100}end"
    script = f"print(\"Running stage 'page':\\npage: {words}\")"
    assert run.run(command(root, script), root) == 0
    assert words in capsys.readouterr().out


def test_the_output_of_a_stage_that_fails_is_shown_and_the_status_is_dvcs(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run.run(command(root, FAILING), root) == 1
    shown = capsys.readouterr().out
    for words in ("page", "Traceback", "nothing works", "failed to reproduce"):
        assert words in shown
    assert run.run(command(root, "raise SystemExit(255)"), root) == 255


def test_on_a_terminal_the_bar_of_the_running_stage_is_shown_and_the_log_has_lines_alone(root: Path) -> None:
    leader, follower = pty.openpty()
    words = [sys.executable, "-c", RUN, *command(root, FAKE)]
    with subprocess.Popen(words, cwd=root, env=environment(), stdout=follower, stderr=follower) as started:
        os.close(follower)
        shown = read_all(leader)
    assert started.returncode == 0
    assert "50%|" in shown
    assert "50%|" not in log_of(root)


def test_the_time_left_comes_from_earlier_runs_and_from_stages_alike(root: Path) -> None:
    assert run_estimate.stages(root) == [
        "check", "weights@a", "weights@b", "finetune@a-0", "finetune@a-1", "finetune@b-0", "finetune@b-1", "page",
    ]  # fmt: skip
    known = {"weights@a": 2.0, "finetune@a-0": 60.0, "finetune@b-0": 20.0}
    assert run_estimate.seconds_left(["weights@a", "finetune@a-1"], known) == (62.0, 0)
    assert run_estimate.seconds_left(["weights@b", "finetune@c-0", "page"], known) == (42.0, 1)
    assert run_estimate.sentence(["page"], root) == ""
    (root / "logs").mkdir()
    (root / "logs/seconds.csv").write_text("2026-11-29T00:00:00,page,9.0\n2026-11-29T00:00:01,page,3700.0\n")
    assert "1:01:40" in run_estimate.sentence(["page"], root)


def test_stages_that_never_ran_are_estimated_from_passes_that_are_timed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project(tmp_path, members={name: tiny.member(finetune={"epochs": n}) for name, n in {"a": 8, "b": 2}.items()})
    (tmp_path / "dvc.yaml").write_text((PROJECT / "dvc.yaml").read_text())
    monkeypatch.setattr(speed, "seconds_per_image", lambda *_: 100.0)
    run.main("plan", root=tmp_path)
    assert "timing a" in (out := capsys.readouterr().out)
    assert "time: about" in out
    seconds = tables.read_json(tmp_path / run_estimate.ESTIMATES)
    known = {"finetune@b-0": 1.0}
    left = [run_estimate.seconds_left([name], known, seconds)[0] for name in ("finetune@b-1", "finetune@a-1", "page")]
    assert left == [1.0, seconds["finetune@a-1"], 0.0]
    assert seconds["finetune@a-0"] > 3 * seconds["finetune@b-0"]
    monkeypatch.setattr(speed, "seconds_per_image", lambda *_: pytest.fail("timed again"))
    run.main("plan", root=tmp_path)


def test_every_stage_of_the_project_is_named_as_dvc_names_it() -> None:
    names = run_estimate.stages(PROJECT)
    assert {"check", "prepare@train", "weights@resnet", "finetune@vovnet-2", "page"} <= set(names)


RUN = "import sys; from pathlib import Path; from tools import run; sys.exit(run.run(sys.argv[1:], Path()))"
WAITING = r"""
import signal, subprocess, sys
stage = "import os, signal, sys, time\nsignal.signal(signal.SIGINT, lambda *_: (print('state saved'), sys.exit(130)))\n"
stage += "print('stage started', flush=True)\ntime.sleep(20)"
print("Running stage 'page':", flush=True)
signal.signal(signal.SIGINT, signal.SIG_IGN)  # as DVC does while a stage runs
sys.exit(subprocess.run([sys.executable, "-c", stage], check=False).returncode and 255)
"""


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(PROJECT), "PODIUM_PROGRESS": "1"}


def read_all(leader: int) -> str:
    shown = b""
    try:
        while chunk := os.read(leader, 4096):
            shown += chunk
    except OSError:  # Linux: the terminal's other end is closed
        pass
    return shown.decode()


def started_waiting(root: Path, script: str) -> "subprocess.Popen[str]":
    words = [sys.executable, "-c", RUN, *command(root, script)]
    process = subprocess.Popen(
        words, cwd=root, env=environment(), stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    until = time.monotonic() + 20
    while not (list((root / "logs").glob("*.log")) and "started" in log_of(root)):
        assert time.monotonic() < until
        time.sleep(0.05)
    return process


@pytest.mark.usefixtures("default_actions")
def test_a_ctrl_c_ends_the_stage_in_order_and_its_words_are_shown(root: Path) -> None:
    process = started_waiting(root, WAITING)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal sends it
    shown, _ = process.communicate(timeout=20)
    assert process.returncode == 255
    assert "state saved" in shown


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_to_make_alone_ends_dvc(root: Path, number: signal.Signals) -> None:
    process = started_waiting(root, "import time\nprint('started', flush=True)\ntime.sleep(20)")
    process.send_signal(number)
    process.communicate(timeout=10)
    assert process.returncode == 128 + number


def test_a_warning_is_known_by_its_mark_and_a_cut_line_says_so() -> None:
    assert run_screen.is_warning("check: WARNING: neither git nor DVC tracks x")
    assert run_screen.is_warning("lib.py:3: UserWarning: old")
    assert not run_screen.is_warning("audit: label from mean colours (content: no warning): AUC 0.620")
    assert run_screen.cut("x" * 300, 20) == "x" * 17 + "..."
