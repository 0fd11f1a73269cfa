"""Hold ways of predicting against each other over runs that differ in their seeds alone.

    python -m tools.seeds seed-0 seed-1 seed-2 --hold "vit_clean : vit" "vit : vit@192" "vit|resnet : vit + resnet"

A run is an experiment, a git revision or `workspace` in which the members' `infer` is done. A way of predicting is

- a member, at the size it is trained for or at another one it infers: `vit`, `vit@192`
- the equal mean of several: `vit + resnet`
- the best of several, each fold predicted by the one that is best on the other folds: `vit | resnet`

All are out of fold, with temperatures from the other folds. Each image's result is averaged over the runs before images
are drawn by cluster: seeds are no new images. What the seeds do by themselves is shown as the range over runs.
"""

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stages.lib import blended, bootstrap, cli, params, resolution, rungs, scored, scores, sources, tables
from stages.lib.calibration import Probs
from stages.lib.errors import InputError
from stages.lib.resolution import Look
from stages.lib.scored import Scored
from tools import experiments, revisions

Values = NDArray[np.float64]
METRICS = ("accuracy", "log_loss")  # means over images: what an image brings can be averaged over runs
TERM = re.compile(r"(?P<member>[A-Za-z0-9_-]+)(@(?P<image_size>[0-9]+))?")
SEED = re.compile(r"model\.seed of [^:]+: ")  # what runs may differ in


@dataclass(frozen=True)
class Term:
    """A member at an image size in pixels; None is the one it is trained for."""

    member: str
    image_size: int | None


@dataclass(frozen=True)
class Way:
    """A way of predicting: the mean of its terms, or (`best`) the one that is best on other folds."""

    text: str
    terms: tuple[Term, ...]
    best: bool


@dataclass(frozen=True)
class Run:
    """One run's out-of-fold predictions of the same images, of all terms asked for."""

    name: str
    scored: Scored
    probs: dict[Term, Probs]


def main(*words: str, root: Path = Path()) -> None:
    """Print two rows per comparison.

    Raises:
        InputError: a run is not there, the runs differ in more than their seeds or not at all, or a way is no way.
    """
    parser = argparse.ArgumentParser(prog="python -m tools.seeds", description="Ways of predicting, over seeds.")
    parser.add_argument("runs", nargs="+", help="experiments, git revisions or `workspace`: the same but for seeds")
    parser.add_argument("--hold", nargs="+", required=True, metavar="WAY:WAY", help='e.g. "vit : vit@192"')
    asked = parser.parse_args(words)
    held = [comparison(text) for text in asked.hold]
    terms = sorted({term for pair in held for way in pair for term in way.terms}, key=str)
    runs = _read(asked.runs, terms, root)
    print(f"{len(runs)} runs, {len(runs[0].scored.targets)} images out of fold; differences: second minus first\n")
    print("\n".join(f"| {' | '.join(row)} |" for row in (HEAD, ["---"] * len(HEAD))))
    for first, second in held:
        for row in rows(first, second, runs):
            print(f"| {' | '.join(row)} |", flush=True)


HEAD = ["first : second", "metric", "first", "second", "difference", "range over seeds", "95% interval", "p", "verdict"]


def comparison(text: str) -> tuple[Way, Way]:
    """Read `WAY : WAY`.

    Raises:
        InputError: it is none.
    """
    parts = text.split(":")
    if len(parts) != 2:
        raise InputError(f"--hold {text!r}: write two ways of predicting with a colon between them")
    first, second = map(_way, parts)
    if (first.terms, first.best) == (second.terms, second.best):
        raise InputError(f"--hold {text!r}: both are the same")
    return first, second


def rows(first: Way, second: Way, runs: Sequence[Run]) -> list[list[str]]:
    """Compare two ways of predicting: a row of HEAD per metric."""
    predicted = [[predict(way, run) for run in runs] for way in (first, second)]
    table = []
    for name in METRICS:
        results = np.array(
            [[_per_image(name, run, probs) for run, probs in zip(runs, of_way, strict=True)] for of_way in predicted]
        )  # (2, runs, images)
        table.append([f"{first.text} : {second.text}", name.replace("_", " "), *_cells(results, name, runs[0].scored)])
    return table


def predict(way: Way, run: Run) -> Probs:
    """Return what a way of predicting says in one run (images, classes), calibrated on other folds."""
    terms = [run.probs[term] for term in way.terms]
    if way.best:
        return _best(terms, run.scored)
    return terms[0] if len(terms) == 1 else rungs.tempered(np.mean(terms, axis=0, dtype=np.float32), run.scored)


def _best(terms: Sequence[Probs], images: Scored) -> Probs:
    """Take for each part the term that is best on the others, by the contest's metric, then log loss."""
    found = np.empty_like(terms[0])
    for part in images.all_parts:
        others, here = images.rows(images.left({part})), images.rows({part})
        targets = images.targets[others]
        ranks = [(images.metric.utility(targets, t[others]), -scores.log_loss(targets, t[others])) for t in terms]
        found[here] = terms[ranks.index(max(ranks))][here]
    return found


def _per_image(metric: str, run: Run, probs: Probs) -> Values:
    targets = run.scored.targets
    if metric == "log_loss":
        return scores.log_losses(targets, probs)
    return np.asarray(probs.argmax(axis=1) == targets, np.float64)


def _cells(results: Values, metric: str, images: Scored) -> list[str]:
    of_runs = results.mean(axis=2)  # (2, runs)
    gains = of_runs[1] - of_runs[0]
    differences = results[1].mean(axis=0) - results[0].mean(axis=0)
    found = bootstrap.paired_mean(differences, images.groups, of_hits=metric != "log_loss")
    better = (found.value > 0) == (metric != "log_loss")
    verdict = ("second is better" if better else "first is better") if found.supported else "no evidence"
    return [
        *(f"{value:.4f}" for value in of_runs.mean(axis=1)),
        f"{found.value:+.4f}",
        f"{gains.min():+.4f} to {gains.max():+.4f}",
        f"{found.low:+.4f} to {found.high:+.4f}",
        f"{found.p_value:.3f}",
        verdict,
    ]


def _way(text: str) -> Way:
    best = "|" in text
    words = [word.strip() for word in text.split("|" if best else "+")]
    matches = [TERM.fullmatch(word) for word in words]
    terms = tuple(Term(m["member"], int(m["image_size"]) if m["image_size"] else None) for m in matches if m)
    if len(terms) < len(words) or len(set(terms)) < len(terms):
        raise InputError(
            f"--hold: {text.strip()!r} is no way of predicting: members, each once, as NAME or NAME@SIZE, with + (their"
            " mean) or | (the best of them) between"
        )
    return Way(f" {'or' if best else '+'} ".join(words), terms, best)


def _read(names: Sequence[str], terms: Sequence[Term], root: Path) -> list[Run]:
    """Read all runs.

    Raises:
        InputError: see `main`.
    """
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"{twice[0]}: named twice")
    read = [_read_run(name, terms, root) for name in names]
    _, first, first_params, first_folds = (names[0], *read[0])
    for name, (run, values, folds) in zip(names[1:], read[1:], strict=True):
        other = [change for change in experiments.changes(first_params, values) if not SEED.match(change)]
        if other:
            raise InputError(f"{name} differs from {names[0]} in more than its seeds: {'; '.join(other[:3])}")
        if not folds.equals(first_folds):
            raise InputError(f"{name}: its {revisions.FOLDS} is not that of {names[0]}: compare runs on the same folds")
        same = [term.member for term in terms if np.array_equal(run.probs[term], first.probs[term])]
        if same:
            raise InputError(
                f"{name}: {same[0]} predicts exactly what it does in {names[0]}: no other seed"
                f" (`dvc exp run -S members.{same[0]}.model.seed=1`)"
            )
    return [run for run, _, _ in read]


def _read_run(name: str, terms: Sequence[Term], root: Path) -> tuple[Run, dict[str, Any], pd.DataFrame]:
    members = sorted({term.member for term in terms})
    with revisions.files(name, root, (revisions.PARAMS,)) as folder:
        known = blended.members_of(params.read(folder))
    if unknown := [member for member in members if member not in known]:
        raise InputError(f"{name}: no member is named {unknown[0]}; its members: {', '.join(known)}")
    paths = (revisions.PARAMS, revisions.FOLDS, *(f"data/infer/{member}.parquet" for member in members))
    with revisions.files(name, root, paths) as folder:
        values = params.read(folder)
        folds = tables.read(folder / revisions.FOLDS, tables.FOLDS).sort_values("image_id", ignore_index=True)
        used = folds[folds["use"] == "train"]
        classes = sorted(used["label"].unique())
        metric = scores.named(params.section(values, "contest.metric"), classes)
        images = scored.of_folds(used, [str(fold) for fold in params.section(values, "folds")], classes, metric)
        found = blended.sources_of(values, folder)
        probs = {term: _probs(found[term.member], term, folds, classes, images) for term in terms}
    return Run(name, images, probs), values, folds


def _probs(source: sources.Source, term: Term, folds: pd.DataFrame, classes: Sequence[str], images: Scored) -> Probs:
    """Read a term's predictions in all views, with the classes' priors put back, calibrated on other folds."""
    size = source.usual.image_sizes[0] if term.image_size is None else term.image_size
    look = Look((size,), source.usual.views)
    if look not in (source.usual, *source.others):
        sizes = sorted({other.image_sizes[0] for other in (source.usual, *source.others)})
        raise InputError(f"--hold: {term.member} infers at {', '.join(map(str, sizes))} pixels, not at {size}")
    shifts = sources.shifts(source, images.targets, images.folds, len(classes)).get(look.phase)
    logs = resolution.seen(
        sources.read_train(source, look, folds, classes), None if shifts is None else shifts[images.folds]
    )
    return rungs.tempered(np.exp(logs), images)


if __name__ == "__main__":
    cli.run(main)
