"""Count the variants of this contest in git's commits, DVC's experiments and the log of `make` in this folder.

A user who compares many scores and picks the best one gets an optimistic score, and no estimate can correct that
(docs/honest_scores.md). So tools.results prints how many variants there were. No stage writes the count, because it
changes with other people's runs.

A variant is a run whose metrics/summary.json differs from all others, so settings that change no number count once. It
belongs to this contest if its params.yaml has the same images, labels and metric, and its dvc.lock (if it has the
entry) the same labels.csv, overrides applied. All runs count, whoever made them, because commits do not reliably name
the user.
"""

import hashlib
import json
import math
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import NormalDist
from typing import Any

import pandas as pd
import yaml

from podium.core import params, tables
from podium.core.errors import InputError
from podium.scoring import intervals
from tools import experiments

SUMMARY, PARAMS, LOCK, LABELS = "metrics/summary.json", "params.yaml", "dvc.lock", "data/label/labels.csv"
LOG = Path("logs/variants.csv")
OLDER_LAYOUT = b"stages/lib"  # in a dvc.lock: a folder of code until 2026-11-28
SHOWN = tables.Contract(  # of LOG: the results that tools.results showed in this folder
    {"contest": "text", "labels": "text", "result": "text", "score": "float"}, key=("contest", "labels", "result")
)
# queued, failed or running experiments: they hold the summary of the commit that they started from
UNFINISHED = ("refs/stash", "refs/exps/stash", "refs/exps/celery/*", "refs/exps/exec/*")
LOCKS_AT_ONCE = 32  # each up to a megabyte
# the section `contest` of params.yaml, parsed alone and once per distinct text: a whole file takes 20 ms
SECTION = re.compile(rb"^contest:.*\n(?:(?:[ \t#].*)?\n)*", re.MULTILINE)


@dataclass(frozen=True)
class Variant:
    """A finished run.

    Attributes:
        contest: digest of the images, labels and metric in its section `contest`.
        labels: DVC's digest of LABELS in dvc.lock; "" if it has none.
        result: digest of its metrics/summary.json.
        score: its `oof_score`.
    """

    contest: str
    labels: str
    result: str
    score: float


def of_this_contest(root: Path, summary: dict[str, Any]) -> dict[str, float]:
    """Find the contest's variants, the workspace's included, and add the workspace's to LOG.

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
    here = Variant(_digest(_comparable(contest)), labels, _digest(summary), float(summary["oof_score"]))
    known = [*_log(root / LOG, here), *_committed(root, contest)]
    return {v.result: v.score for v in known if v.contest == here.contest and _agree(v.labels, here.labels)}


def summary_text(scores: Sequence[float], *, greater_is_better: bool, interval: tuple[float, float]) -> str:
    """Report the number of variants, and how optimistic the best one's score may be.

    If all variants are equally good, the score of the best is too high by its lead over the mean, on average, which is
    at most sqrt(2 ln n) standard errors (Boucheron, Lugosi & Massart 2013, Theorem 2.5). If they are not, part of the
    lead is real and the score is less optimistic.

    Args:
        scores: of the variants.
        greater_is_better: or the lowest is the best.
        interval: of a variant's score, at intervals.LEVEL.
    """
    known = "known (all commits, experiments, `make` here)"
    if len(scores) == 1:
        return f"1 variant of this contest is {known}"
    mean, best = sum(scores) / len(scores), max(scores) if greater_is_better else min(scores)
    lead = abs(best - mean)
    standard_error = (interval[1] - interval[0]) / (2 * NormalDist().inv_cdf((1 + intervals.LEVEL) / 2))
    chance = min(lead, standard_error * math.sqrt(2 * math.log(len(scores))))
    return (
        f"{len(scores)} variants of this contest are {known};\n"
        f"the best, {best:.4f}, leads their mean by {lead:.4f}: if all are equally good, its score\n"
        f"is too optimistic by {'about' if chance == lead else 'at most'} {chance:.4f}, else by less"
    )


def _agree(one: str, other: str) -> bool:
    return not one or not other or one == other


def _log(path: Path, here: Variant) -> list[Variant]:
    """Add a variant to a log, unless it is there; return all variants of the log."""
    try:
        table = tables.read(path, SHOWN) if path.exists() else pd.DataFrame(columns=list(SHOWN.columns))
    except (InputError, ValueError) as error:
        raise InputError(f"{path}: not a log of `make`; delete it ({error})") from None
    logged = [Variant(**row) for row in table.to_dict("records")]
    if not any((v.contest, v.labels, v.result) == (here.contest, here.labels, here.result) for v in logged):
        logged.append(here)
        tables.write(pd.DataFrame(logged, columns=list(SHOWN.columns)), path, SHOWN)
    return logged


def _committed(root: Path, contest: Any) -> Iterator[Variant]:
    """Yield the runs of a contest in all commits of all branches, tags and experiments."""
    revs = _git(root, "rev-list", "--full-history", *(f"--exclude={ref}" for ref in UNFINISHED), "--all", "--", SUMMARY)
    found = _object_ids(root, revs.decode().split())
    settings = _read(root, {ids[1] for ids in found})
    same = {name: _comparable(_contest(text)) == _comparable(contest) for name, text in settings.items()}
    found = {ids for ids in found if same[ids[1]]}
    summaries = _read(root, {ids[0] for ids in found})
    labels = _labels_by_lock(root, sorted({ids[2] for ids in found} - {""}))
    for summary, _, lock in found:
        read = _summary(summaries[summary])
        if read is not None:
            yield Variant(_digest(_comparable(contest)), labels.get(lock, ""), _digest(read), float(read["oof_score"]))


def _object_ids(root: Path, revs: list[str]) -> set[tuple[str, str, str]]:
    """Return git's object ids of SUMMARY, PARAMS and LOCK ("" if missing) in commits."""
    queries = "".join(f"{rev}:./{path}\n" for rev in revs for path in (SUMMARY, PARAMS, LOCK))
    lines = _git(root, "cat-file", "--batch-check=%(objectname)", stdin=queries).decode().splitlines()
    ids = ["" if line.endswith(" missing") else line for line in lines]
    return {(s, p, lock) for s, p, lock in zip(ids[::3], ids[1::3], ids[2::3], strict=True) if s and p}


def _read(root: Path, names: set[str]) -> dict[str, bytes]:
    """Return contents by git's object ids."""
    text = _git(root, "cat-file", "--batch=%(objectname) %(objectsize)", stdin="".join(f"{n}\n" for n in names))
    contents, start = {}, 0
    while start < len(text):
        end = text.index(b"\n", start)
        name, size = text[start:end].decode().split()
        contents[name] = text[end + 1 : end + 1 + int(size)]
        start = end + int(size) + 2
    return contents


def _labels_by_lock(root: Path, locks: list[str]) -> dict[str, str]:
    """Return the digest of LABELS in each dvc.lock, by git's object id."""
    found: dict[str, str] = {}
    for start in range(0, len(locks), LOCKS_AT_ONCE):
        texts = _read(root, set(locks[start : start + LOCKS_AT_ONCE]))
        found |= {name: _labels(text) for name, text in texts.items()}
    return found


def _labels(lock: bytes) -> str:
    """Return DVC's digest of LABELS (overrides applied); "" if it is not in the lock.

    A lock of an older layout gets a text that is no digest: the runs of Podium's own history, which every clone holds,
    are no variants of a user's demo.
    """
    if OLDER_LAYOUT in lock:
        return "older layout"
    found = re.search(rb"path: %s\n +hash: md5\n +md5: (\S+)\n" % re.escape(LABELS.encode()), lock)
    return found[1].decode() if found else ""


def _comparable(contest: Any) -> tuple[Any, ...]:
    """Return the settings that make scores comparable: neither the template nor the test images are among them."""
    metric = contest.get("metric") if isinstance(contest, dict) else None
    return metric, *experiments.scored(contest)


def _contest(text: bytes) -> Any:
    """Return the section `contest` of a params.yaml; None if there is none."""
    alone = SECTION.search(text + b"\n")
    found = _parsed(alone[0]) if alone else None
    return _parsed(text) if found is None else found  # it uses a YAML anchor of another section


@lru_cache
def _parsed(text: bytes) -> Any:
    try:
        values = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError):
        return None  # a broken file that was committed by mistake: not a run
    return values.get("contest") if isinstance(values, dict) else None


def _summary(text: bytes) -> dict[str, Any] | None:
    """Return a metrics/summary.json; None if it has no score."""
    try:
        read = json.loads(text)
    except ValueError:
        return None
    return read if isinstance(read, dict) and isinstance(read.get("oof_score"), float | int) else None


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _git(root: Path, *arguments: str, stdin: str = "") -> bytes:
    """Return the output of a git command; empty if this is not a repository, or git is not installed."""
    try:
        done = subprocess.run(["git", *arguments], cwd=root, input=stdin.encode(), capture_output=True, check=False)
    except FileNotFoundError:
        return b""
    return done.stdout if done.returncode == 0 else b""
