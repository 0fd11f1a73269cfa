"""The stages of the DVC graph, one small file each; `python -m stages.<name>` runs one.

DVC runs the first `python` on PATH. If that is not the project's own, the first import of a library would fail with an
unhelpful message; the check below says what to do instead.
"""

from importlib.util import find_spec

if find_spec("pydantic") is None or find_spec("pyarrow") is None:
    raise SystemExit(
        "podium: this `python` does not have the project's packages. Run `make setup`, then put the environment"
        ' first on PATH: export PATH="$PWD/.venv/bin:$PATH"'
    )
