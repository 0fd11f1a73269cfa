"""The script that disturbs runs, docs/measure/faults.py: without a run."""

import signal
import subprocess
import sys
from collections import Counter

from docs.measure import faults


def test_children_of_a_script_under_nohup_react_to_a_closed_terminal() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        faults.keep_from_children()
        command = (sys.executable, "-c", "import signal; print(signal.getsignal(signal.SIGHUP) == signal.SIG_DFL)")
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "True\n"
        signal.raise_signal(signal.SIGHUP)  # the script itself goes on
    finally:
        signal.signal(signal.SIGHUP, before)


def test_kills_are_counted_by_groups_of_stages() -> None:
    done = Counter({("Ctrl-C", "pretrain@a-0"): 2, ("Ctrl-C", "pseudo@a-1"): 1, ("Ctrl-C", "page"): 1})
    assert faults.by_group(done) == {("Ctrl-C", "trainings"): 3, ("Ctrl-C", "blend, reports"): 1}
