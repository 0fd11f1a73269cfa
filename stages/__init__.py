"""The stages of the DVC graph, one small file each; `python -m stages.<name>` runs one.

DVC runs whatever `python` stands first on PATH. Where that is not the project's own, the first import
of a library would fail in words that help nobody; this says what is wrong instead.
"""

from importlib.util import find_spec

if find_spec("pydantic") is None or find_spec("pyarrow") is None:
    raise SystemExit(
        "podium: this `python` has not the project's packages. Run `make setup`, then put the environment"
        ' first on PATH: export PATH="$PWD/.venv/bin:$PATH"'
    )
