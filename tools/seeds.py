"""Compare ways of predicting over runs that differ only in their seeds.

    python -m tools.seeds seed-0 seed-1 seed-2 --hold "vit_clean : vit" "vit : vit@192" "vit|resnet : vit + resnet"

A run is an experiment, a git revision or `workspace` in which the members' `infer` is done. A way of predicting is

- a member, at its training size or at another size that it infers: `vit`, `vit@192`
- the equal mean of several members: `vit + resnet`
- the best of several members, chosen for each fold on the other folds: `vit | resnet`

All predictions are out of fold, calibrated on the other folds. A row compares the second way with the first one in the
contest's metric and in log loss (podium/scoring/comparison.py). Gains are means over the runs. Seeds are no new images,
so each image's losses and hits are averaged over the runs first. A metric that is no mean over images (AUC, F1, kappas)
is bootstrapped: groups of images are drawn, and the difference on a draw is the mean over the runs. The intervals
include both errors, of images (by group) and of seeds, because other seeds would train other networks. All intervals of
the table hold together at 95%. The table also shows the range over the runs.
"""

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from podium.core import cli, params, tables, targets
from podium.core.errors import InputError
from podium.ensembling.tta_selection import OofByTta
from podium.predictions import calibration, member_predictions
from podium.predictions.calibration import Probs
from podium.predictions.tta import PROBE, Tta
from podium.scoring import comparison, evaluation_set, scores
from podium.scoring.evaluation_set import EvaluationSet
from podium.scoring.intervals import Evidence
from tools import experiments, revisions

Values = NDArray[np.float64]
HEAD = [  # log loss gains are in nats; gains above 0 mean that the second way is better
    *("first : second", "first", "second", "gain", "range over seeds", "interval"),
    *("log loss gain", "log loss range over seeds", "log loss interval", "p", "verdict"),
]
VERDICTS = {comparison.BETTER: "second is better", comparison.WORSE: "first is better"}
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
    """One run's out-of-fold predictions of each term, not calibrated; all runs have the same images.

    Attributes:
        probs: term -> (images, classes).
        shifts: term -> log class prior (images, classes); only terms whose training weighed classes.
    """

    name: str
    scored: EvaluationSet
    probs: dict[Term, Probs]
    shifts: dict[Term, Probs] = field(default_factory=dict)


def main(*words: str, root: Path = Path()) -> None:
    """Print a row per comparison.

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
    pairs = [two_ways(text) for text in asked.hold]
    terms = sorted({term for pair in pairs for way in pair for term in way.terms}, key=str)
    runs = _read(asked.runs, terms, root)
    images = runs[0].scored
    n_images = len(images.targets) // images.metric.n_labels
    print(f"{len(runs)} runs, {n_images} images out of fold, in {images.metric.name} and log loss; a gain")
    print("above 0 means that the second way is better; all intervals hold together at 95%\n")
    print("\n".join(f"| {' | '.join(row)} |" for row in (HEAD, ["---"] * len(HEAD), *table(pairs, runs))))


def two_ways(text: str) -> tuple[Way, Way]:
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


def table(pairs: Sequence[tuple[Way, Way]], runs: Sequence[SeedRun]) -> list[list[str]]:
    """Compare pairs of ways of predicting: a row of HEAD per pair."""
    return [_row(first, second, runs, len(pairs)) for first, second in pairs]


def _row(first: Way, second: Way, runs: Sequence[SeedRun], n_comparisons: int) -> list[str]:
    images = runs[0].scored
    bases, candidates = ([predict(way, run) for run in runs] for way in (first, second))
    compared = comparison.compare_runs(
        images.metric,
        images.targets,
        bases=bases,
        candidates=candidates,
        groups=images.groups,
        n_comparisons=n_comparisons,
    )
    values = [np.array([images.metric.function(images.targets, probs) for probs in way]) for way in (bases, candidates)]
    losses = [np.array([scores.log_loss(images.targets, probs) for probs in way]) for way in (bases, candidates)]
    sign = 1 if images.metric.greater_is_better else -1
    return [
        f"{first.text} : {second.text}",
        *(f"{of_way.mean():.4f}" for of_way in values),
        *_gain(compared.in_metric, sign * (values[1] - values[0])),
        *_gain(compared.in_log_loss, losses[0] - losses[1]),
        f"{compared.p:.3f}",
        VERDICTS.get(compared.verdict, compared.verdict),
    ]


def _gain(found: Evidence, of_runs: Values) -> list[str]:
    return [
        f"{found.difference:+.4f}",
        f"{of_runs.min():+.4f} to {of_runs.max():+.4f}",
        f"{found.low:+.4f} to {found.high:+.4f}",
    ]


def predict(way: Way, run: SeedRun) -> Probs:
    """Return a way's out-of-fold predictions in one run, (images, classes).

    Calibrations, and the choice of the best term, are fitted on the other outer folds.
    """
    images = run.scored
    members = [_member(run, term) for term in way.terms]
    probs = np.empty_like(run.probs[way.terms[0]])
    for outer_fold in images.all_outer_folds:
        others, here = images.rows(images.remaining({outer_fold})), images.rows({outer_fold})
        own = images.targets[others]
        terms = [
            member.calibration(member.default, {outer_fold}).apply(
                member.at(member.default), member.shift_of(member.default)
            )
            for member in members
        ]
        if way.best:
            ranks = [(images.metric.utility(own, t[others]), -scores.log_loss(own, t[others])) for t in terms]
            probs[here] = terms[ranks.index(max(ranks))][here]
        elif len(terms) == 1:
            probs[here] = terms[0][here]
        else:
            mean = calibration.log_probs(np.mean(terms, axis=0, dtype=np.float32))
            probs[here] = calibration.scaled(mean[here], calibration.fit_temperature(mean[others], own))
    return probs


def _member(run: SeedRun, term: Term) -> OofByTta:
    """Return a term as a member without alternatives, which `OofByTta.calibration` calibrates as for `ensemble`."""
    tta = Tta((term.image_size or 0,), ())
    shifts = {tta.phases[0]: run.shifts[term]} if term in run.shifts else {}
    return OofByTta(tta, (), {tta: calibration.log_probs(run.probs[term])}, run.scored, shifts)


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
        classes = targets.class_names(used["label"])
        metric = scores.named(params.section(values, "contest.metric"), classes)
        images = evaluation_set.of_folds(used, [str(fold) for fold in params.section(values, "folds")], classes, metric)
        found = member_predictions.blend_members(values, folder)
        ttas = {term: _tta(found[term.member], term) for term in terms}
        probs = {
            term: member_predictions.read_train(found[term.member], tta, folds, classes) for term, tta in ttas.items()
        }
        shifts = {}
        for term, tta in ttas.items():
            of_phases = member_predictions.prior_shifts(found[term.member], images.targets, images.folds, len(classes))
            if tta.phases[0] in of_phases:
                shifts[term] = of_phases[tta.phases[0]][images.folds]
    return SeedRun(name, images, probs, shifts), values, folds


def _tta(member: member_predictions.MemberPredictions, term: Term) -> Tta:
    """Return the TTA of a term: the mean of all TTA transforms at its size."""
    if member.default.phases == (PROBE,):
        raise InputError(
            f"--hold: {term.member} trains no phase (0 epochs in both), so it has no predictions by `infer`"
        )
    size = member.default.image_sizes[0] if term.image_size is None else term.image_size
    tta = Tta((size,), member.default.transforms)
    known = [known for known in (member.default, *member.alternatives) if known.phases == tta.phases]
    if tta not in known:
        sizes = sorted({known.image_sizes[0] for known in known})
        raise InputError(f"--hold: {term.member} infers at {', '.join(map(str, sizes))} pixels, not at {size}")
    return tta


if __name__ == "__main__":
    cli.run(main)
