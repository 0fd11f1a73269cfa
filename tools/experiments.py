"""Print a row per experiment, the best first: `python -m tools.experiments [--width N]`.

`dvc exp show` has a column per setting, too many for a terminal once members are added or removed. Here each row lists
only the settings that it changed. (`dvc.api.exp_show` flattens params.yaml into such columns and drops the errors of
commits that it cannot read, so this module reads `dvc exp show --json`.)
"""

import argparse
import json
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podium.core import cli
from podium.core.errors import InputError
from podium.scoring import scores

LONGEST_NAME = 24  # characters
LONGEST_VALUE = 24
OTHER_CONTEST = "other contest"
# keys of a contest that define which images are scored, with which labels
SCORED = ("images.train", "layout", "labels", "label_type", "columns.id", "columns.label")
NO_EXPERIMENTS = (
    "no experiments on this commit yet: try `dvc exp run -S members.<member>.finetune.lr=0.0003`"
    " (`dvc exp list -A` lists those on other commits)"
)


@dataclass(frozen=True)
class Row:
    """The workspace, a commit, or an experiment on a commit.

    Attributes:
        state: "" if it has finished, OTHER_CONTEST if it scored other images or labels than the workspace; else
            queued, running, failed or unreadable.
        summary: its metrics/summary.json; empty until it has finished.
        changes: the settings that differ from its baseline, e.g. `+c` for an added member.
    """

    name: str
    state: str
    summary: dict[str, Any]
    changes: tuple[str, ...]


def main(*words: str, root: Path = Path()) -> None:
    """Print the table, no line wider than `--width` characters (default: the terminal's width, or 100 without one).

    Raises:
        InputError: there is no commit, or `dvc exp show` fails.
    """
    parser = argparse.ArgumentParser(prog="python -m tools.experiments", description="The experiments, best first.")
    parser.add_argument("--width", type=int, default=shutil.get_terminal_size((100, 24)).columns)
    width = parser.parse_args(words).width
    if width < 1:
        parser.error(f"--width {width}: must be at least 1")
    bases, experiments = rows(_shown(root))
    print(table(bases + experiments, width))
    if not experiments:
        print(f"\n{textwrap.fill(NO_EXPERIMENTS, width, break_on_hyphens=False)}")


def rows(shown: list[dict[str, Any]]) -> tuple[list[Row], list[Row]]:
    """Read the output of `dvc exp show --json`: (workspace and commits, experiments with the best first).

    The changes of the workspace are from the first commit, those of an experiment from the commit it started from.

    Raises:
        InputError: there is no commit.
    """
    commits = [state for state in shown if state["rev"] != "workspace"]
    if not commits:
        raise InputError("no commit to compare experiments with: run `git commit` first")
    contest = next(filter(None, map(_scored, shown)), None)
    bases = [_row(state, None, commits[0], contest) for state in shown]
    experiments = [
        _row(found["revs"][0], found["executor"], commit, contest)
        for commit in commits
        for found in commit["experiments"] or []
    ]
    metric = next((row.summary["metric"] for row in bases + experiments if "metric" in row.summary), None)
    return bases, sorted(experiments, key=lambda row: _rank(row, metric))


def changes(before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    """Yield the differences of two contents of params.yaml, added and removed members first."""
    old, new = before.get("members") or {}, after.get("members") or {}
    yield from (f"+{name}" for name in new if name not in old)
    yield from (f"-{name}" for name in old if name not in new)
    for name in (name for name in new if name in old):
        for key, change in _differing(old[name], new[name]):
            yield f"{key} of {name}: {change}"
    for key, change in _differing({**before, "members": None}, {**after, "members": None}):
        yield f"{key}: {change}"


def table(shown: Sequence[Row], width: int) -> str:
    """Format rows as text, no line longer than `width` characters, without empty columns.

    Changes stand beside the scores if they fit for all rows, else below them.
    """
    metrics = {row.summary["metric"] for row in shown if "metric" in row.summary}
    score = f"oof {next(iter(metrics))}" if len(metrics) == 1 else "oof score"
    heads = ["experiment", "state", score.replace("_", " "), "oof log loss", "best member"]
    columns = list(zip(heads, *map(_cells, shown), strict=True))
    if metrics == {scores.LOG_LOSS}:
        del columns[3]  # the score itself
    columns = [column for column in columns if any(column[1:])]
    lines = ["  ".join(line) for line in zip(*map(_padded, columns), strict=True)]
    room = width - len(lines[0]) - 2
    changed = [", ".join(row.changes) for row in shown]
    if max(map(len, changed), default=0) <= room:
        texts = [f"{line}  {text}" for line, text in zip(lines, ["changed", *changed], strict=True)]
    else:
        below = [f"    {fitted(row.changes, width - 4)}" if row.changes else "" for row in shown]
        texts = [text for pair in zip(lines, ["", *below], strict=True) for text in pair if text]
    return "\n".join(text.rstrip()[:width] for text in texts)


def fitted(words: Sequence[str], room: int) -> str:
    """Join as many changes as fit into `room` characters, and count the rest."""
    for n_shown in range(len(words), 0, -1):
        more = f" … and {len(words) - n_shown} more" if n_shown < len(words) else ""
        text = ", ".join(words[:n_shown])
        if len(text) + len(more) <= room or n_shown == 1:
            return _cut(text, room - len(more)) + more
    return ""


def _shown(root: Path) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "dvc", "exp", "show", "--json"]
    done = subprocess.run(command, cwd=root, text=True, capture_output=True, check=False)
    if done.returncode != 0:
        raise InputError(f"`dvc exp show --json` failed: {done.stderr.strip().removeprefix('ERROR: ')}")
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def _row(
    state: dict[str, Any], executor: dict[str, Any] | None, base: dict[str, Any], contest: tuple[Any, ...] | None
) -> Row:
    name = state["name"] or (state["rev"] if state["rev"] == "workspace" else state["rev"][:7])
    if state["data"] is None:
        return Row(name, "unreadable", {}, (state["error"]["msg"],))
    before, after = _file(base, "params", "params.yaml"), _file(state, "params", "params.yaml")
    # without this test, an unreadable params.yaml would count as a change of every setting
    changed = tuple(changes(before, after)) if before and after else ()
    status = executor["state"] if executor and executor["state"] != "success" else ""
    # DVC shows the baseline's metrics for an experiment until it has finished
    summary = {} if status else _file(state, "metrics", "metrics/summary.json")
    if summary and _scored(state) not in (contest, None):
        status = OTHER_CONTEST
    return Row(name, status, summary, changed)


def _scored(state: dict[str, Any]) -> tuple[Any, ...] | None:
    """Return the settings that define which images are scored, with which labels; None if params.yaml is unreadable."""
    contest = _file(state, "params", "params.yaml").get("contest")
    return None if contest is None else scored(contest)


def scored(contest: Any) -> tuple[Any, ...]:
    """Return the settings of a section `contest` that define which images are scored, with which labels."""
    return tuple(_inside(contest, key.split(".")) for key in SCORED)


def _inside(value: Any, steps: Sequence[str]) -> Any:
    for step in steps:
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _file(state: dict[str, Any], kind: str, path: str) -> dict[str, Any]:
    """Return a file's content; {} if DVC could not read it."""
    content: dict[str, Any] = ((state["data"] or {}).get(kind, {}).get(path) or {}).get("data") or {}
    return content


def _rank(row: Row, metric: str | None) -> tuple[bool, bool, bool, float, str, str]:
    """Sort key: finished before unfinished, then the table's contest and metric before others, then the best score."""
    score = row.summary.get("oof_score")
    signed = 0.0 if score is None else score if scores.is_loss(row.summary.get("metric", "")) else -score
    other = row.state == OTHER_CONTEST
    return score is None, other, row.summary.get("metric") != metric, signed, row.state, row.name


def _differing(before: Any, after: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield (dotted key, `old -> new`) of every setting that differs."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in {**before, **after}:
            inner = f"{key}.{name}" if key else name
            yield from _differing(before.get(name, "unset"), after.get(name, "unset"), inner)
    elif before != after:
        yield key, f"{_value(before)} -> {_value(after)}"


def _value(value: Any) -> str:
    return _cut(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), LONGEST_VALUE)


def _cells(row: Row) -> list[str]:
    score, best = _number(row.summary.get("oof_score")), _number(row.summary.get("best_member_score"))
    low, high = row.summary.get("oof_score_low"), row.summary.get("oof_score_high")
    interval = score if low is None or high is None else f"{score} [{low:.3f}, {high:.3f}]"
    return [_cut(row.name, LONGEST_NAME), row.state, interval, _number(row.summary.get("oof_log_loss")), best]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _padded(column: Sequence[str]) -> list[str]:
    return [cell.ljust(max(map(len, column))) for cell in column]


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: max(length - 1, 0)]}…"


if __name__ == "__main__":
    cli.run(main)
