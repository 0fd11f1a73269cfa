"""A slice of docs/measure/fuzz.py: damaged files end in a result or an error that names the file or the key."""

import random
from pathlib import Path

import pytest
import yaml

from docs.measure import fuzz
from tests.graph import PROJECT


def test_damaged_images_end_in_a_result_or_a_named_problem(tmp_path: Path) -> None:
    for _, name, data in fuzz.damaged_images(27, random.Random(1)):
        (tmp_path / name).write_bytes(data)
        assert fuzz.read_image(tmp_path / name) in fuzz.GOOD


def test_damaged_tables_and_settings_end_in_a_result_or_a_named_error(tmp_path: Path) -> None:
    params = yaml.safe_load((PROJECT / "params.yaml").read_text(encoding="utf-8"))
    whole = fuzz.write_project(tmp_path, params)
    assert fuzz.run_stages(tmp_path) == "result"
    for kind, name, data in fuzz.damaged_inputs(whole, 6, 5, random.Random(1)):
        (tmp_path / name).write_bytes(data)
        assert fuzz.run_stages(tmp_path) in fuzz.GOOD, kind
        (tmp_path / name).write_bytes(whole[name])


def test_a_hang_and_a_crash_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "SECONDS", 1)

    def hang() -> str:
        while True:
            pass

    def crash() -> str:
        raise RecursionError("deep")

    assert "signal" in fuzz.tried(hang).found
    assert "RecursionError: deep" in fuzz.tried(crash).found
    assert fuzz.tried(lambda: "result").found == "result"
