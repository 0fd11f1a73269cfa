"""The real dvc.yaml on a tiny contest, with stand-ins for the stages' Python, in a repository of its own.

A torch process takes seconds to start; what runs again after which change is decided by dvc.yaml alone.
"""

import ast
import functools
import os
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests import quick_dvc

PROJECT = Path(__file__).parent.parent
COPIED = (
    ".dvc/config",
    ".dvc/.gitignore",
    ".dvc/plots",
    ".dvcignore",
    ".gitignore",
    "demo/dvc.yaml",
    "demo/params.yaml",
    "placeholders",
)
PHASE = {"epochs": 1, "lr": 0.1}


@dataclass(frozen=True)
class Graph:
    """A repository in `root`; DVC's site cache and the log of the stages that ran are in `aside`.

    `dvc` is the one of tests/quick_dvc.py, unless `plain_dvc` is true.
    """

    root: Path
    aside: Path
    plain_dvc: bool = False

    def run(self, *command: str, seconds: float = 0) -> str:
        """Run a command in the repository and return its output; stand-ins take `seconds` each."""
        program, *words = command
        env = self._env(seconds)
        if program == "dvc" and not self.plain_dvc:
            done = server().run(words, self.root, env)
        else:
            done = subprocess.run(command, cwd=self.root, env=env, text=True, capture_output=True, check=False)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def dvc(self, *words: str) -> Counter[str]:
        """Run a DVC command; return how often each stage ran."""
        self.log.write_text("")
        self.run("dvc", *words)
        return self.ran()

    def repro(self, *words: str) -> Counter[str]:
        """Rebuild; return how often each stage ran."""
        return self.dvc("repro", *words)

    def ran(self) -> Counter[str]:
        """Return how often each stage ran since the log was emptied."""
        return Counter(self.log.read_text().split())

    def stages(self) -> list[str]:
        """Return the names of all stages, as DVC makes them of dvc.yaml and params.yaml."""
        return self.run("dvc", "stage", "list", "--name-only").split()

    def edit(self, change: Callable[[dict[str, Any]], Any]) -> None:
        """Change params.yaml in place."""
        path = self.root / "params.yaml"
        values = yaml.safe_load(path.read_text())
        change(values)
        path.write_text(yaml.safe_dump(values, sort_keys=False))

    def commit(self) -> None:
        """Commit everything that git does not ignore."""
        self.run("git", "add", "-A")
        self.run("git", "commit", "-qm", "a run")

    def revert(self) -> None:
        """Go back to the last commit; the demo's images may be missing, because this contest does not draw them."""
        self.run("git", "checkout", "-q", ".")
        self.run("dvc", "checkout", "-q", "--allow-missing")

    def lock(self) -> dict[str, Any]:
        """Return dvc.lock's entries by stage."""
        stages: dict[str, Any] = yaml.safe_load((self.root / "dvc.lock").read_text())["stages"]
        return stages

    def read(self, path: str) -> bytes:
        """Return a file's bytes."""
        return (self.root / path).read_bytes()

    def copy(self, top: Path) -> "Graph":
        """Return a copy of repository and cache under `top`."""
        shutil.copytree(self.root, top / "repo", symlinks=True)
        return _graph(top, self.plain_dvc)

    @property
    def log(self) -> Path:
        return self.aside / "ran.log"

    def _env(self, seconds: float) -> dict[str, str]:
        return os.environ | {
            "PATH": os.pathsep.join([str(self.aside / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "STANDIN_LOG": str(self.log),
            "STANDIN_SECONDS": str(seconds),
            "DVC_NO_ANALYTICS": "1",
            "DVC_SITE_CACHE_DIR": str(self.aside / "site"),
            "DVC_GLOBAL_CONFIG_DIR": str(self.aside / "config"),
            "DVC_SYSTEM_CONFIG_DIR": str(self.aside / "config"),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_SYSTEM": os.devnull,
        }


def build(
    top: Path,
    folds: Sequence[int] = (0, 1),
    members: Mapping[str, dict[str, Any]] | None = None,
    project: Path = PROJECT,
    plain_dvc: bool = False,
) -> Graph:
    """Make a repository with a contest of its own; run nothing.

    Args:
        top: folder for the repository and its log.
        folds: of params.yaml.
        members: of params.yaml; by default `a` (weights from a file) and `b`.
        project: checkout with the dvc.yaml.
        plain_dvc: run DVC as it is, to measure it.
    """
    graph = _graph(top, plain_dvc)
    for name in ("dvc.yaml", *COPIED):
        _copy(project / name, graph.root / name)
    _write_standins(graph.root, project)
    _write_contest(graph.root / "data/contest")
    (graph.root / "w.safetensors").write_text("one")
    values = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))
    values["contest"] |= {
        "images": {"train": "data/contest/train", "test": "data/contest/test"},
        "labels": "data/contest/labels.csv",
        "template": "data/contest/template.csv",
    }
    members = members or {"a": member(weights_file="w.safetensors"), "b": member()}
    values |= {"folds": list(folds), "members": dict(members)}
    (graph.root / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    graph.run("git", "init", "-q")
    for key, value in {"user.name": "tester", "user.email": "tester@example.invalid"}.items():
        graph.run("git", "config", key, value)
    return graph


@functools.cache
def built(top: Path, folds: Sequence[int] = (0, 1)) -> Graph:
    """Make a repository, run the whole graph once and commit it; once a test session: work on copies."""
    graph = build(top, folds=folds)
    assert graph.repro() == dict.fromkeys(graph.stages(), 1)
    graph.commit()
    return graph


def member(weights_file: str = "placeholders/none.csv") -> dict[str, Any]:
    """The settings of a member that dvc.yaml reads."""
    model = {"backbone": "resnet10t", "weights_file": weights_file, "seed": 0}
    return {"model": model, "pretrain": PHASE.copy(), "finetune": PHASE.copy(), "infer": {"image_sizes": [64]}}


def of_member(name: str, *stages: str, folds: Iterable[int] = (0, 1)) -> list[str]:
    """Names of a member's stages, e.g. `pretrain@a-0`, `pretrain@a-1`, `infer@a`."""
    by_fold = ("pretrain", "finetune", "fixres", "pseudo", "distill")
    return [
        item
        for stage in stages
        for item in ([f"{stage}@{name}-{fold}" for fold in folds] if stage in by_fold else [f"{stage}@{name}"])
    ]


def server() -> quick_dvc.Server:
    """Return this thread's server."""
    return _server(threading.get_ident())


@functools.cache
def _server(thread: int) -> quick_dvc.Server:
    return quick_dvc.Server()


def run_git(root: Path, *words: str, check: bool = True) -> str:
    """Run git in a folder and return what it printed."""
    return subprocess.run(("git", *words), cwd=root, text=True, capture_output=True, check=check).stdout


def imported(file: str, root: Path = PROJECT) -> set[str]:
    """Return every project file that running `file` imports, itself included, found by walking the imports.

    Args:
        file: relative to root, e.g. "stages/split.py".
    """
    found: set[str] = set()
    waiting = {file, *_packages(file)}
    while waiting:
        now = waiting.pop()
        found.add(now)
        named = modules(ast.parse((root / now).read_text(encoding="utf-8")))
        found_files = {path for module in named for path in files(module, root)}
        if "pkgutil" in named:  # a registry: it imports every file of the package that it names
            found_files |= {path for module in named for path in _members(module, root)}
        waiting |= {path for one in found_files for path in (one, *_packages(one))} - found
    return found


def foreign(files: Iterable[str], root: Path = PROJECT) -> set[str]:
    """Return the top-level names of all modules that any of the files imports, e.g. {"torch", "pandas"}."""
    trees = (ast.parse((root / file).read_text(encoding="utf-8")) for file in files)
    return {module.split(".")[0] for tree in trees for module in modules(tree)}


def modules(tree: ast.AST) -> set[str]:
    """Dotted names that a module imports anywhere in it; of `from a import b`, both `a` and `a.b`."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            names |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def files(module: str, root: Path) -> list[str]:
    path = module.replace(".", "/")
    return [file for file in (f"{path}.py", f"{path}/__init__.py") if (root / file).is_file()]


def _members(module: str, root: Path) -> set[str]:
    """All files of a package, none of a module."""
    folder = root / module.replace(".", "/")
    return {path.relative_to(root).as_posix() for path in folder.glob("*.py")} if module.count(".") > 1 else set()


def _packages(file: str) -> list[str]:
    """The __init__.py files that importing `file` runs."""
    return [f"{folder.as_posix()}/__init__.py" for folder in Path(file).parents if folder != Path()]


def _graph(top: Path, plain_dvc: bool) -> Graph:
    graph = Graph(top / "repo", top / "aside", plain_dvc)
    for folder in (graph.root, graph.aside / "bin"):
        folder.mkdir(parents=True, exist_ok=True)
    if not plain_dvc:
        quick = graph.aside / "bin/dvc"
        quick.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{PROJECT / 'tests/quick_dvc.py'}' \"$@\"\n")
        quick.chmod(0o755)
    graph.log.write_text("")
    return graph


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)


def _write_standins(root: Path, project: Path) -> None:
    """Write the stand-in for every stage, and empty modules but for pruning.py, which the stand-in of `check` runs.

    Of a package only the files that dvc.yaml names are written, and `__init__.py`: DVC reads folders again and again.
    """
    named = (project / "dvc.yaml").read_text(encoding="utf-8")
    for folder in ("podium", "stages", "demo"):
        for source in (project / folder).rglob("*.py"):
            path = source.relative_to(project)
            if folder == "podium" and path.name not in ("__init__.py", "pruning.py") and path.as_posix() not in named:
                continue
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes() if source.name == "pruning.py" else b"")
    for file in [*(root / "stages").glob("[!_]*.py"), root / "demo/draw.py"]:
        _copy(project / "tests/standin.py", file)


def _write_contest(folder: Path) -> None:
    for name in ("train", "test"):
        (folder / name).mkdir(parents=True)
        for i in range(3):
            (folder / name / f"{i}.png").write_text(f"{name} {i}")
    for name in ("labels", "template", "overrides"):
        (folder / f"{name}.csv").write_text(name)
