"""Signals end a stage: in order at first, at once at the second Ctrl-C, and with the process that started it."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from podium.core import interrupts
from tests.graph import PROJECT

SLOW_TO_END = """
import time
from podium.core import cli
def main():
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("closing", flush=True)
        time.sleep({seconds})
cli.run(main)
"""
WORKERS = """
import time
from podium.core import parallel
print("ready", flush=True)
list(parallel.in_order(time.sleep, [60, 60], workers=2, name=str))
"""
SHARING = """
from multiprocessing import process, resource_sharer
from multiprocessing.connection import Client
from podium.core import interrupts
print("ready", flush=True)
interrupts.leave_to_parent()
shared = resource_sharer.DupFd(0)
Client(shared._id[0], authkey=process.current_process().authkey).close()
shared.detach()  # the thread that shares has seen the end above
"""

pytestmark = pytest.mark.usefixtures("default_actions")


def started(program: str, **environment: str) -> subprocess.Popen[str]:
    """Start a program; return when it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=PROJECT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def wait_for(true: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("number", interrupts.SIGNALS)
def test_the_first_signal_ends_a_stage_in_order(number: signal.Signals) -> None:
    process = started(SLOW_TO_END.format(seconds=0), DVC_STAGE="finetune")
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert out == "closing\n"
    assert process.returncode == 128 + number
    assert number.name in err
    assert "dvc repro" in err
    assert "Traceback" not in err


def test_a_second_ctrl_c_ends_at_once_and_a_second_sigterm_does_not() -> None:
    process = started(SLOW_TO_END.format(seconds=60))
    assert process.stdout is not None
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "closing\n"
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGUSR1)
    time.sleep(0.2)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == -signal.SIGINT


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interrupts.watched():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


LOST = """
import os, signal, time
from podium.core import cli
class Holder:
    def __del__(self):
        os.kill(os.getpid(), signal.{name})
def main():
    print("ready", flush=True)
    Holder()  # Python drops an error in a destructor
    time.sleep({seconds})
    print("goes on", flush=True)
    time.sleep(1)
cli.run(main)
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_whose_error_was_lost_in_a_destructor_still_ends_the_stage(name: str) -> None:
    process = started(LOST.format(name=name, seconds=60))
    out, err = process.communicate(timeout=20)
    assert out == ""
    assert process.returncode == 128 + signal.Signals[name]
    assert f"ERROR: ended by {name}" in err


def test_a_signal_that_was_lost_is_raised_at_the_end_of_the_block() -> None:
    def run() -> None:
        with interrupts.watched():
            with contextlib.suppress(interrupts.StopSignal):  # as a library's `except BaseException` does
                signal.raise_signal(signal.SIGUSR1)
            with pytest.raises(interrupts.StopSignal):
                interrupts.check()

    with pytest.raises(interrupts.StopSignal):
        run()
    interrupts.check()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has died")
def test_a_stage_ends_with_the_dvc_that_started_it(tmp_path: Path) -> None:
    inner = tmp_path / "stage.py"
    inner.write_text(f"import os\nopen({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n")
    inner.write_text(inner.read_text() + SLOW_TO_END.format(seconds=0))
    outer = f"import subprocess, sys\nsubprocess.run([sys.executable, {str(inner)!r}])"
    process = started(outer, DVC_STAGE="split", PYTHONPATH=str(PROJECT))
    pid = int((tmp_path / "pid").read_text())
    process.kill()
    wait_for(lambda: not psutil.pid_exists(pid))
    out, err = process.communicate(timeout=20)
    assert out == "closing\n"
    assert "SIGTERM" in err


def test_workers_end_with_a_stage_that_is_killed() -> None:
    process = started(WORKERS)
    wait_for(lambda: len(psutil.Process(process.pid).children(recursive=True)) >= 4)  # workers, forkserver, tracker
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate(timeout=20)
    gone, alive = psutil.wait_procs(children, timeout=20)
    assert gone
    assert not alive


def test_a_worker_whose_parent_ends_while_it_takes_an_image_prints_no_traceback() -> None:
    """torch's loaders hand over images by a thread of the worker, which prints what ends a connection."""
    process = started(SHARING)
    assert process.communicate(timeout=20)[1] == ""
    assert process.returncode == 0
