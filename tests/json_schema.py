"""A small validator for the keywords of JSON Schema that params.schema.json uses; no library of the project has one."""

import re
from collections.abc import Iterator
from typing import Any

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
IGNORED = {"$schema", "$defs", "title", "description", "default"}  # they refuse nothing
IGNORED |= {"$ref", "items", "prefixItems", "properties", "propertyNames", "additionalProperties"}  # their parts do


def errors(value: Any, schema: dict[str, Any], root: dict[str, Any], at: str = "") -> Iterator[str]:
    """Yield each rule that a value breaks, as `<key>: <rule>`."""
    for keyword, rule in schema.items():
        for item, one, where in _within(keyword, value, rule, schema, root):
            yield from errors(item, one, root, at + where)
        if keyword == "anyOf":
            if all(any(True for _ in errors(value, one, root, at)) for one in rule):
                yield f"{at}: anyOf"
        elif keyword not in IGNORED and not _holds(keyword, value, rule):
            yield f"{at}: {keyword}"


def _within(
    keyword: str, value: Any, rule: Any, schema: dict[str, Any], root: dict[str, Any]
) -> Iterator[tuple[Any, dict[str, Any], str]]:
    """Yield each part of a value that a keyword speaks of, the schema of it, and where it is."""
    if keyword == "$ref":
        yield value, root["$defs"][rule.removeprefix("#/$defs/")], ""
    elif keyword in ("items", "prefixItems") and isinstance(value, list):
        rules = [rule] * len(value) if keyword == "items" else rule
        yield from ((item, one, f".{index}") for index, (item, one) in enumerate(zip(value, rules, strict=False)))
    elif keyword == "properties" and isinstance(value, dict):
        yield from ((value[key], one, f".{key}") for key, one in rule.items() if key in value)
    elif keyword == "propertyNames" and isinstance(value, dict):
        yield from ((key, rule, f".{key}") for key in value)
    elif keyword == "additionalProperties" and isinstance(value, dict):
        others = value.keys() - schema.get("properties", {}).keys()
        one = rule if isinstance(rule, dict) else {} if rule else {"unknown": True}
        yield from ((value[key], one, f".{key}") for key in others)


def _holds(keyword: str, value: Any, rule: Any) -> bool:  # noqa: PLR0911
    if keyword == "type":
        return any(_is_of(value, one) for one in ([rule] if isinstance(rule, str) else rule))
    if keyword in ("enum", "const"):
        return any(type(value) is type(one) and value == one for one in (rule if keyword == "enum" else [rule]))
    if keyword == "pattern":
        return not isinstance(value, str) or re.search(rule, value) is not None
    if keyword == "required":
        return not isinstance(value, dict) or set(rule) <= value.keys()
    if keyword in ("minItems", "maxItems", "minProperties", "minLength"):
        counts = {"minItems": list, "maxItems": list, "minProperties": dict, "minLength": str}[keyword]
        return not isinstance(value, counts) or (len(value) <= rule if keyword == "maxItems" else len(value) >= rule)
    if keyword in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
        if not isinstance(value, int | float) or isinstance(value, bool):
            return True
        return {
            "minimum": value >= rule,
            "maximum": value <= rule,
            "exclusiveMinimum": value > rule,
            "exclusiveMaximum": value < rule,
        }[keyword]
    if keyword == "unknown":
        return False
    raise AssertionError(f"tests/json_schema.py: add the keyword {keyword}")


def _is_of(value: Any, name: str) -> bool:
    if name in ("integer", "number"):
        return isinstance(value, int if name == "integer" else int | float) and not isinstance(value, bool)
    return isinstance(value, TYPES[name])
