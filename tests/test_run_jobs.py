"""`make JOBS=n`: stages side by side, with a script in the place of DVC (test_graph_folds.py has DVC itself)."""

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from podium.core.errors import InputError
from tests.graph import PROJECT
from tools import run, run_jobs, run_slots
from tools.run_screen import RunScreen

GRAPH = """
stages:
  split: {cmd: x}
  pretrain: {matrix: {member: "${members}", fold: "${folds}"}, cmd: x, params: [torch]}
  finetune: {matrix: {member: "${members}", fold: "${folds}"}, cmd: x, params: [torch, {params.yaml: [folds]}]}
  ensemble: {cmd: x, params: [folds]}
  distill: {foreach: "${members}", do: {cmd: x, params: [torch]}}
"""
EDGES = [
    *((f"{before}-{fold}", f"finetune@a-{fold}") for before in ("pretrain@a",) for fold in (0, 1)),
    *(("split", f"pretrain@a-{fold}") for fold in (0, 1)),
    *((f"finetune@a-{fold}", "ensemble") for fold in (0, 1)),
    ("ensemble", "distill@a"),
]
FAKE = r"""#!/bin/sh
case "$*" in
"dag --dot") cat dag ;;
"--wait-for-lock status --json"*) cat changed ;;  # without the option DVC fails after 3 s of another one's lock
*"-s "*)
  echo "Running stage '$4':"
  echo "$4 begins $CUDA_VISIBLE_DEVICES" >> ran
  if [ "$4" = "$FAILS" ]; then sleep 0.5; echo "ERROR: $4 has no memory"; exit 3; fi
  if [ "$4" = "$WAITS" ]; then exec sleep 60; fi
  n=0
  while [ "$(grep -c begins ran)" -lt "${TOGETHER:-1}" ] && [ $n -lt 200 ]; do n=$((n + 1)); sleep 0.05; done
  echo "$4 ends" >> ran
  echo "Updating lock file 'dvc.lock'" ;;
*) echo "$*" >> ran ;;
esac
"""
RUN = (
    "import sys; from pathlib import Path; from tools import run; sys.exit(run.run(('dvc', 'repro'), Path(), [{}, {}]))"
)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "params.yaml").write_text("torch: {device: auto}\nmembers: {a: {}}\nfolds: [0, 1]\n")
    (tmp_path / "dvc.yaml").write_text(GRAPH)
    (tmp_path / "dag").write_text("\n".join(f'"{one}" -> "{other}";' for one, other in EDGES))
    (tmp_path / "changed").write_text('{"pretrain@a-0": [], "pretrain@a-1": [], "distill@a": []}')
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/dvc").write_text(FAKE)
    (tmp_path / "bin/dvc").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv(run_slots.VISIBLE, raising=False)
    return tmp_path


def ran(root: Path) -> list[str]:
    return (root / "ran").read_text().splitlines()


def test_stages_run_at_once_after_those_they_need_each_in_its_slot(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOGETHER", "2")  # a stage ends when two have begun
    slots = [{run_slots.VISIBLE: "5"}, {run_slots.VISIBLE: "7"}]
    assert run.run(run.COMMAND, root, slots) == 0
    lines = ran(root)
    assert (lines[0], lines[-1]) == ("repro split", "repro")
    assert {line.split()[2] for line in lines[1:3]} == {"5", "7"}  # both begin before one ends, in any order
    for fold in "01":
        assert lines.index(f"pretrain@a-{fold} ends") < min(
            place for place, line in enumerate(lines) if line.startswith(f"finetune@a-{fold} begins")
        )
    assert lines.index("repro ensemble") < lines.index("distill@a ends")
    assert max(lines.index(f"finetune@a-{fold} ends") for fold in "01") < lines.index("repro ensemble")


def test_unchanged_stages_start_nothing(root: Path) -> None:
    (root / "changed").write_text('{"finetune@a-1": []}')
    assert run.run(run.COMMAND, root, [{}, {}]) == 0
    assert [line.split()[0] for line in ran(root) if "@" in line] == ["finetune@a-1", "finetune@a-1"]


def test_a_stage_that_fails_ends_the_others_and_is_named(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAILS", "pretrain@a-1")
    monkeypatch.setenv("WAITS", "pretrain@a-0")
    started = time.monotonic()
    assert run.run(run.COMMAND, root, [{}, {}]) == 3
    assert time.monotonic() - started < 50
    shown = capsys.readouterr().out
    assert "pretrain@a-1 has no memory" in shown
    assert "pretrain@a-0: did not finish" in shown
    assert not any(line.startswith(("finetune", "distill")) or line == "repro" for line in ran(root))


@pytest.mark.usefixtures("default_actions")
def test_a_ctrl_c_ends_all_stages_and_starts_no_other(root: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "WAITS": "pretrain@a-0"}
    process = subprocess.Popen(
        [sys.executable, "-c", RUN], cwd=root, env=environment, stdout=subprocess.PIPE, start_new_session=True
    )
    until = time.monotonic() + 60
    while not ((root / "ran").exists() and "finetune@a-1" in (root / "ran").read_text()):
        assert time.monotonic() < until
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal sends it
    process.communicate(timeout=50)
    assert process.returncode == 130
    assert not any(line.startswith("finetune@a-0") or line == "repro" for line in ran(root))


def test_one_line_shows_all_running_stages_and_how_much_of_each_is_done(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    out = io.StringIO()
    monkeypatch.setattr(out, "isatty", lambda: True)
    screen = RunScreen(out, root)
    for fold, percent in enumerate((50, 25)):
        screen.line(f"Running stage 'pretrain@a-{fold}':", f"pretrain@a-{fold}")
        screen.progress(f"pretrain: {percent:3}%|##", f"pretrain@a-{fold}")
    assert out.getvalue().endswith("pretrain@a-0 50%  pretrain@a-1 25%")


def test_the_number_of_slots_follows_the_gpus(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(run_slots.VISIBLE, "2,5")
    monkeypatch.setenv("PODIUM_WORKERS", "3")
    assert [slot[run_slots.VISIBLE] for slot in run_slots.slots("", "", root)] == ["2", "5"]
    assert [slot[run_slots.VISIBLE] for slot in run_slots.slots("", "2", root)] == ["2", "5", "2", "5"]
    assert run_slots.slots("1", "", root) == [{}]
    monkeypatch.setenv(run_slots.VISIBLE, "2,5,6,7,8")
    (root / "params.yaml").write_text("torch: {device: auto, devices: 2}\n")
    assert [slot[run_slots.VISIBLE] for slot in run_slots.slots("", "", root)] == ["2,5", "6,7"]
    (root / "params.yaml").write_text('torch: {device: auto, devices: "2"}\n')  # what every stage takes for 2
    assert [slot[run_slots.VISIBLE] for slot in run_slots.slots("", "", root)] == ["2,5", "6,7"]
    (root / "params.yaml").write_text("torch: {device: auto}\n")
    monkeypatch.setenv(run_slots.VISIBLE, "2,5")
    with pytest.raises(InputError, match="JOBS_PER_GPU=2"):
        run_slots.slots("3", "", root)
    monkeypatch.setenv(run_slots.VISIBLE, "2,-1,5")  # CUDA sees those before -1 alone
    assert run_slots.gpus("auto") == ["2"]
    monkeypatch.setenv(run_slots.VISIBLE, "")
    assert run_slots.slots("", "", root) == [{}]
    assert run_slots.slots("3", "", root) == [{}, {}, {}]
    for jobs, each in (("3", "2"), ("0", ""), ("many", "")):
        with pytest.raises(InputError, match="JOBS"):
            run_slots.slots(jobs, each, root)


def test_the_stages_that_train_or_predict_are_found_in_dvc_yaml() -> None:
    found = run_jobs.side_by_side(PROJECT)
    assert {"probe", "pretrain", "finetune", "fixres", "pseudo", "distill", "infer", "infer_pretrain"} <= found
    assert not found & {"check", "split", "ensemble", "audit", "weights", "joint_probe"}
