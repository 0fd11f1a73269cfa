"""The faster DVC of tests/graph.py writes what DVC writes, and runs stages as DVC does."""

import io
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

from dvc.utils.serialize import dumps_yaml, parse_yaml

from tests import quick_dvc
from tests.graph import PROJECT

STAGE = """
import os, sys
print(os.getcwd(), os.environ["NAME"], *sys.argv[1:])
sys.exit(int(sys.argv[-1]))
"""
PROGRAM = """
import sys
from tests import quick_dvc
for command in ("python -m said word 0", "python said.py 0", "python -m said 3"):
    quick_dvc.run_stage("/bin/sh", command, cwd=sys.argv[1], env={"NAME": "value"}, shell=False)
"""


def test_it_reads_and_writes_a_lock_as_dvc_does() -> None:
    text = (PROJECT / "docs/results/demo/dvc.lock").read_text(encoding="utf-8")
    lock = parse_yaml(text, "dvc.lock")
    lock["ordered"] = OrderedDict([("b", 1), ("a", OrderedDict(c=2))])
    lock["hashes"] = {"of digits": "0123456789", "like a float": "12e34567", "like a date": "2026-11-28", "none": None}
    lock["numbers"] = [1e-05, 1e22, 0.1, 3, True, -2e-300]
    plain = parse_yaml(dumps_yaml(lock), "dvc.lock")
    read = quick_dvc.Reader(parse_yaml)
    read(text, "dvc.lock").clear()  # what is read again does not have the changes of the first reader
    assert read(text, "dvc.lock") == parse_yaml(text, "dvc.lock")
    written = io.StringIO()
    read.dump(lock, written)
    by_dvc = parse_yaml(written.getvalue(), "dvc.lock")
    assert plain == by_dvc == read(written.getvalue(), "dvc.lock")
    assert list(plain) == list(by_dvc) == list(lock)
    assert quick_dvc.Reader(parse_yaml)(dumps_yaml(lock), "dvc.lock") == plain


def test_a_stage_has_its_folder_environment_and_words_and_its_failure_is_dvcs(tmp_path: Path) -> None:
    (tmp_path / "said.py").write_text(STAGE)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], cwd=PROJECT, text=True, capture_output=True, check=False
    )
    assert done.stdout.splitlines() == [f"{tmp_path} value word 0", f"{tmp_path} value 0", f"{tmp_path} value 3"]
    assert done.returncode == 1
    assert "StageCmdFailedError: failed to run: python -m said 3, exited with 3" in done.stderr
