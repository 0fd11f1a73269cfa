"""DVC with a faster writer of dvc.lock, for tests: `python tests/quick_dvc.py repro ...`.

DVC reads and writes dvc.lock after each stage with ruamel.yaml's round trip. That keeps comments, is pure Python, and
is most of a test's time. Here libyaml does it. dvc.lock has no comments, and its content is the same
(test_quick_dvc.py). test_end_to_end.py runs DVC as it is.
"""

import sys
from collections import OrderedDict
from typing import Any, TextIO


def main() -> int:
    """Run DVC's command line with the faster functions."""
    from dvc.utils import serialize
    from dvc.utils.serialize import _yaml

    _yaml.parse_yaml_for_update = serialize.parse_yaml_for_update = parse
    _yaml._dump = dump
    from dvc.cli import main as dvc_main  # after the above, because its modules import these functions by name

    return int(dvc_main(sys.argv[1:]))


def parse(text: str, path: str) -> Any:
    """Parse YAML as DVC's parse_yaml_for_update does, but for comments."""
    from dvc.utils.serialize import parse_yaml

    return parse_yaml(text, path)


def dump(data: Any, stream: TextIO) -> None:
    """Write YAML as DVC's _dump does."""
    from ruamel.yaml import YAML

    writer = YAML(typ="safe")
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False
    writer.Representer.add_representer(OrderedDict, writer.Representer.represent_dict)  # not as !!omap
    writer.dump(data, stream)


if __name__ == "__main__":
    sys.exit(main())
