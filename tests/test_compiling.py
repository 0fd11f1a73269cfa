"""The bound on the time of torch.compile."""

import subprocess
import sys
import threading

import pytest

from podium.core.errors import InputError
from podium.training import compiling


def test_a_call_that_takes_too_long_ends_the_process_and_others_do_not() -> None:
    ended, said = threading.Event(), []
    watch = compiling.CompileWatch("finetune@a-0", 0.05, lambda message: (said.append(message), ended.set())[1])
    for _ in range(3):
        with watch:
            pass
        assert not ended.wait(0.1)
    with watch:
        assert ended.wait(30)
    assert "finetune@a-0: torch.compile takes longer than 0.05 seconds" in said[0]
    assert "compile: false" in said[0]


def test_the_end_is_an_error_of_one_line_even_where_no_signal_is_handled() -> None:
    code = "from podium.training import compiling; compiling._end_process('too long')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "ERROR: too long\n")


@pytest.mark.parametrize("wrong", ["0", "-1", "ten"])
def test_a_wrong_bound_is_named(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv(compiling.VARIABLE, wrong)
    with pytest.raises(InputError, match=f"PODIUM_COMPILE_SECONDS is '{wrong}'"):
        compiling.watch("a")
