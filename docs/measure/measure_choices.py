"""Compare two choices fixed in `ensemble` with their alternatives: `python -m docs.measure.measure_choices ROOT...`.

ROOT is the folder of a finished run, as for docs.measure.resplit. Prints out-of-fold log losses in nats:

- a member's temperature: none, one for all fold models (fitted on the other folds), or one per fold model (fitted on
  nine tenths of the fold's own images; the other tenth is scored)
- stacking at several penalties (scikit-learn's C), everything else as in nested cross-validation
"""

import argparse
from pathlib import Path

import numpy as np

from podium.core import cli
from podium.ensembling import inputs, nested_cv
from podium.ensembling.methods import stacking
from podium.ensembling.tta_selection import OofByTta
from podium.predictions import calibration
from podium.scoring import scores

TENTHS = 10
PENALTIES = (0.001, 0.01, 0.1, 1.0)


def main(*words: str) -> None:
    """Print the log losses of every contest."""
    parser = argparse.ArgumentParser(prog="python -m docs.measure.measure_choices")
    parser.add_argument("roots", type=Path, nargs="+")
    for root in parser.parse_args(words).roots:
        read = inputs.load(root)
        members = {name: inputs.oof(read, name) for name in read.predictions}
        for name, member in members.items():
            none, shared, own = temperatures(member)
            print(f"{root.name} {name}: no temperature {none:.4f}, one {shared:.4f}, one per fold {own:.4f}")
        found = [f"C={c:g} {stacked(list(members.values()), c):.4f}" for c in PENALTIES]
        print(f"{root.name} stacking: {', '.join(found)}")


def temperatures(member: OofByTta) -> tuple[float, float, float]:
    """Return the mean loss without temperatures, with those of the other folds, and with those of the fold itself."""
    scored, logs = member.images, member.logs[member.default]
    losses = np.empty((3, len(scored.targets)))
    for fold in np.unique(scored.folds):
        here, others = np.flatnonzero(scored.folds == fold), np.flatnonzero(scored.folds != fold)
        shared = calibration.fit_temperature(logs[others], scored.targets[others])
        for row, temperature in enumerate((1.0, shared)):
            losses[row, here] = calibration.losses(logs[here], scored.targets[here], temperature)
        for tenth in range(TENTHS):
            out, rest = here[tenth::TENTHS], np.delete(here, np.s_[tenth::TENTHS])
            own = calibration.fit_temperature(logs[rest], scored.targets[rest])
            losses[2, out] = calibration.losses(logs[out], scored.targets[out], own)
    none, one, per_fold = losses.mean(axis=1)
    return float(none), float(one), float(per_fold)


def stacked(members: list[OofByTta], inverse_penalty: float) -> float:
    """Return the log loss of stacking at a penalty, by nested cross-validation."""
    scored = members[0].images
    default, stacking.INVERSE_PENALTY = stacking.INVERSE_PENALTY, inverse_penalty
    try:
        chosen = [nested_cv.choose_member(member, nested_cv.held_out_sets(scored, 1)) for member in members]
        return scores.log_loss(scored.targets, nested_cv.NestedCv(scored, chosen, ["stacking"]).outcome().oof)
    finally:
        stacking.INVERSE_PENALTY = default


if __name__ == "__main__":
    cli.run(main)
