"""Write the settings that tools.tune has chosen into params.yaml, with all comments and other lines as they are."""

import io
import json
from collections.abc import Mapping
from typing import Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import CommentMark
from ruamel.yaml.tokens import CommentToken

from podium.core.errors import InputError


def applied(before: str, member: str, changes: Mapping[str, Any]) -> str:
    """Return params.yaml with other settings of a member's `finetune`; comments and all other lines stay.

    Raises:
        InputError: other settings would change, too: a YAML alias or merge (`*`, `<<`) repeats this section elsewhere.
    """
    rewriter = YAML()
    rewriter.preserve_quotes, rewriter.width = True, 120
    rewriter.indent(mapping=2, sequence=4, offset=2)
    values = rewriter.load(before)
    section = values["members"][member]["finetune"]
    for key, value in changes.items():
        comments = _comments_after(section, key) if key in section else ""
        section[key] = _as_written(value)
        if comments:
            places = section.ca.items.setdefault(key, [None] * 4)
            places[2] = places[2] or CommentToken("\n", CommentMark(0), None)
            places[2].value += comments
    written = io.StringIO()
    rewriter.dump(values, written)
    expected = yaml.safe_load(before)
    expected["members"][member] |= {"finetune": {**expected["members"][member]["finetune"], **changes}}
    if yaml.safe_load(written.getvalue()) != expected:
        raise InputError(
            f"params.yaml: a YAML alias or merge repeats members.{member}.finetune in another section, which would"
            " change with it, by `dvc exp run -S` as well: change this member by hand"
        )
    return written.getvalue()


def _comments_after(node: Any, key: Any) -> str:
    """Return the lines of comments behind a list or map in block style, which hang on its last leaf, or on an end."""
    leaf, ends = "", ""
    while isinstance(node[key], CommentedMap | CommentedSeq) and node[key] and not node[key].fa.flow_style():
        node = node[key]
        key = list(node)[-1] if isinstance(node, CommentedMap) else len(node) - 1
        token = node.ca.items.get(key, [None] * 3)[2 if isinstance(node, CommentedMap) else 0]
        leaf = "" if token is None else token.value.partition("\n")[2]
        ends = "".join(" " * end.start_mark.column + end.value for end in node.ca.end) + ends
    return leaf + ends


def _as_written(value: Any) -> Any:
    """Return a value as YAML 1.1 and 1.2 read it: `6.0e-05`, not `6e-05`, and lists in a line, even inside `{...}`."""
    if isinstance(value, float):
        text = repr(value)
        return YAML().load(text if "." in text else text.replace("e", ".0e"))
    return YAML().load(json.dumps(value)) if isinstance(value, list) else value
