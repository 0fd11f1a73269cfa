"""A section of params.yaml -> a frozen pydantic object, or an error that names the key."""

from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from podium.core.errors import InputError


class Section(BaseModel):
    """Base of every section: unknown keys are errors, values cannot change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_accidental_booleans(cls, value: Any, info: ValidationInfo) -> Any:
        """YAML reads `yes`, `no`, `on` and `off` as booleans, and pydantic would read true as 1."""
        if isinstance(value, bool) and info.field_name is not None:
            annotation = cls.model_fields[info.field_name].annotation
            if annotation is not bool and bool not in get_args(annotation):
                raise ValueError(f"is the boolean {value}: YAML reads yes, no, on and off so; put quotes around it")
        return value


_UNNAMED = '"<unicode string>"'  # what PyYAML calls a text whose file it does not know
SectionT = TypeVar("SectionT", bound=Section)

_KINDS = {
    "tuple_type": "a list",
    "dict_type": "a map, {} where it holds nothing",
    "model_type": "a map of settings",
    "string_type": "text",
}


def read(root: Path = Path()) -> dict[str, Any]:
    """Read params.yaml under `root` as plain data.

    Raises:
        InputError: the file is missing, is not YAML or holds no map.
    """
    path = root / "params.yaml"
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: not found; run from the project's folder") from None
    except (yaml.YAMLError, ValueError) as error:  # not UTF-8, or a date that is none
        raise InputError(f"{path}: not valid YAML: {str(error).replace(_UNNAMED, path.name)}") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: must hold a map of sections, holds {type(values).__name__}")
    return values


def section(values: dict[str, Any], key: str) -> Any:
    """Return the value at the dotted `key`, e.g. `members.a.finetune`.

    Raises:
        InputError: a step of the key is missing.
    """
    found: Any = values
    for step in key.split("."):
        if not isinstance(found, dict) or step not in found:
            raise InputError(f"params.yaml: {key}: missing")
        found = found[step]
    return found


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
    """Read, find and validate one section of params.yaml."""
    return parse(section(read(root), key), key, cls)


def _explain(key: str, error: Any) -> str:
    where = ".".join([key, *(str(part) for part in error["loc"])]).strip(".")
    if error["type"] == "extra_forbidden":
        return f"params.yaml: {where}: unknown key; remove it or correct its spelling"
    if error["type"] == "missing":
        return f"params.yaml: {where}: missing; it has no default"
    message = error["msg"].removeprefix("Value error, ")
    got = "" if error["type"] == "value_error" else f" (got {_written(error['input'])})"
    if error["type"] in _KINDS:
        message = f"must be {_KINDS[error['type']]}"
    if error["type"] == "tuple_type" and error["input"] is not None:
        return f"params.yaml: {where}: {message}: [{_written(error['input'])}]"
    return f"params.yaml: {where}: {message}{got}" if where else f"params.yaml: {message}{got}"


def _written(value: Any) -> str:
    return "null" if value is None else repr(value)  # as it could stand in YAML
