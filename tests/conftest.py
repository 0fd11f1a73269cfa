"""Garbage is looked for rarely: hundreds of tests leave much that lives on."""

import gc

from podium.core.cli import RARELY


def pytest_configure() -> None:
    gc.set_threshold(*RARELY)


def pytest_collection_finish() -> None:
    gc.freeze()
