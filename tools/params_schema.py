"""Write params.schema.json, from which editors know the keys of params.yaml: `python -m tools.params_schema`.

It is made from the settings classes: a key's meaning stands in its class's docstring, under `Attributes`. It says less
than `make check`, which also knows rules between keys.

The first line of params.yaml and of every recipe names the schema for yaml-language-server (in VS Code: the extension
YAML by Red Hat). The line is the same in all of them, because recipes are copied over params.yaml, and editors look for
the schema beside the file: so recipes/ and recipes/claims/ hold links to it.
"""

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from podium.contest.settings import ContestSettings
from podium.core import cli, tables
from podium.core.params import Section
from podium.preflight.settings import SLUG, Podium
from podium.scoring.scores import NAMES, WITH_NUMBER

PATH = Path("params.schema.json")
LINE = f"# yaml-language-server: $schema={PATH}"
Schema = dict[str, Any]

NUMBER_OR_TEXT: Schema = {"type": ["string", "integer"]}  # YAML reads the name 0 as a number
TEXTS = {"FoldList": ("folds",), "ContestSettings": ("whole_labels",), "SubmissionSettings": ("absent",)}
MAPS = ("members", "extra", "external")  # of names that become names of stages
OF_DVC = {  # dvc.yaml reads these keys, so they may not be missing, although they have a default
    "ContestSettings": tuple(key for key in ContestSettings.model_fields if key not in ContestSettings.OPTIONAL),
    "ImageLists": ("train", "test"),
    "ModelSettings": ("weights_file",),
}
FIXED = {  # keys that a phase has from PhaseSettings and refuses
    "FixresSettings": ("frozen", "drop_path", "layer_decay", "head_init", "head_only_epochs"),
    "PseudoSettings": ("head_init",),
    "DistillSettings": ("head_init",),
}
_ENTRY = re.compile(r"^([a-z_]+(?:, [a-z_]+)*): (.*(?:\n +.*)*)", re.MULTILINE)


def main(*, root: Path = Path()) -> None:
    """Write the schema."""
    tables.write_text(text(), root / PATH)
    print(f"schema: {PATH}, for editors; params.yaml and recipes/ name it in their first lines")


def text() -> str:
    """Return the schema as JSON."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


def schema() -> Schema:
    """Return the schema (JSON Schema, draft 2020-12)."""
    found = Podium.model_json_schema()
    definitions = found.pop("$defs")
    classes = {cls.__name__: cls for cls in section_classes(Podium)}
    for name, part in (*definitions.items(), (Podium.__name__, found)):
        _complete(part, classes[name])
    found["title"] = "params.yaml of Podium"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found, "$defs": definitions}


def section_classes(cls: type[Section]) -> Iterator[type[Section]]:
    """Yield a class of settings and all classes within it."""
    yield cls
    for field in cls.model_fields.values():
        for inner in _classes_in(field.annotation):
            yield from section_classes(inner)


def _classes_in(annotation: Any) -> Iterator[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _classes_in(argument)


def meanings(cls: type[Section]) -> dict[str, str]:
    """Return the meaning of each key from the docstrings of a class and of its bases."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if issubclass(base, Section) and base is not Section:
            _, _, attributes = (inspect.getdoc(base) or "").partition("Attributes:\n")
            for names, meaning in _ENTRY.findall(inspect.cleandoc(attributes)):
                found |= dict.fromkeys(names.split(", "), " ".join(meaning.split()))
    return found


def _complete(part: Schema, cls: type[Section]) -> None:
    """Add meanings to a section's schema, and what pydantic's own schema does not know."""
    known, properties = meanings(cls), part["properties"]
    part["description"] = _summary(cls)
    for key in FIXED.get(cls.__name__, ()):
        del properties[key]
    part["required"] = sorted({*part.get("required", ()), *OF_DVC.get(cls.__name__, ())})
    for key, value in properties.items():
        value.pop("title", None)
        if "$ref" in value:
            value.pop("default", None)  # that of its keys stands there
        if key in known:
            value["description"] = known[key]
        owners = [base.__name__ for base in cls.__mro__]
        if any(key in TEXTS.get(owner, ()) for owner in owners):
            value["items"] = NUMBER_OR_TEXT
        if cls is Podium and key in MAPS:
            value["propertyNames"] = {"pattern": f"^{SLUG.pattern}$"}
        if value.get("type") == "object" and value.get("additionalProperties") == {"type": "string"}:
            value["additionalProperties"] = NUMBER_OR_TEXT
    if cls is ContestSettings:
        properties["metric"] |= _metrics()
    part.pop("title", None)


def _summary(cls: type[Section]) -> str:
    """Return a docstring without its attributes."""
    return (inspect.getdoc(cls) or "").partition("\n\nAttributes:")[0].replace("\n", " ").replace("  ", "\n\n")


def _metrics() -> Schema:
    """Return the names of metrics: known ones, those with a number, and a function of one's own."""
    with_number = f"^({'|'.join(sorted(WITH_NUMBER))})@[0-9.]+$"
    choices: list[Schema] = [{"enum": list(NAMES)}, {"pattern": with_number}, {"pattern": "^(max|min) .+:.+$"}]
    return {"anyOf": choices}


if __name__ == "__main__":
    cli.run(main)
