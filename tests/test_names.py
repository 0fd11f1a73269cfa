"""Names: a class's name is unique in the project, and no local name hides a name of its file."""

import ast
from collections import defaultdict
from collections.abc import Iterator

import pytest

from tests import graph

FOLDERS = ("podium", "stages", "tools", "demo", "docs/measure")

# Both lists must shrink: remove an entry with the rename that makes it superfluous, and never add one.
SHARED_CLASSES: dict[str, int] = {}
HIDING: dict[str, tuple[str, ...]] = {}


def files(*folders: str) -> list[str]:
    return sorted(
        path.relative_to(graph.PROJECT).as_posix()
        for folder in folders
        for path in (graph.PROJECT / folder).rglob("*.py")
    )


def parsed(file: str) -> ast.Module:
    return ast.parse((graph.PROJECT / file).read_text(encoding="utf-8"))


def module_names(tree: ast.Module) -> set[str]:
    """Names that a file's imports, functions and classes have at its top level, also within `if TYPE_CHECKING`."""
    names: set[str] = set()
    for statement in [inner for top in tree.body for inner in (top.body if isinstance(top, ast.If) else [top])]:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name.split(".")[0] for alias in statement.names}
        elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(statement.name)
    return names


def local_names(function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> Iterator[str]:
    """Arguments and assigned names of a function, those of functions within it included."""
    for node in ast.walk(function):
        if isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        named = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.ExceptHandler
        if isinstance(node, named) and node.name and node is not function:
            yield node.name


def hiding(tree: ast.Module) -> set[str]:
    """`function: name` for each local name that hides a name of the file; methods as `Class.method: name`."""
    outer = module_names(tree)
    found: set[str] = set()

    def visit(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                name = prefix + getattr(child, "name", "<lambda>")
                found.update(f"{name}: {local}" for local in local_names(child) if local in outer)
            else:
                visit(child, f"{prefix}{child.name}." if isinstance(child, ast.ClassDef) else prefix)

    visit(tree, "")
    return found


def test_no_two_classes_share_a_name() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for file in files(*FOLDERS):
        for node in ast.walk(parsed(file)):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(file)
    shared = {name: len(where) for name, where in places.items() if len(where) > 1}
    new = {name: places[name] for name in shared if shared[name] > SHARED_CLASSES.get(name, 1)}
    assert not new, "give one of them another name"
    gone = {name for name, number in SHARED_CLASSES.items() if shared.get(name, 1) < number}
    assert not gone, "remove these from SHARED_CLASSES, or lower their number"


@pytest.mark.parametrize("file", files(*FOLDERS))
def test_no_local_name_hides_an_import_a_function_or_a_class_of_its_file(file: str) -> None:
    found = hiding(parsed(file))
    assert not found - set(HIDING.get(file, ())), f"{file}: rename the local name (function: name)"
    assert not set(HIDING.get(file, ())) - found, f"remove these from HIDING: {file}"


def test_the_list_of_hiding_names_has_existing_files_only() -> None:
    assert HIDING.keys() <= set(files(*FOLDERS))


def test_arguments_assignments_loops_and_lambdas_are_found() -> None:
    tree = ast.parse(
        "import os\nfrom a import b as c\n"
        "def f(os):\n    c = 1\n"
        "class G:\n    def m(self):\n        return [f for f in ()], lambda c: c\n"
        "h = lambda os: os\n"
        "def fine(x):\n    x.os = 1\n    b = x\n"
    )
    assert hiding(tree) == {"f: os", "f: c", "G.m: f", "G.m: c", "<lambda>: os"}
