"""Security: the tests that two pages name exist; no code unpickles a file or starts a shell."""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.graph import PROJECT

FILES = sorted(path for folder in ("podium", "stages", "tools", "demo") for path in (PROJECT / folder).rglob("*.py"))
RUN_WHAT_THEY_READ = {"pickle", "dill", "joblib", "marshal", "shelve", "cloudpickle"}
CALLS = {"eval", "exec", "os.system", "os.popen", "np.load", "yaml.load", "pd.read_pickle"}


def calls(tree: ast.AST) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield (name, keyword arguments) of every call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), {str(word.arg): ast.unparse(word.value) for word in node.keywords}


def faults(text: str) -> list[str]:
    """What a file does that can run what it reads."""
    tree = ast.parse(text)
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [str(node.module)]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    found = sorted(imported & RUN_WHAT_THEY_READ)
    for name, keywords in calls(tree):
        is_open = name in {"torch.load", "load_state_dict"} and keywords.get("weights_only") != "True"
        is_safe = keywords.get("allow_pickle") == "False" or "SafeLoader" in keywords.get("Loader", "")
        found += [name] if (name in CALLS and not is_safe) or is_open or keywords.get("shell") == "True" else []
    return found


def test_nothing_is_unpickled() -> None:
    found = {path.relative_to(PROJECT).as_posix(): faults(path.read_text(encoding="utf-8")) for path in FILES}
    assert not {path: what for path, what in found.items() if what}


@pytest.mark.parametrize(
    "text", ["import pickle", "from joblib import load", "torch.load(x)", "run('a', shell=True)", "eval('1')"]
)
def test_what_would_run_code_is_found(text: str) -> None:
    assert faults(text)


@pytest.mark.parametrize("name", ["security", "faults"])
def test_every_test_that_the_page_names_exists(name: str) -> None:
    page = (PROJECT / f"docs/{name}.md").read_text(encoding="utf-8")
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (PROJECT / "tests").glob("test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", page))
    assert len(named) > 20
    assert not {name for name in named if f"def {name}(" not in tests}
