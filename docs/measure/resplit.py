"""Measure the bias of the score estimates on a real contest: `python -m docs.measure.resplit ROOT`.

ROOT is the folder of a finished run (params.yaml, data/split, data/infer and data/prepare/test). Each split halves the
evaluation set at random, by group. The first half chooses the blend and gives its nested and its naive score; the
second half scores the chosen blend. The mean differences are the biases of the two estimates for that many images.
The printed standard errors treat splits as independent and are too small, because the halves of different splits
overlap. Nothing is trained again: the out-of-fold predictions stay the same.
"""

import argparse
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from docs.measure import one_class
from podium.core import cli, seeding
from podium.ensembling import inputs, nested_cv
from podium.ensembling.blending import BlendSizes
from podium.ensembling.method_registry import METHODS
from podium.ensembling.nested_cv import ChosenMember
from podium.ensembling.tta_selection import OofByTta
from podium.folds.outer_folds import deal
from podium.predictions.tta import Tta
from podium.scoring import scores
from podium.scoring.evaluation_set import EvaluationSet, Indices


def main(*words: str) -> None:
    """Print the biases of the nested and the naive score."""
    parser = argparse.ArgumentParser(
        prog="python -m docs.measure.resplit", description="Bias of the estimates on a contest."
    )
    parser.add_argument("root", type=Path)
    parser.add_argument("--splits", type=int, default=60)
    parser.add_argument("--metric", default="accuracy", choices=list(scores.SCORES))
    asked = parser.parse_args(words)
    one_class.require(asked.root)
    read = inputs.load(asked.root)
    scored = replace(read.images, metric=scores.SCORES[asked.metric])
    members = [replace(inputs.oof(read, name), images=scored) for name in read.predictions]
    rows = pd.DataFrame([halving(members, scored, number) for number in range(asked.splits)])
    print(f"{asked.root.name}: {asked.metric}, {asked.splits} halvings of {len(scored.targets)} images")
    for name in ("nested", "naive"):
        errors = 100 * (rows[name] - rows["other"])
        print(f"{name} - second half: {errors.mean():+.3f} ± {errors.std() / math.sqrt(len(errors)):.3f} points")
    print(f"chosen methods: {rows['method'].value_counts().to_dict()}")


def halving(members: list[OofByTta], scored: EvaluationSet, number: int) -> dict[str, object]:
    """Choose and estimate on one half, and score the chosen blend on the other."""
    rng = np.random.default_rng(seeding.derive("resplit", number))
    halves = rng.permutation(np.arange(scored.groups.max() + 1) % 2)[scored.groups]
    here, there = (np.flatnonzero(halves == half) for half in (0, 1))
    half = _subset(scored, here)
    sizes = BlendSizes(len(members), members[0].at(members[0].default).shape[1], scored.metric.of_ranks)
    methods = [name for name, method in METHODS.items() if not method.unusable(sizes)]
    held_out = nested_cv.held_out_sets(half, len(methods))
    chosen = [nested_cv.choose_member(_member(member, half, here), held_out) for member in members]
    nest = nested_cv.NestedCv(half, chosen, methods)
    outcome = nest.outcome()
    others = [_member(member, _subset(scored, there), there) for member in members]
    ttas = [member.choices[nested_cv.NONE_HELD_OUT].tta for member in chosen]
    elsewhere = [_at(other, tta, member) for member, other, tta in zip(chosen, others, ttas, strict=True)]
    blend = outcome.recipe.apply(nested_cv.CalibratedMembers(elsewhere, nested_cv.NONE_HELD_OUT, np.arange(len(there))))
    function = scored.metric.function
    return {
        "nested": function(half.targets, outcome.oof),
        "naive": function(half.targets, outcome.naive),
        "other": function(scored.targets[there], blend),
        "method": outcome.selection.method,
    }


def _subset(scored: EvaluationSet, rows: Indices) -> EvaluationSet:
    folds, groups = scored.folds[rows], np.unique(scored.groups[rows], return_inverse=True)[1]
    targets = scored.targets[rows]
    return EvaluationSet(targets, folds, groups, deal(folds, groups, targets), scored.metric)


def _member(member: OofByTta, scored: EvaluationSet, rows: Indices) -> OofByTta:
    logs = {tta: array[rows] for tta, array in member.logs.items()}
    shifts = {phase: array[rows] for phase, array in member.shifts.items()}
    return OofByTta(member.default, member.alternatives, logs, scored, shifts)


def _at(other: OofByTta, tta: Tta, member: ChosenMember) -> ChosenMember:
    """Return a member with its choices, and with another half's predictions in the chosen TTA."""
    shift = other.shift_of(tta)
    return replace(member, logs={tta: other.at(tta)}, shifts={} if shift is None else {tta: shift})


if __name__ == "__main__":
    cli.run(main)
