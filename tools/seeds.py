"""Hold ways of predicting against each other over runs that differ in their seeds alone.

    python -m tools.seeds seed-0 seed-1 seed-2 --hold "vit_clean : vit" "vit : vit@192" "vit|resnet : vit + resnet"

A run is an experiment, a git revision or `workspace` in which the members' `infer` is done. A way of predicting is

- a member, at the size it is trained for or at another one it infers: `vit`, `vit@192`
- the equal mean of several: `vit + resnet`
- the best of several, each fold predicted by the one that is best on the other folds: `vit | resnet`

All are out of fold, with temperatures from the other folds. Each image's result is averaged over the runs before images
are drawn by cluster, for the interval: seeds are no new images. The range over the runs stands beside it, and p is of
both errors, since other seeds would train other networks; verdicts are at 5% over all that is held (Holm).
"""

import argparse
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from podium.core import cli, params, tables
from podium.core.errors import InputError
from podium.predictions import calibration, member_predictions
from podium.predictions.calibration import Probs
from podium.predictions.tta import Tta, seen
from podium.scoring import bootstrap, evaluation_set, intervals, scores
from podium.scoring.evaluation_set import EvaluationSet
from tools import experiments, revisions

Values = NDArray[np.float64]
HEAD = ["first : second", "metric", "first", "second", "difference", "range over seeds", "95% interval", "p", "verdict"]
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
    """One run's out-of-fold predictions of the same images, of all terms asked for, before any temperature."""

    name: str
    scored: EvaluationSet
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
    if len(asked.runs) < 2:
        parser.error("one run knows nothing of seeds: name two at least, better three")
    held = [comparison(text) for text in asked.hold]
    terms = sorted({term for pair in held for way in pair for term in way.terms}, key=str)
    runs = _read(asked.runs, terms, root)
    print(f"{len(runs)} runs, {len(runs[0].scored.targets)} images out of fold; differences: second minus first\n")
    print("\n".join(f"| {' | '.join(row)} |" for row in (HEAD, ["---"] * len(HEAD), *table(held, runs))))


def comparison(text: str) -> tuple[Way, Way]:
    """Read `WAY : WAY`.

    Raises:
        InputError: it is none.
    """
    outer_folds = text.split(":")
    if len(outer_folds) != 2:
        raise InputError(f"--hold {text!r}: write two ways of predicting with a colon between them")
    first, second = map(_way, outer_folds)
    if (first.terms, first.best) == (second.terms, second.best):
        raise InputError(f"--hold {text!r}: both are the same")
    return first, second


@dataclass(frozen=True)
class Judged:
    """Two ways of predicting in one metric.

    Attributes:
        values: (2, runs) of the first and the second way.
        found: of the images, each one's result averaged over the runs.
        p_value: two-sided, of images and seeds together.
    """

    held: str
    metric: str
    values: Values
    found: bootstrap.Difference
    p_value: float

    def cells(self, adjusted: float) -> list[str]:
        """Return a row of HEAD, with its verdict by the p-value adjusted for all rows."""
        gains = self.values[1] - self.values[0]
        better = (self.found.value > 0) == (self.metric != "log_loss")
        sure = adjusted < intervals.ALPHA and self.found.supported
        return [
            self.held,
            self.metric.replace("_", " "),
            *(f"{value:.4f}" for value in self.values.mean(axis=1)),
            f"{self.found.value:+.4f}",
            f"{gains.min():+.4f} to {gains.max():+.4f}",
            f"{self.found.low:+.4f} to {self.found.high:+.4f}",
            f"{self.p_value:.3f}",
            ("second is better" if better else "first is better") if sure else "no evidence",
        ]


def table(held: Sequence[tuple[Way, Way]], runs: Sequence[Run]) -> list[list[str]]:
    """Compare pairs of ways of predicting: a row of HEAD per pair and metric, verdicts at 5% over all (Holm)."""
    judged = [found for first, second in held for found in _judge(first, second, runs)]
    adjusted = bootstrap.holm([found.p_value for found in judged])
    return [found.cells(p) for found, p in zip(judged, adjusted, strict=True)]


def _judge(first: Way, second: Way, runs: Sequence[Run]) -> Iterator[Judged]:
    predicted = [[predict(way, run) for run in runs] for way in (first, second)]
    for name in METRICS:
        results = np.array(
            [[_per_image(name, run, probs) for run, probs in zip(runs, of_way, strict=True)] for of_way in predicted]
        )  # (2, runs, images)
        differences = results[1].mean(axis=0) - results[0].mean(axis=0)
        found = bootstrap.paired_mean(differences, runs[0].scored.groups, of_hits=name != "log_loss")
        values = results.mean(axis=2)
        p_value = _p_value(found, values[1] - values[0], int(runs[0].scored.groups.max()))
        yield Judged(f"{first.text} : {second.text}", name, values, found, p_value)


def _p_value(found: bootstrap.Difference, gains: Values, freedom: int) -> float:
    """Test a mean gain against the errors of images and of seeds (Welch 1947, Biometrika 34); no less than images' own.

    Args:
        found: of the images.
        gains: (runs,).
        freedom: of the images: groups less one.
    """
    of_images = ((found.high - found.low) / (2 * bootstrap.Z)) ** 2
    of_seeds = float(gains.var(ddof=1)) / len(gains) if len(gains) > 1 else 0.0
    if of_images + of_seeds == 0:
        return 1.0
    spread = of_images + of_seeds
    freedoms = spread**2 / (of_images**2 / max(freedom, 1) + of_seeds**2 / max(len(gains) - 1, 1))
    return max(found.p_value, float(2 * special.stdtr(freedoms, -abs(found.value) / np.sqrt(spread))))


def predict(way: Way, run: Run) -> Probs:
    """Return what a way of predicting says in one run (images, classes).

    All that is fitted for a outer_fold, the terms' temperatures, the pick of the best or the mean's temperature, is fitted on
    the other outer_folds.
    """
    images, logs = run.scored, [calibration.log_probs(run.probs[term]) for term in way.terms]
    found = np.empty_like(logs[0])
    for outer_fold in images.all_outer_folds:
        others, here = images.rows(images.left({outer_fold})), images.rows({outer_fold})
        targets = images.targets[others]
        terms = [calibration.scaled(of_term, calibration.temperature(of_term[others], targets)) for of_term in logs]
        if way.best:
            ranks = [(images.metric.utility(targets, t[others]), -scores.log_loss(targets, t[others])) for t in terms]
            found[here] = terms[ranks.index(max(ranks))][here]
        elif len(terms) == 1:
            found[here] = terms[0][here]
        else:
            mean = calibration.log_probs(np.mean(terms, axis=0, dtype=np.float32))
            found[here] = calibration.scaled(mean[here], calibration.temperature(mean[others], targets))
    return found


def _per_image(metric: str, run: Run, probs: Probs) -> Values:
    targets = run.scored.targets
    if metric == "log_loss":
        return scores.log_losses(targets, probs)
    return np.asarray(probs.argmax(axis=1) == targets, np.float64)


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
    _, first_params, first_folds = read[0]
    for place, (name, (run, values, folds)) in enumerate(zip(names[1:], read[1:], strict=True), start=1):
        other = [change for change in experiments.changes(first_params, values) if not SEED.match(change)]
        if other:
            raise InputError(f"{name} differs from {names[0]} in more than its seeds: {'; '.join(other[:3])}")
        if not folds.equals(first_folds):
            raise InputError(f"{name}: its {revisions.FOLDS} is not that of {names[0]}: compare runs on the same folds")
        for earlier, _, _ in read[:place]:
            _refuse_copies(earlier, run, terms)
    return [run for run, _, _ in read]


def _refuse_copies(earlier: Run, run: Run, terms: Sequence[Term]) -> None:
    same = [term.member for term in terms if np.array_equal(run.probs[term], earlier.probs[term])]
    if same:
        raise InputError(
            f"{run.name}: {same[0]} predicts exactly what it does in {earlier.name}: no other seed"
            f" (`dvc exp run -S members.{same[0]}.model.seed=1`)"
        )


def _read_run(name: str, terms: Sequence[Term], root: Path) -> tuple[Run, dict[str, Any], pd.DataFrame]:
    members = sorted({term.member for term in terms})
    with revisions.files(name, root, (revisions.PARAMS,)) as folder:
        known = member_predictions.members_of(params.read(folder))
    if unknown := [member for member in members if member not in known]:
        raise InputError(f"{name}: no member is named {unknown[0]}; its members: {', '.join(known)}")
    paths = (revisions.PARAMS, revisions.FOLDS, *(f"data/infer/{member}.parquet" for member in members))
    with revisions.files(name, root, paths) as folder:
        values = params.read(folder)
        folds = tables.read(folder / revisions.FOLDS, tables.FOLDS).sort_values("image_id", ignore_index=True)
        used = folds[folds["use"] == "train"]
        classes = sorted(used["label"].unique())
        metric = scores.named(params.section(values, "contest.metric"), classes)
        images = evaluation_set.of_folds(used, [str(fold) for fold in params.section(values, "folds")], classes, metric)
        found = member_predictions.blend_members(values, folder)
        probs = {term: _probs(found[term.member], term, folds, classes, images) for term in terms}
    return Run(name, images, probs), values, folds


def _probs(
    source: member_predictions.MemberPredictions,
    term: Term,
    folds: pd.DataFrame,
    classes: Sequence[str],
    images: EvaluationSet,
) -> Probs:
    """Read a term's predictions in all transforms, with the classes' priors put back."""
    size = source.usual.image_sizes[0] if term.image_size is None else term.image_size
    tta = Tta((size,), source.usual.transforms)
    if tta not in (source.usual, *source.others):
        sizes = sorted({other.image_sizes[0] for other in (source.usual, *source.others)})
        raise InputError(f"--hold: {term.member} infers at {', '.join(map(str, sizes))} pixels, not at {size}")
    shifts = member_predictions.shifts(source, images.targets, images.folds, len(classes)).get(tta.phase)
    logs = seen(
        member_predictions.read_train(source, tta, folds, classes), None if shifts is None else shifts[images.folds]
    )
    return np.exp(logs)


if __name__ == "__main__":
    cli.run(main)
