from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import Field

from podium.core import params
from podium.core.errors import InputError


class Example(params.Section):
    lr: float = Field(gt=0)
    name: str = "a"
    flag: bool = False
    count: int | None = None
    sizes: tuple[int, ...] = ()
    inner: dict[str, int] = Field(default_factory=dict)


class Renamed(params.Section):
    RENAMED: ClassVar[dict[str, str]] = {"views": "transforms", "old": "new"}

    transforms: tuple[str, ...] = ()
    new: int = 0


class Outer(params.Section):
    lr: float = 1.0
    infer: dict[str, Renamed] = Field(default_factory=dict)


def test_scientific_notation_that_yaml_reads_as_text_is_a_number() -> None:
    assert params.parse({"lr": "1e-4"}, "x", Example).lr == 1e-4


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"lr": 1, "lrr": 2}, ["x.lrr", "unknown key"]),
        ({"lr": 0}, ["x.lr", "greater than 0"]),
        ({"lr": float("inf")}, ["x.lr", "finite"]),
        ({"lr": float("nan")}, ["x.lr", "finite"]),
        ({"lr": True}, ["x.lr", "boolean"]),
        ({"lr": 1, "name": True}, ["x.name", "boolean"]),
        ({"lr": 1, "count": False}, ["x.count", "boolean"]),
        ({"lr": "yes"}, ["x.lr", "number"]),
        ({"name": "a"}, ["x.lr: missing"]),
        ({"lr": 1, "sizes": 64}, ["x.sizes: must be a list: [64]"]),
        ({"lr": 1, "sizes": {"a": 1}}, ["x.sizes: must be a list: [{'a': 1}]"]),
        ({"lr": 1, "sizes": None}, ["x.sizes: must be a list (got null)"]),
        ({"lr": 1, "inner": 3}, ["x.inner: must be a map, {} where it holds nothing (got 3)"]),
        ({"lr": 1, "name": None}, ["x.name: must be text (got null)"]),
    ],
)
def test_wrong_values_are_named_with_their_key(values: dict[str, object], words: list[str]) -> None:
    with pytest.raises(InputError) as raised:
        params.parse(values, "x", Example)
    assert all(word in str(raised.value) for word in ["params.yaml", *words]), str(raised.value)


def test_an_old_key_is_named_with_its_new_one() -> None:
    values = {"lr": -1, "infer": {"a": {"views": ["hflip"], "old": 1}, "b": {"transforms": ["hflip"]}}, "typo": 1}
    with pytest.raises(InputError) as raised:
        params.parse(values, "x", Outer)
    assert sorted(str(raised.value).splitlines()) == [
        "params.yaml: x.infer.a.old: is called new now: rename the key",
        "params.yaml: x.infer.a.views: is called transforms now: rename the key",
        "params.yaml: x.typo: unknown key; remove it or correct its spelling",
    ]
    with pytest.raises(InputError, match=r"^params\.yaml: x\.views: is called transforms"):
        params.parse({"views": ["hflip"]}, "x", Renamed)
    assert params.parse({"infer": {"b": {"transforms": ["hflip"]}}}, "x", Outer).infer["b"].transforms == ("hflip",)


def test_a_fault_of_the_whole_has_no_key() -> None:
    with pytest.raises(InputError, match=r"^params\.yaml: [^:]"):
        params.parse(3, "", Example)


def test_every_fault_is_reported_at_once() -> None:
    with pytest.raises(InputError, match=r"(?s)x\.lr.*x\.typo|x\.typo.*x\.lr"):
        params.parse({"lr": -1, "typo": 1}, "x", Example)


def test_a_boolean_is_accepted_for_a_boolean_setting() -> None:
    assert params.parse({"lr": 1, "flag": True}, "x", Example).flag


def test_a_section_that_is_no_map_is_named() -> None:
    with pytest.raises(InputError, match=r"x: must be a map of settings \(got null\)"):
        params.parse(None, "x", Example)


@pytest.mark.parametrize("text", ["a: [1\n", "a: \x07\n", "a: *b\n"])
def test_a_fault_of_yaml_is_placed_in_the_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(InputError, match=r"not valid YAML: (?s:.*)in params\.yaml, (line 1|position)") as raised:
        params.read(tmp_path)
    assert "<" not in str(raised.value).replace("<stream end>", "")


LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 30))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x: " + "[" * 10_000, "deep"),
        ("x: " + "[" * 100 + "]" * 100, "deep"),
        ("x: &m {a: *m}\n", "x: .*itself"),  # a map that holds itself
        ('x: {a: "\\ud800"}\n', "x: .*half"),
        (LAUGHS, "anchors"),  # 9 ** 29 values
        ("x: " + "{a: " * 300 + "1" + "}" * 300, "deep"),
    ],
)
def test_values_that_would_keep_their_reader_busy_are_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(InputError, match=rf"params\.yaml: .*{words}"):
        params.read(tmp_path)


@pytest.mark.parametrize("text", ["a: [1\n", "- 1\n", "", "a: 2026-13-45\n"])
def test_a_file_that_is_no_map_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(InputError, match=r"params\.yaml"):
        params.read(tmp_path)


def test_a_missing_file_or_section_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not found"):
        params.read(tmp_path)
    with pytest.raises(InputError, match=r"members\.b\.infer"):
        params.section({"members": {"b": {}}}, "members.b.infer")
