"""The faster DVC of tests/graph.py writes what DVC writes."""

import io
from collections import OrderedDict

import yaml
from dvc.utils.serialize import dumps_yaml, parse_yaml

from tests import quick_dvc
from tests.graph import PROJECT


def test_it_reads_and_writes_a_lock_as_dvc_does() -> None:
    text = (PROJECT / "docs/results/demo/dvc.lock").read_text(encoding="utf-8")
    lock = parse_yaml(text, "dvc.lock")
    lock["ordered"] = OrderedDict([("b", 1), ("a", OrderedDict(c=2))])
    lock["hashes"] = {"of digits": "0123456789", "like a float": "12e34567", "like a date": "2026-11-28", "none": None}
    plain = parse_yaml(dumps_yaml(lock), "dvc.lock")
    assert quick_dvc.parse(text, "dvc.lock") == parse_yaml(text, "dvc.lock")
    written = io.StringIO()
    quick_dvc.dump(lock, written)
    assert yaml.safe_load(written.getvalue()) == yaml.safe_load(dumps_yaml(lock))
    assert list(plain) == list(parse_yaml(written.getvalue(), "dvc.lock")) == list(lock)
