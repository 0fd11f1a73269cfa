"""Measure whether out-of-fold ranks promise what new images get: `python -m docs.measure.simulate_ranks --draws 60`.

Draws contests of two classes in which every member is trained fold by fold (docs.measure.simulated), and blends them by
the equal mean of probabilities and by ranks. Each fold's model of a member gets an offset of its logits, drawn with the
standard deviation `offset`, as networks of different folds differ. Prints the AUC x 100 out of fold (nested) and on
10,000 new images (the mean of the folds' blends, as for test images), and what ranks gain over the equal mean in each.
`ranks within folds` is the rule before 2026-11-28: an image's rank among the images of its own fold, and of new images
among all new images.
"""

import argparse
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from docs.measure import simulated
from docs.measure.simulated import Condition
from podium.core import cli
from podium.ensembling import nested_cv
from podium.predictions import calibration
from podium.predictions.calibration import Probs

CONDITION = Condition("AUC by ranks", "roc_auc", 200, 3, 1.2, n_classes=2, n_sizes=1, trained=True)
OFFSETS = (0.0, 0.5, 1.0)


def main(*words: str) -> None:
    """Print a line for every condition and way."""
    parser = argparse.ArgumentParser(prog="python -m docs.measure.simulate_ranks")
    parser.add_argument("--draws", type=int, default=60, help="contests per offset")
    draws = parser.parse_args(words).draws
    for offset in OFFSETS:
        found = np.array([contest(offset, number) for number in range(draws)])  # (draws, ways, [oof, new])
        for index, way in enumerate(("equal", "ranks", "ranks within folds")):
            oof, new = 100 * found[:, index].mean(axis=0)
            gains = 100 * (found[:, index] - found[:, 0])
            gained = [f"{one.mean():+.2f} ± {one.std(ddof=1) / np.sqrt(draws):.2f}" for one in gains.T]
            print(f"| {offset} | {way} | {oof:.2f} | {new:.2f} | {gained[0]} | {gained[1]} |", flush=True)


def contest(offset: float, number: int) -> list[tuple[float, float]]:
    """Return the AUC out of fold and on new images of all ways."""
    drawn = simulated.draw(CONDITION, number)
    function, targets, folds = drawn.scored.metric.function, drawn.scored.targets, drawn.scored.folds
    rng = np.random.default_rng(number)
    for index, member in enumerate(drawn.members):
        moves = offset * rng.normal(size=(simulated.N_FOLDS, 1, 1)) * np.array([-0.5, 0.5])
        moves = moves.astype(np.float32)
        for tta, logs in member.logs.items():
            member.logs[tta] = calibration.shifted(logs, moves[folds, 0])
            for move, of_fold in zip(moves, drawn.logs, strict=True):
                of_fold[index][tta] = calibration.shifted(of_fold[index][tta], move)
    members = [nested_cv.choose_member(member, nested_cv.held_out_sets(drawn.scored, 1)) for member in drawn.members]
    found = []
    for method in ("equal", "ranks"):
        nested = nested_cv.NestedCv(drawn.scored, members, [method])
        outcome = nested.outcome()
        found.append((function(targets, outcome.oof), drawn.truths(nested, outcome)[1]))
    oof = [member.probs(nested_cv.NONE_HELD_OUT, np.arange(len(targets))) for member in members]
    new = [np.exp(next(iter(logs.values()))) for of_fold in drawn.logs for logs in of_fold]
    within = np.zeros_like(oof[0], np.float64)
    for fold in np.unique(folds):
        within[folds == fold] = _mean_rank([probs[folds == fold] for probs in oof])
    return [*found, (function(targets, within), function(drawn.targets, _mean_rank(new)))]


def _mean_rank(members: Sequence[Probs]) -> NDArray[np.float64]:
    """Return the members' mean rank among these images (images, classes)."""
    ranks = [(stats.rankdata(probs, axis=0) - 0.5) / len(probs) for probs in members]
    return np.asarray(np.mean(ranks, axis=0), np.float64)


if __name__ == "__main__":
    cli.run(main)
