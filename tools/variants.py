"""How many variants of this contest were run, as far as git's commits, DVC's experiments and `make` here remember.

What a person chose by looking at scores no score can undo (docs/honest_scores.md): the count says how much was looked
at. It is printed by tools.results and goes into no stage's output, since it changes with what others ran.

A variant is a run whose metrics/summary.json differs from all others': settings that change no number count once. It
is of this contest if its params.yaml names the same images, labels and metric, and dvc.lock the same table of labels,
overrides applied, where it knows that. Whose run it was no commit says for certain: all count.
"""

import hashlib
import json
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from podium.core import params, tables
from podium.core.errors import InputError
from tools import experiments

SUMMARY, PARAMS, LOCK, LABELS = "metrics/summary.json", "params.yaml", "dvc.lock", "data/label/labels.csv"
LOG = Path("logs/variants.csv")
SHOWN = tables.Contract(  # of LOG: what tools.results showed in this folder
    {"contest": "text", "labels": "text", "result": "text", "score": "float"}, key=("contest", "labels", "result")
)
# what waits, has failed or runs, with the summary of the commit that it started from
UNFINISHED = ("refs/stash", "refs/exps/stash", "refs/exps/celery/*", "refs/exps/exec/*")
LOCKS_AT_ONCE = 32  # of up to a megabyte
# of params.yaml: parsed alone, once where experiments share it, since parsing the whole of each takes 20 ms
SECTION = re.compile(rb"^contest:.*\n(?:(?:[ \t#].*)?\n)*", re.MULTILINE)


@dataclass(frozen=True)
class Variant:
    """A finished run.

    Attributes:
        contest: digest of what its section `contest` says of images, labels and metric.
        labels: what dvc.lock says of the content of LABELS; "" where it does not know.
        result: digest of its metrics/summary.json.
        score: its `oof_score`.
    """

    contest: str
    labels: str
    result: str
    score: float


def of_this_contest(root: Path, summary: dict[str, Any]) -> dict[str, float]:
    """Find the contest's variants, that in the workspace among them, and note the latter in LOG.

    Args:
        root: of the project.
        summary: metrics/summary.json of the workspace.

    Returns:
        `oof_score` by result.

    Raises:
        InputError: params.yaml has no contest, or LOG is damaged.
    """
    contest = params.section(params.read(root), "contest")
    lock = root / LOCK
    labels = _labels(lock.read_bytes() if lock.exists() else b"")
    here = Variant(_digest(_asked(contest)), labels, _digest(summary), float(summary["oof_score"]))
    known = [*_note(root / LOG, here), *_committed(root, contest)]
    return {v.result: v.score for v in known if v.contest == here.contest and _agree(v.labels, here.labels)}


def words(scores: Sequence[float], *, greater_is_better: bool) -> str:
    """Say how many variants there are, and how much picking the best of them may flatter its score.

    Where all are equally good, the best one's lead over the mean is what picking it flatters by, on average. Where they
    are not, a part of the lead is real, and picking flatters by less.
    """
    known = "known (anybody's commits, experiments, `make` here)"
    if len(scores) == 1:
        return f"1 variant of this contest is {known}"
    mean, best = sum(scores) / len(scores), max(scores) if greater_is_better else min(scores)
    return (
        f"{len(scores)} variants of this contest are {known};\n"
        f"the best, {best:.4f}, leads their mean by {abs(best - mean):.4f}: it is flattered by about so much\n"
        "if all are equally good, by less if not"
    )


def _agree(one: str, other: str) -> bool:
    return not one or not other or one == other


def _note(path: Path, here: Variant) -> list[Variant]:
    """Add a variant to a log, if it is not there yet; return all that are there."""
    try:
        table = tables.read(path, SHOWN) if path.exists() else pd.DataFrame(columns=list(SHOWN.columns))
    except (InputError, ValueError) as error:
        raise InputError(f"{path}: not what `make` noted there; delete it ({error})") from None
    noted = [Variant(**row) for row in table.to_dict("records")]
    if not any((v.contest, v.labels, v.result) == (here.contest, here.labels, here.result) for v in noted):
        noted.append(here)
        tables.write(pd.DataFrame(noted, columns=list(SHOWN.columns)), path, SHOWN)
    return noted


def _committed(root: Path, contest: Any) -> Iterator[Variant]:
    """Yield the runs of a contest in all commits that any branch, tag or experiment leads to."""
    revs = _git(root, "rev-list", "--full-history", *(f"--exclude={ref}" for ref in UNFINISHED), "--all", "--", SUMMARY)
    found = _named(root, revs.decode().split())
    settings = _read(root, {ids[1] for ids in found})
    same = {name: _asked(_contest(text)) == _asked(contest) for name, text in settings.items()}
    found = {ids for ids in found if same[ids[1]]}
    summaries = _read(root, {ids[0] for ids in found})
    labels = _labels_by_lock(root, sorted({ids[2] for ids in found} - {""}))
    for summary, _, lock in found:
        read = _summary(summaries[summary])
        if read is not None:
            yield Variant(_digest(_asked(contest)), labels.get(lock, ""), _digest(read), float(read["oof_score"]))


def _named(root: Path, revs: list[str]) -> set[tuple[str, str, str]]:
    """Name what commits hold: git's ids of SUMMARY, PARAMS and, "" where there is none, LOCK."""
    asked = "".join(f"{rev}:./{path}\n" for rev in revs for path in (SUMMARY, PARAMS, LOCK))
    lines = _git(root, "cat-file", "--batch-check=%(objectname)", given=asked).decode().splitlines()
    ids = ["" if line.endswith(" missing") else line for line in lines]
    return {(s, p, lock) for s, p, lock in zip(ids[::3], ids[1::3], ids[2::3], strict=True) if s and p}


def _read(root: Path, names: set[str]) -> dict[str, bytes]:
    """Read contents by git's ids."""
    text = _git(root, "cat-file", "--batch=%(objectname) %(objectsize)", given="".join(f"{n}\n" for n in names))
    contents, start = {}, 0
    while start < len(text):
        end = text.index(b"\n", start)
        name, size = text[start:end].decode().split()
        contents[name] = text[end + 1 : end + 1 + int(size)]
        start = end + int(size) + 2
    return contents


def _labels_by_lock(root: Path, locks: list[str]) -> dict[str, str]:
    """Return what each dvc.lock, by git's id, says of the labels."""
    found: dict[str, str] = {}
    for start in range(0, len(locks), LOCKS_AT_ONCE):
        texts = _read(root, set(locks[start : start + LOCKS_AT_ONCE]))
        found |= {name: _labels(text) for name, text in texts.items()}
    return found


def _labels(lock: bytes) -> str:
    """Return DVC's digest of the table of labels, overrides applied; "" where it is not in the lock."""
    found = re.search(rb"path: %s\n +hash: md5\n +md5: (\S+)\n" % re.escape(LABELS.encode()), lock)
    return found[1].decode() if found else ""


def _asked(contest: Any) -> tuple[Any, ...]:
    """Return what of a section `contest` makes scores comparable: not the template, nor the test images."""
    metric = contest.get("metric") if isinstance(contest, dict) else None
    return metric, *experiments.scored(contest)


def _contest(text: bytes) -> Any:
    """Return the section `contest` of a params.yaml; None where there is none."""
    alone = SECTION.search(text + b"\n")
    found = _parsed(alone[0]) if alone else None
    return _parsed(text) if found is None else found  # where it borrows an anchor from another section


@lru_cache
def _parsed(text: bytes) -> Any:
    try:
        values = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError):
        return None  # committed by mistake once, and no run
    return values.get("contest") if isinstance(values, dict) else None


def _summary(text: bytes) -> dict[str, Any] | None:
    """Return a metrics/summary.json; None where it holds no score."""
    try:
        read = json.loads(text)
    except ValueError:
        return None
    return read if isinstance(read, dict) and isinstance(read.get("oof_score"), float | int) else None


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _git(root: Path, *words: str, given: str = "") -> bytes:
    """Return what a git command prints; nothing where this is no repository, or git is not there."""
    try:
        done = subprocess.run(["git", *words], cwd=root, input=given.encode(), capture_output=True, check=False)
    except FileNotFoundError:
        return b""
    return done.stdout if done.returncode == 0 else b""
