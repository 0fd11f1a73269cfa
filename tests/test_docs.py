"""README.md and docs/*.md against the project: commands, settings, paths and links that they name exist."""

import argparse
import ast
import importlib
import re
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn, get_args

import pytest
import yaml
from dvc.cli import DvcParserError
from dvc.cli.parser import get_main_parser
from pydantic import BaseModel, TypeAdapter

from podium.preflight.settings import Podium
from tests.graph import PROJECT

LOG = PROJECT / "docs/log.md"  # dated: it names what was there at the time
PAGES = [PROJECT / "README.md", *sorted(path for path in (PROJECT / "docs").glob("*.md") if path != LOG)]
SHELL = {"$EDITOR", "cat", "cd", "cp", "done", "export", "for", "git", "mkdir", "rm", "tar"}
WHOSE_OWN = ("data/contest", "logs", ".resume")  # a user's files; what tools write, which git ignores
BY_DVC = ("demo/dvc.lock",)
NO_LONGER = ("stages/lib",)  # docs/architecture.md draws it
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEREDOC = re.compile(r"<<'(\w+)'\n(.*?)^\1\n", re.MULTILINE | re.DOTALL)
ECHOED = re.compile(r"\$\(for [^;]*; do echo ([^;]*); done\)")
CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
LINK = re.compile(r"\]\((?!https?://)([^)#\s]*)(?:#([^)\s]+))?\)")


def page_name(path: Path) -> str:
    return path.relative_to(PROJECT).as_posix()


every_page = pytest.mark.parametrize("page", PAGES, ids=page_name)


@cache
def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, *languages: str) -> list[str]:
    return [body for language, body in BLOCK.findall(text_of(page)) if language in languages]


def spans(page: Path) -> list[str]:
    """Inline code, outside of blocks."""
    return CODE.findall(BLOCK.sub("", text_of(page)))


def commands(block: str) -> Iterator[list[str]]:
    """The simple commands of a shell block, loops opened; `<...>` stands for a word of the reader's own."""
    plain = re.sub(r"<[a-z][a-z ]*>", "WORD", HEREDOC.sub("\n", block))
    for line in ECHOED.sub(r"\1", plain).splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|()")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if not set(word) <= set(";&|()"):
                words.append(word)
            elif words:
                while words and (words[0] in ("do", "time") or re.fullmatch(r"[A-Z]+=\S*", words[0])):
                    words = words[1:]
                yield words
                words = []


SHELL_COMMANDS = [
    (page_name(page), words)
    for page in PAGES
    for block in blocks(page, "", "bash")
    for words in commands(block)
    if words
]


@cache
def targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


@cache
def stages() -> set[str]:
    """Names of the stages, and of each of their items with params.yaml's or a recipe's members and folds."""
    names = set()
    for name, stage in yaml.safe_load((PROJECT / "dvc.yaml").read_text(encoding="utf-8"))["stages"].items():
        names.add(name)
        for values in settings():
            items = {"contest.images": values["contest"]["images"], **{key: values[key] for key in MAPS}}
            each = stage.get("foreach", stage.get("matrix", {}).get("member", "${}"))[2:-1]
            folds = [f"-{fold}" for fold in values["folds"]] if "fold" in stage.get("matrix", {}) else [""]
            names |= {f"{name}@{item}{fold}" for item in items.get(each, ()) for fold in folds}
    return names


MAPS = ("members", "fixres", "pseudo", "soup", "distill", "extra", "external")


@cache
def settings() -> list[dict[str, Any]]:
    """Content of params.yaml and of all recipes."""
    files = [PROJECT / "params.yaml", *sorted((PROJECT / "recipes").rglob("*.yaml"))]
    return [yaml.safe_load(path.read_text(encoding="utf-8")) for path in files]


def stands_in(values: Any, steps: Sequence[str]) -> bool:
    """Say whether a dotted key stands in a tree of settings; a step with a variable of the shell means any."""
    if not steps:
        return True
    if not isinstance(values, dict):
        return False
    found = values.values() if "$" in steps[0] else [values[steps[0]]] if steps[0] in values else []
    return any(stands_in(value, steps[1:]) for value in found)


def require_setting(change: str) -> None:
    """Fail if a word of `dvc exp run -S` changes what no params.yaml here has."""
    key = change.lstrip("~+").partition("=")[0].split(".")
    steps = key[:-1] if change.startswith("+") else key
    assert any(stands_in(values, steps) for values in settings()), f"-S {change}: no such setting"


def wild(word: str) -> str:
    return re.sub(r"\$\w+", "*", word)


def check_dvc(words: list[str]) -> None:
    parsed = get_main_parser().parse_args(words)
    for change in getattr(parsed, "set_param", None) or []:
        require_setting(change)
    if parsed.cmd in ("repro", "exp"):
        for target in getattr(parsed, "targets", None) or []:
            assert any(fnmatchcase(name, wild(target)) for name in stages()), f"no stage {target}"


def module_file(module: str) -> Path:
    return PROJECT / f"{module.replace('.', '/')}.py"


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def options(path: Path) -> set[str]:
    """Long options that a file's parsers know."""
    calls = [node for node in ast.walk(tree(path)) if isinstance(node, ast.Call)]
    added = [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "add_argument"]
    words = {arg.value for call in added for arg in call.args if isinstance(arg, ast.Constant)}
    return {word for word in words if str(word).startswith("--")}


@cache
def variables() -> set[str]:
    """Variables that the Makefile reads."""
    return set(re.findall(r"\$\((?:if |or )?\$?\(?([A-Z_]+)\b", (PROJECT / "Makefile").read_text(encoding="utf-8")))


@cache
def modules_of_make(*words: str) -> list[list[str]]:
    """The modules that a target calls, each with its words."""
    command = ("make", "--dry-run", "--no-print-directory", *words)
    shown = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    lines = [shlex.split(line) for line in shown.replace("\\\n", " ").splitlines() if "python -m " in line]
    found = [line[line.index("-m") + 1 :] for line in lines]
    return [line for line in found if line[0] not in ("pip", "venv")]


class ParsedError(Exception):
    """Raised in place of what a module does once it has read its words."""


def check_module(module: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    if module == "pytest":
        return
    path = module_file(module)
    assert path.is_file(), f"no module {module}"
    if "ArgumentParser" not in path.read_text(encoding="utf-8"):
        mains = [node for node in tree(path).body if isinstance(node, ast.FunctionDef) and node.name == "main"]
        given = mains[0].args
        least = len(given.args) - len(given.defaults)
        assert least <= len(words) <= len(given.args), f"{module} takes other words than {words}"
        return

    def parse(parser: argparse.ArgumentParser, args: Sequence[str] | None = None) -> NoReturn:
        _, rest = parser.parse_known_args(args)  # it exits where a word is missing or wrong
        assert not rest, f"{module} does not know {rest}"
        raise ParsedError

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse)
    with pytest.raises(ParsedError):
        importlib.import_module(module).main(*words)


@pytest.mark.parametrize(("page", "words"), SHELL_COMMANDS, ids=[" ".join(words)[:60] for _, words in SHELL_COMMANDS])
def test_a_command_of_a_block_is_one_that_works_here(
    page: str, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    head, *rest = words
    if head == "dvc":
        check_dvc(rest)
    elif head == "make":
        assert {word for word in rest if "=" not in word} <= targets(), f"{page}: {words}"
        assert {word.partition("=")[0] for word in rest if "=" in word} <= variables(), f"{page}: {words}"
        for module, *more in modules_of_make(*rest):
            check_module(module, more, monkeypatch)
    elif head == "python" and rest[0] == "-m":
        check_module(rest[1], rest[2:], monkeypatch)
    elif head == "python":
        assert rest[0].startswith(("-", "/tmp/")), f"{page}: {words}"  # a script that the block holds
    else:
        assert head in SHELL, f"{page}: {words}"


@every_page
def test_a_command_in_a_sentence_names_a_module_with_its_options_and_a_setting(page: Path) -> None:
    for span in spans(page):
        if found := re.match(r"python -m ([\w.]+)(.*)", span):
            if found[1] != "pytest":
                path = module_file(found[1])
                assert path.is_file(), span
                assert set(re.findall(r"--[a-z-]+", found[2])) <= options(path), span
        elif span.startswith("make "):
            assert {word for word in span.split()[1:] if "=" not in word} <= targets(), span
        elif span.startswith("dvc "):
            get_main_parser().parse_args([word for word in shlex.split(span)[1:] if word != "..."] + _rest(span))
        for change in re.findall(r"-S '?([^\s']+)", span):
            require_setting(change)


def _rest(span: str) -> list[str]:
    """Words without which DVC's parser refuses a command that a sentence names by itself."""
    needed = {"dvc add": ["x"], "dvc config": ["core.analytics"], "dvc exp run -S": ["x=1"]}
    return needed.get(span, [])


@every_page
def test_python_in_a_block_imports_what_is_there(page: Path) -> None:
    for block in blocks(page, "", "bash"):
        for _, body in HEREDOC.findall(block):
            for node in ast.walk(ast.parse(body)):
                if isinstance(node, ast.ImportFrom):
                    assert all(has(str(node.module), alias.name) for alias in node.names), ast.unparse(node)
                elif isinstance(node, ast.Import):
                    assert all(find_spec(alias.name) for alias in node.names), ast.unparse(node)


def has(module: str, name: str) -> bool:
    """Say whether `from module import name` works, without importing modules of the project."""
    if find_spec(module) is None:
        return False
    path = module_file(module)
    if not path.is_relative_to(PROJECT / "podium") or not path.is_file():
        return module_file(f"{module}.{name}").is_file() or hasattr(importlib.import_module(module), name)
    named = {getattr(node, "name", "") for node in tree(path).body}
    return name in named


@every_page
def test_settings_in_a_block_are_valid(page: Path) -> None:
    for block in blocks(page, "yaml"):
        for key, value in yaml.safe_load(block).items():
            TypeAdapter(Podium.model_fields[key].annotation).validate_python(value)


@every_page
def test_a_setting_that_is_named_exists(page: Path) -> None:
    for span in spans(page):
        key = re.fullmatch(r"([a-z]+(?:\.[a-z_<>]+)+)(?:: .*)?", span)
        if key and key[1].split(".")[0] in Podium.model_fields and not (PROJECT / f"stages/{key[1]}").exists():
            assert known(Podium, key[1].split(".")), f"{page.name}: {span}"


def known(kind: Any, steps: Sequence[str]) -> bool:
    """Say whether a type of settings has a dotted key; names of a map are the user's own."""
    if not steps:
        return True
    models = [arg for arg in get_args(kind) if isinstance(arg, type) and issubclass(arg, BaseModel)]
    if models:  # dict[str, Model]
        return known(models[0], steps[1:])
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)) or steps[0] not in kind.model_fields:
        return False
    return known(kind.model_fields[steps[0]].annotation, steps[1:])


@cache
def outputs() -> list[list[str]]:
    """What both dvc.yaml files write, step by step; a step's variable part is *."""
    found = []
    for folder in (PROJECT, PROJECT / "demo"):
        for stage in yaml.safe_load((folder / "dvc.yaml").read_text(encoding="utf-8"))["stages"].values():
            spec = stage.get("do", stage)
            for out in [*spec.get("outs", []), *spec.get("metrics", [])]:
                path = out if isinstance(out, str) else next(iter(out))
                whole = (folder / re.sub(r"\$\{[^}]*\}", "*", path)).relative_to(PROJECT)
                found.append(list(whole.parts))
    return found


def is_written(path: str) -> bool:
    """Say whether stages write a path, or a folder of it, or into it."""
    steps = [re.sub(r"<\w+>", "x", step) for step in path.strip("/").split("/")]
    return any(
        all(fnmatchcase(one, other) for one, other in zip(steps, out, strict=False))
        and (len(steps) <= len(out) or "." not in out[-1])
        for out in outputs()
    )


@every_page
def test_a_path_that_is_named_exists_or_is_written_by_a_stage(page: Path) -> None:
    tops = {path.name for path in PROJECT.iterdir()} | {"data", "models", "logs", "metrics"}
    for span in spans(page):
        if not re.fullmatch(r"[\w.<>*-]+(?:/[\w.<>*-]+)+/?", span) or span.split("/")[0] not in tops:
            continue
        plain = span.rstrip("/")
        own = plain.startswith(WHOSE_OWN) or plain in (*BY_DVC, *NO_LONGER)
        there = "<" not in plain and any(PROJECT.glob(plain))
        assert own or there or is_written(plain), f"{page.name}: {span}"


@pytest.mark.parametrize("page", [*PAGES, LOG, PROJECT / "docs/pictures/README.md"], ids=page_name)
def test_a_link_leads_to_a_file_and_a_heading_of_it(page: Path) -> None:
    for file, heading in LINK.findall(text_of(page)):
        target = page.parent / file if file else page
        assert target.exists(), f"{page.name}: {file}"
        if heading:
            titles = re.findall(r"^#+ (.*)$", BLOCK.sub("", text_of(target)), re.MULTILINE)
            assert heading in {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}, heading


def test_make_help_prints_a_line_for_each_target() -> None:
    shown = subprocess.run(
        ("make", "--no-print-directory", "help"), cwd=PROJECT, capture_output=True, text=True, check=True
    ).stdout
    words = dict(line.split(maxsplit=1) for line in shown.splitlines())
    assert words.keys() == targets()


def test_every_page_and_picture_is_linked() -> None:
    linked = {(page.parent / file).resolve() for page in PAGES for file, _ in LINK.findall(text_of(page)) if file}
    docs = PROJECT / "docs"
    assert {path.resolve() for path in [*docs.glob("*.md"), *docs.glob("pictures/*.png")]} <= linked


def test_the_readme_is_short_and_its_pictures_are_small() -> None:
    readme = PROJECT / "README.md"
    assert len(text_of(readme).split()) <= 1300
    pictures = [file for file, _ in LINK.findall(text_of(readme)) if file.endswith(".png")]
    assert pictures
    assert all((PROJECT / picture).stat().st_size <= 200_000 for picture in pictures)


@pytest.mark.parametrize(
    "wrong",
    [
        ["make", "nothing"],
        ["make", "bundle", "OUTPUT=small"],
        ["dvc", "exp", "run", "-S", "members.resnet.finetune.learning_rate=1"],
        ["dvc", "repro", "nothing"],
        ["dvc", "nothing"],
        ["python", "-m", "tools.nothing"],
        ["python", "-m", "tools.seeds", "a", "b", "--nothing"],
        ["python", "-m", "stages.check", "settings", "more"],
        ["nothing"],
    ],
    ids=" ".join,
)
def test_a_wrong_command_is_found(wrong: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises((AssertionError, DvcParserError, SystemExit)):
        test_a_command_of_a_block_is_one_that_works_here("page", wrong, monkeypatch)


def test_a_block_is_read_command_by_command() -> None:
    block = "for s in 0 1; do dvc exp run -S a.b=$s; done  # three\nX=1 make && cat <<'END'\nno command\nEND\nmake\n"
    assert list(commands(block)) == [
        ["for", "s", "in", "0", "1"],
        ["dvc", "exp", "run", "-S", "a.b=$s"],
        ["done"],
        ["make"],
        ["cat"],
        ["make"],
    ]
