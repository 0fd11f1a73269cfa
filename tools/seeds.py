"""Compare ways of predicting over runs that differ only in their seeds.

    python -m tools.seeds seed-0 seed-1 seed-2 --hold "vit_clean : vit" "vit : vit@192" "vit|resnet : vit + resnet"

A run is an experiment, a git revision or `workspace` in which the members' `infer` is done. A way of predicting is

- a member, at its training size or at another size that it infers: `vit`, `vit@192`
- the equal mean of several members: `vit + resnet`
- the best of several members, chosen for each fold on the other folds: `vit | resnet`

All predictions are out of fold, with temperatures fitted on the other folds. For the interval, each image's result is
first averaged over the runs, because seeds are not new images; then images are resampled by cluster. The table also
shows the range over the runs. The p-value includes both errors, of images and of seeds, because other seeds would train
other networks. Verdicts are at 5% over all comparisons (Holm).
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
METRICS = ("accuracy", "log_loss")  # means over images, so an image's results can be averaged over runs
TERM = re.compile(r"(?P<member>[A-Za-z0-9_-]+)(@(?P<image_size>[0-9]+))?")
SEED = re.compile(r"model\.seed of [^:]+: ")  # the changes that are allowed between runs


@dataclass(frozen=True)
class Term:
    """A member at an image size in pixels; None is its training size."""

    member: str
    image_size: int | None


@dataclass(frozen=True)
class Way:
    """A way of predicting: the mean of its terms, or (`best`) the term that is best on the other folds."""

    text: str
    terms: tuple[Term, ...]
    best: bool


@dataclass(frozen=True)
class SeedRun:
    """One run's out-of-fold predictions of each term, not temperature-scaled; all runs have the same images."""

    name: str
    scored: EvaluationSet
    probs: dict[Term, Probs]


def main(*words: str, root: Path = Path()) -> None:
    """Print two rows per comparison.

    Raises:
        InputError: a run does not exist, the runs differ in more than their seeds or not at all, or a way of predicting
            is malformed.
    """
    parser = argparse.ArgumentParser(prog="python -m tools.seeds", description="Ways of predicting, over seeds.")
    parser.add_argument(
        "runs", nargs="+", help="experiments, git revisions or `workspace` that differ only in their seeds"
    )
    parser.add_argument("--hold", nargs="+", required=True, metavar="WAY:WAY", help='e.g. "vit : vit@192"')
    asked = parser.parse_args(words)
    if len(asked.runs) < 2:
        parser.error("name at least two runs, better three: one run cannot show the effect of seeds")
    pairs = [comparison(text) for text in asked.hold]
    terms = sorted({term for pair in pairs for way in pair for term in way.terms}, key=str)
    runs = _read(asked.runs, terms, root)
    print(f"{len(runs)} runs, {len(runs[0].scored.targets)} images out of fold; differences: second minus first\n")
    print("\n".join(f"| {' | '.join(row)} |" for row in (HEAD, ["---"] * len(HEAD), *table(pairs, runs))))


def comparison(text: str) -> tuple[Way, Way]:
    """Read `WAY : WAY`.

    Raises:
        InputError: the text is malformed.
    """
    ways = text.split(":")
    if len(ways) != 2:
        raise InputError(f"--hold {text!r}: write two ways of predicting with a colon between them")
    first, second = map(_way, ways)
    if (first.terms, first.best) == (second.terms, second.best):
        raise InputError(f"--hold {text!r}: both ways are the same")
    return first, second


@dataclass(frozen=True)
class SeedsComparison:
    """Two ways of predicting, compared by one metric.

    Attributes:
        text: the two ways.
        values: (2, runs) scores of the first and the second way.
        difference: over the images, each image's result averaged over the runs.
        p_value: two-sided, with the errors of images and seeds.
    """

    text: str
    metric: str
    values: Values
    difference: bootstrap.Difference
    p_value: float

    def cells(self, adjusted: float) -> list[str]:
        """Return a row of HEAD, with its verdict by the p-value adjusted for all rows."""
        gains = self.values[1] - self.values[0]
        better = (self.difference.value > 0) == (self.metric != "log_loss")
        sure = adjusted < intervals.ALPHA and self.difference.supported
        return [
            self.text,
            self.metric.replace("_", " "),
            *(f"{value:.4f}" for value in self.values.mean(axis=1)),
            f"{self.difference.value:+.4f}",
            f"{gains.min():+.4f} to {gains.max():+.4f}",
            f"{self.difference.low:+.4f} to {self.difference.high:+.4f}",
            f"{self.p_value:.3f}",
            ("second is better" if better else "first is better") if sure else "no evidence",
        ]


def table(pairs: Sequence[tuple[Way, Way]], runs: Sequence[SeedRun]) -> list[list[str]]:
    """Compare pairs of ways of predicting: a row of HEAD per pair and metric, verdicts at 5% over all rows (Holm)."""
    compared = [row for first, second in pairs for row in _compare(first, second, runs)]
    adjusted = bootstrap.holm([row.p_value for row in compared])
    return [row.cells(p) for row, p in zip(compared, adjusted, strict=True)]


def _compare(first: Way, second: Way, runs: Sequence[SeedRun]) -> Iterator[SeedsComparison]:
    predicted = [[predict(way, run) for run in runs] for way in (first, second)]
    for name in METRICS:
        results = np.array(
            [[_per_image(name, run, probs) for run, probs in zip(runs, of_way, strict=True)] for of_way in predicted]
        )  # (2, runs, images)
        differences = results[1].mean(axis=0) - results[0].mean(axis=0)
        difference = bootstrap.paired_mean(differences, runs[0].scored.groups, of_hits=name != "log_loss")
        values = results.mean(axis=2)
        p_value = _p_value(difference, values[1] - values[0], int(runs[0].scored.groups.max()))
        yield SeedsComparison(f"{first.text} : {second.text}", name, values, difference, p_value)


def _p_value(difference: bootstrap.Difference, gains: Values, freedom: int) -> float:
    """Test a mean gain with the errors of images and of seeds (Welch 1947, Biometrika 34).

    Args:
        difference: over the images.
        gains: (runs,) differences of the runs' scores.
        freedom: degrees of freedom of the images: number of groups minus 1.

    Returns:
        two-sided p-value, no smaller than that of the images alone.
    """
    of_images = ((difference.high - difference.low) / (2 * bootstrap.Z)) ** 2
    of_seeds = float(gains.var(ddof=1)) / len(gains) if len(gains) > 1 else 0.0
    if of_images + of_seeds == 0:
        return 1.0
    spread = of_images + of_seeds
    freedoms = spread**2 / (of_images**2 / max(freedom, 1) + of_seeds**2 / max(len(gains) - 1, 1))
    return max(difference.p_value, float(2 * special.stdtr(freedoms, -abs(difference.value) / np.sqrt(spread))))


def predict(way: Way, run: SeedRun) -> Probs:
    """Return a way's out-of-fold predictions in one run, (images, classes).

    Temperatures, and the choice of the best term, are fitted on the other outer folds.
    """
    images, logs = run.scored, [calibration.log_probs(run.probs[term]) for term in way.terms]
    probs = np.empty_like(logs[0])
    for outer_fold in images.all_outer_folds:
        others, here = images.rows(images.left({outer_fold})), images.rows({outer_fold})
        targets = images.targets[others]
        terms = [calibration.scaled(of_term, calibration.temperature(of_term[others], targets)) for of_term in logs]
        if way.best:
            ranks = [(images.metric.utility(targets, t[others]), -scores.log_loss(targets, t[others])) for t in terms]
            probs[here] = terms[ranks.index(max(ranks))][here]
        elif len(terms) == 1:
            probs[here] = terms[0][here]
        else:
            mean = calibration.log_probs(np.mean(terms, axis=0, dtype=np.float32))
            probs[here] = calibration.scaled(mean[here], calibration.temperature(mean[others], targets))
    return probs


def _per_image(metric: str, run: SeedRun, probs: Probs) -> Values:
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
            f"--hold: {text.strip()!r} is malformed: write members, each once, as NAME or NAME@SIZE, joined by + (their"
            " mean) or | (the best of them)"
        )
    return Way(f" {'or' if best else '+'} ".join(words), terms, best)


def _read(names: Sequence[str], terms: Sequence[Term], root: Path) -> list[SeedRun]:
    """Read all runs.

    Raises:
        InputError: see `main`.
    """
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"{repeated[0]}: named twice")
    read = [_read_run(name, terms, root) for name in names]
    _, first_params, first_folds = read[0]
    for index, (name, (run, values, folds)) in enumerate(zip(names[1:], read[1:], strict=True), start=1):
        other = [change for change in experiments.changes(first_params, values) if not SEED.match(change)]
        if other:
            raise InputError(f"{name} differs from {names[0]} in more than its seeds: {'; '.join(other[:3])}")
        if not folds.equals(first_folds):
            raise InputError(
                f"{name}: its {revisions.FOLDS} differs from that of {names[0]}: compare runs on the same folds"
            )
        for earlier, _, _ in read[:index]:
            _refuse_copies(earlier, run, terms)
    return [run for run, _, _ in read]


def _refuse_copies(earlier: SeedRun, run: SeedRun, terms: Sequence[Term]) -> None:
    same = [term.member for term in terms if np.array_equal(run.probs[term], earlier.probs[term])]
    if same:
        raise InputError(
            f"{run.name}: {same[0]} has the same predictions in {earlier.name}: use another seed"
            f" (`dvc exp run -S members.{same[0]}.model.seed=1`)"
        )


def _read_run(name: str, terms: Sequence[Term], root: Path) -> tuple[SeedRun, dict[str, Any], pd.DataFrame]:
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
    return SeedRun(name, images, probs), values, folds


def _probs(
    source: member_predictions.MemberPredictions,
    term: Term,
    folds: pd.DataFrame,
    classes: Sequence[str],
    images: EvaluationSet,
) -> Probs:
    """Read a term's predictions (images, classes), the mean of its TTA transforms, with the class priors restored."""
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
