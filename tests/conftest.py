"""Garbage is looked for rarely, because hundreds of tests leave much that lives on. Slow files run first.

The fork server, from which worker processes come, imports torch and more once for all tests of a process.
"""

import gc
import signal
from collections.abc import Iterator
from multiprocessing import forkserver

import pytest

from docs.measure import faults
from podium.core import interrupts
from podium.core.cli import RARELY
from tests.quick_dvc import BY_STAGES


def pytest_configure() -> None:
    gc.set_threshold(*RARELY)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Start the fork server before a test whose workers need little: what it imports is fixed from then on."""
    if session.config.getoption("numprocesses", None) and not hasattr(session.config, "workerinput"):
        return  # pytest-xdist's first process runs no test
    forkserver.set_forkserver_preload(["podium.training.trainer", *BY_STAGES])
    forkserver.ensure_running()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files with slow tests first: a long one at the end would leave the other process without work."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    gc.freeze()


@pytest.fixture
def default_actions() -> Iterator[None]:
    """Let programs start with the default actions: under nohup or `&` they would inherit that signals are ignored."""
    before = {number: signal.getsignal(number) for number in interrupts.SIGNALS}
    faults.keep_from_children()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
