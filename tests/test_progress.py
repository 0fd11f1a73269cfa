"""Progress bars: PODIUM_PROGRESS decides, and else the terminal."""

import sys

import pytest

from podium.core import progress


@pytest.mark.parametrize(("wanted", "terminal", "shown"), [("0", True, False), ("1", False, True), ("", True, True),
                                                           ("", False, False)])  # fmt: skip
def test_bars_show_on_a_terminal_unless_the_variable_decides(
    monkeypatch: pytest.MonkeyPatch, wanted: str, terminal: bool, shown: bool
) -> None:
    monkeypatch.setenv("PODIUM_PROGRESS", wanted)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    assert progress.shown() == shown
