"""params.schema.json, which editors read: it is current, accepts all recipes, refuses what `check` refuses."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from podium.core import params
from podium.core.errors import InputError
from podium.preflight.settings import Podium
from tests import json_schema
from tests.graph import PROJECT
from tests.test_settings import whole
from tools import params_schema

FILES = [PROJECT / "params.yaml", *sorted((PROJECT / "recipes").rglob("*.yaml"))]
SCHEMA: dict[str, Any] = json.loads((PROJECT / params_schema.PATH).read_text(encoding="utf-8"))


def broken(values: Any) -> list[str]:
    return list(json_schema.errors(values, SCHEMA, SCHEMA))


def test_it_is_current() -> None:
    current = (PROJECT / params_schema.PATH).read_text(encoding="utf-8")
    assert current == params_schema.text(), "run `make schema`"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(PROJECT).as_posix())
def test_each_settings_file_is_valid_and_names_it_in_its_first_line(file: Path) -> None:
    first, _, rest = file.read_text(encoding="utf-8").partition("\n")
    assert first == params_schema.LINE
    assert not broken(yaml.safe_load(rest))
    name = first.partition("$schema=")[2]
    assert (file.parent / name).resolve() == PROJECT / params_schema.PATH  # editors look beside the file
    assert not os.path.isabs(os.readlink(file.parent / name) if (file.parent / name).is_symlink() else name)  # noqa: PTH115, PTH117


def test_every_key_has_a_meaning() -> None:
    parts = {"": SCHEMA, **SCHEMA["$defs"]}
    silent = [
        f"{name}.{key}"
        for name, part in parts.items()
        for key, value in part["properties"].items()
        if "description" not in value and "$ref" not in value
    ]
    assert not silent, "say what these keys mean under `Attributes` of their class"
    assert all(part["description"] and part["additionalProperties"] is False for part in parts.values())


def test_every_meaning_is_that_of_a_key() -> None:
    classes = set(params_schema.section_classes(Podium))
    for cls in classes:
        own = {name for base in cls.__mro__ for name in getattr(base, "model_fields", {})}
        assert params_schema.meanings(cls).keys() <= own, cls.__name__


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"typo": {}}, ".typo"),
        ({"members__a__modle": {}}, ".members.a.modle"),
        ({"members__a__finetune__mixup": 0.4}, ".members.a.finetune.mixup"),
        ({"members__a__pretrain__lr": -1}, ".members.a.pretrain.lr"),
        ({"members__a__pretrain__epochs": "three"}, ".members.a.pretrain.epochs"),
        ({"members__a__infer__transforms": ["rot45"]}, ".members.a.infer.transforms.0"),
        ({"members__A-b": whole()["members"]["a"]}, ".members.A-b"),
        ({"members": {}}, ".members: minProperties"),
        ({"members__a__model__mean": [123.7, 116.3, 103.5]}, ".members.a.model.mean"),
        ({"members__a__model__channels_last": 3}, ".members.a.model.channels_last"),
        ({"folds": [0]}, ".folds: minItems"),
        ({"folds": 5}, ".folds: type"),
        ({"fixres": None}, ".fixres: type"),
        ({"fixres__a": {"epochs": 1, "lr": 1}}, ".fixres.a: required"),
        ({"fixres__a": {"image_size": 80, "epochs": 1, "lr": 1, "head_init": "probe"}}, ".fixres.a.head_init"),
        ({"contest__max_missing": 2}, ".contest.max_missing"),
        ({"contest__metric": "acuracy"}, ".contest.metric"),
        ({"contest__lists": {"train": "placeholders/none.csv"}}, ".contest.lists: required"),
        ({"split": {"seed": 2**33}}, ".split.seed"),
        ({"ensemble": {"method": "average"}}, ".ensemble.method"),
    ],
    ids=str,
)
def test_a_wrong_key_or_value_is_refused_as_by_check(change: dict[str, Any], words: str) -> None:
    values = whole(**change)
    assert any(words in line for line in broken(values))
    with pytest.raises(InputError):
        params.parse(values, "", Podium)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"folds": [0, "b"]},
        {"contest__metric": "map@3"},
        {"contest__metric": "max my_module:my_function"},
        {"contest__whole_labels": [3, "a b"]},
        {"contest__columns__classes": {"cat": 1}},
        {"analyze__thresholds": {"dark": 0}},
        {"ensemble": {"method": "ranks"}, "contest__metric": "roc_auc"},
        {"distill__a": {"epochs": 1, "lr": 0.1, "threshold": 0.5}},
    ],
    ids=str,
)
def test_what_check_accepts_is_accepted(change: dict[str, Any]) -> None:
    values = whole(**change)
    params.parse(values, "", Podium)
    assert not broken(values)


@pytest.mark.parametrize("name", params_schema.FIXED)
def test_the_keys_that_a_phase_does_not_show_are_refused(name: str) -> None:
    (cls,) = {found for found in params_schema.section_classes(Podium) if found.__name__ == name}
    least = {"epochs": 1, "lr": 0.1} | ({"image_size": 64} if "image_size" in cls.model_fields else {})
    cls.model_validate(least)
    for key in params_schema.FIXED[name]:
        with pytest.raises(ValueError, match=key):
            cls.model_validate(least | {key: cls.model_fields[key].default})
