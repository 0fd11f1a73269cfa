"""Is the estimate right on a real contest? `python -m docs.measure.resplit ROOT [--splits N] [--metric NAME]`.

ROOT is a project's folder with params.yaml, data/split, data/infer and data/prepare/test. Its scored images are halved
at random, by group, again and again: on one half everything is chosen and the nested and the naive score are taken;
the other half tells what the chosen blend scores. The means of the differences show each estimate's bias for choices
made on that many images. Halves of one contest overlap between splits, so that the standard errors given, which take
splits as independent, are too small; and out-of-fold predictions are as they are: nothing is trained again.
"""

import argparse
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from podium.core import cli, seeding
from podium.ensembling import nested_cv
from podium.ensembling.tta_selection import OofByTta
from podium.folds.outer_folds import deal
from podium.scoring import scores
from podium.scoring.evaluation_set import EvaluationSet, Indices
from stages import ensemble


def main(*words: str) -> None:
    """Print the bias of both estimates."""
    parser = argparse.ArgumentParser(
        prog="python -m docs.measure.resplit", description="Bias of the estimates on a contest."
    )
    parser.add_argument("root", type=Path)
    parser.add_argument("--splits", type=int, default=60)
    parser.add_argument("--metric", default="accuracy", choices=list(scores.SCORES))
    asked = parser.parse_args(words)
    job = ensemble.load(asked.root)
    scored = replace(job.scored, metric=scores.SCORES[asked.metric])
    members = [replace(ensemble.member(job, source), scored=scored) for source in job.sources.values()]
    rows = pd.DataFrame([one(members, scored, number) for number in range(asked.splits)])
    print(f"{asked.root.name}: {asked.metric}, {asked.splits} halvings of {len(scored.targets)} images")
    for name in ("nested", "naive"):
        errors = 100 * (rows[name] - rows["other"])
        print(f"{name} - other half: {errors.mean():+.3f} ± {errors.std() / math.sqrt(len(errors)):.3f} points")
    print(f"methods taken: {rows['method'].value_counts().to_dict()}")


def one(members: list[OofByTta], scored: EvaluationSet, number: int) -> dict[str, object]:
    """Choose and estimate on one half, and score the choice on the other."""
    rng = np.random.default_rng(seeding.derive("resplit", number))
    halves = rng.permutation(np.arange(scored.groups.max() + 1) % 2)[scored.groups]
    here, there = (np.flatnonzero(halves == half) for half in (0, 1))
    half = _part(scored, here)
    methods = [name for name in METHODS if name != "ranks" or scored.metric.name == "roc_auc"]
    held_out = nested_cv.choices(half, len(methods))
    chosen = [nested_cv.chosen(_member(member, half, here), held_out) for member in members]
    nest = nested_cv.NestedCv(half, chosen, methods)
    outcome = nest.outcome()
    others = [_member(member, _part(scored, there), there) for member in members]
    ttas = [one.decisions[nested_cv.NONE_HELD_OUT].tta for one in chosen]
    elsewhere = [replace(one, logs={tta: other.at(tta)}) for one, other, tta in zip(chosen, others, ttas, strict=True)]
    blend = outcome.recipe.apply(
        nested_cv.CalibratedMembers(elsewhere, nested_cv.NONE_HELD_OUT, np.arange(len(there))), scored.folds[there]
    )
    function = scored.metric.function
    return {
        "nested": function(half.targets, outcome.oof),
        "naive": function(half.targets, outcome.naive),
        "other": function(scored.targets[there], blend),
        "method": outcome.gated.method,
    }


METHODS = ("equal", "logits", "ranks", "greedy", "weighted", "stacking")


def _part(scored: EvaluationSet, rows: Indices) -> EvaluationSet:
    folds, groups = scored.folds[rows], np.unique(scored.groups[rows], return_inverse=True)[1]
    targets = scored.targets[rows]
    return EvaluationSet(targets, folds, groups, deal(folds, groups, targets), scored.metric)


def _member(member: OofByTta, scored: EvaluationSet, rows: Indices) -> OofByTta:
    logs = {tta: array[rows] for tta, array in member.logs.items()}
    return OofByTta(member.usual, member.others, logs, scored)


if __name__ == "__main__":
    cli.run(main)
