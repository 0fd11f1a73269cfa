"""How a user's mistake is shown: file names in a message may hold control characters that a terminal would obey."""

import errno
import gc
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from podium.core import cli
from podium.core.errors import InputError, legible, some


def test_control_characters_are_spelled_out_and_nothing_else() -> None:
    assert legible("a\x1b[2Jb\n\r\t\x7f\x9b") == r"a\x1b[2Jb\n\r\t\x7f\x9b"
    assert legible("a\u202egpj.exe\u2028\udcff") == r"a\u202egpj.exe\u2028\udcff"  # as a name, a.exe.jpg
    for text in ("plain.jpg", "é\u0301 福 👩\u200d🔬", r"back\slash"):
        assert legible(text) == text


def test_names_in_a_list_keep_to_their_line() -> None:
    assert some(["a\nERROR: b", "c"]) == r"a\nERROR: b, c"
    assert some(["a", "b\x1b", "c"], 1) == "a and 2 more"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[[], None]], None]]:
    """Run a failing `main` as a stage; afterwards the garbage collector is as before."""
    monkeypatch.setattr(sys, "argv", ["main"])
    limits = gc.get_threshold()

    def run(main: Callable[[], None]) -> None:
        with pytest.raises(SystemExit, match="1"):
            cli.run(main)

    yield run
    gc.set_threshold(*limits)
    gc.unfreeze()


def test_a_full_disk_is_an_error_of_one_line(
    capsys: pytest.CaptureFixture[str], run: Callable[[Callable[[], None]], None]
) -> None:
    def main() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "models/a.safetensors")

    run(main)
    (line,) = capsys.readouterr().err.splitlines()
    assert "models/a.safetensors" in line


def test_an_error_is_printed_in_its_own_lines_without_commanding_the_terminal(
    capsys: pytest.CaptureFixture[str], run: Callable[[Callable[[], None]], None]
) -> None:
    def main() -> None:
        raise InputError("first \x1b]0;title\x07: wrong\nsecond\r: wrong")

    run(main)
    assert capsys.readouterr().err == "ERROR: first \\x1b]0;title\\x07: wrong\nsecond\\r: wrong\n"


def test_a_terminal_that_is_not_utf8_gets_escapes(tmp_path: Path) -> None:
    (tmp_path / "stage.py").write_text("from podium.core import cli\ncli.run(lambda: print('\\u798f'))\n")
    environment = os.environ | {"PYTHONIOENCODING": "ascii:strict", "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(
        [sys.executable, str(tmp_path / "stage.py")], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("\\u798f\n", "")
