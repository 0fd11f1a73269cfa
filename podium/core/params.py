"""Read a section of params.yaml into a frozen pydantic object; errors name the key."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from podium.core.errors import InputError


class Section(BaseModel):
    """Base of every section: unknown keys are errors, and values cannot change after loading.

    Attributes:
        RENAMED: old key -> new key. A params.yaml that still has an old key gets an error that names both.
    """

    RENAMED: ClassVar[dict[str, str]] = {}

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _refuse_old_keys(cls, values: Any) -> Any:
        """Raise an error at each old key itself, so that the message has the key's full name."""
        old_keys = [key for key in cls.RENAMED if key in values] if isinstance(values, dict) else []
        if old_keys:
            errors = [
                InitErrorDetails(type=PydanticCustomError("renamed", cls.RENAMED[key]), loc=(key,), input=values[key])
                for key in old_keys
            ]
            raise ValidationError.from_exception_data(cls.__name__, errors)
        return values

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_accidental_booleans(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse a boolean that nobody meant: YAML reads `yes`, `no`, `on` and `off` so, and pydantic true as 1."""
        if isinstance(value, bool) and info.field_name is not None:
            annotation = cls.model_fields[info.field_name].annotation
            if annotation is not bool and bool not in get_args(annotation):
                raise ValueError(
                    f"is the boolean {value}: YAML reads yes, no, on and off as booleans; put quotes around it"
                )
        return value


MOST_LEVELS, MOST_VALUES = 50, 100_000  # of values in values, and in all; the recipes have 6 and some hundreds
_DEEP = f"is nested more than {MOST_LEVELS} levels deep"
_HALF = re.compile("[\ud800-\udfff]")  # YAML can spell them
_UNNAMED = '"<unicode string>"'  # PyYAML's name for a text whose file it does not know
SectionT = TypeVar("SectionT", bound=Section)

_KINDS = {
    "tuple_type": "a list",
    "dict_type": "a map, {} where it holds nothing",
    "model_type": "a map of settings",
    "string_type": "text",
}


def read(root: Path = Path(), name: str = "params.yaml") -> dict[str, Any]:
    """Read params.yaml, or a file like it, under `root` as plain data.

    Raises:
        InputError: the file is missing, is not YAML, holds no map, or is nested too deep.
    """
    path = root / name
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: not found; run from the project's folder") from None
    except RecursionError:
        raise InputError(f"{path}: {_DEEP}: look for a bracket or an indentation that is never closed") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: the file is not UTF-8, or has an impossible date
        raise InputError(f"{path}: not valid YAML: {str(error).replace(_UNNAMED, path.name)}") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: must hold a map of sections, holds {type(values).__name__}")
    _refuse_endless(values, path)
    return values


def _refuse_endless(values: dict[str, Any], path: Path) -> None:
    """Refuse values that contain themselves, or repeat each other so often that checks would never end (by anchors)."""
    level, count = list(values.items()), 0
    for _ in range(MOST_LEVELS):
        level = [(key, inner) for key, value in level if isinstance(value, dict | list) for inner in _inside(value)]
        count += len(level)
        if halves := [key for key, value in level if isinstance(value, str) and _HALF.search(value)]:
            raise InputError(f"{path}: {halves[0]}: holds half of a character, which no file can hold: correct it")
        if count > MOST_VALUES:
            raise InputError(f"{path}: {level[0][0]}: holds more than {MOST_VALUES} values by its anchors: remove some")
    if level:
        raise InputError(f"{path}: {level[0][0]}: {_DEEP}, or contains itself by an anchor: correct it")


def _inside(value: dict[Any, Any] | list[Any]) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value


def section(values: dict[str, Any], key: str) -> Any:
    """Return the value at the dotted `key`, e.g. `members.a.finetune`.

    Raises:
        InputError: a step of the key is missing.
    """
    value: Any = values
    for step in key.split("."):
        if not isinstance(value, dict) or step not in value:
            raise InputError(f"params.yaml: {key}: missing")
        value = value[step]
    return value


def parse(values: Any, key: str, cls: type[SectionT]) -> SectionT:
    """Validate plain data as the section `key`.

    Raises:
        InputError: lists every wrong key with its full dotted name.
    """
    try:
        return cls.model_validate(values)
    except ValidationError as error:
        raise InputError("\n".join(_explain(key, e) for e in error.errors())) from None


def load(key: str, cls: type[SectionT], root: Path = Path()) -> SectionT:
    """Read and validate one section of params.yaml."""
    return parse(section(read(root), key), key, cls)


def _explain(key: str, error: Any) -> str:
    where = ".".join([key, *(str(part) for part in error["loc"])]).strip(".")
    if error["type"] == "renamed":
        return f"params.yaml: {where}: is called {error['msg']} now: rename the key"
    if error["type"] == "extra_forbidden":
        return f"params.yaml: {where}: unknown key; remove it or correct its spelling"
    if error["type"] == "missing":
        return f"params.yaml: {where}: missing; it has no default"
    message = error["msg"].removeprefix("Value error, ")
    got = "" if error["type"] == "value_error" else f" (got {_as_yaml(error['input'])})"
    if error["type"] in _KINDS:
        message = f"must be {_KINDS[error['type']]}"
    if error["type"] == "tuple_type" and error["input"] is not None:
        return f"params.yaml: {where}: {message}: [{_as_yaml(error['input'])}]"
    return f"params.yaml: {where}: {message}{got}" if where else f"params.yaml: {message}{got}"


def _as_yaml(value: Any) -> str:
    """Return the value as it could stand in YAML."""
    return "null" if value is None else repr(value)
