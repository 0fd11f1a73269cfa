"""Garbage is looked for rarely: hundreds of tests leave much that lives on."""

import gc


def pytest_configure() -> None:
    gc.set_threshold(100_000, 10, 10)


def pytest_collection_finish() -> None:
    gc.freeze()
