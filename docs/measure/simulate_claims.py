"""How often is a blend called better than every member? `python -m docs.measure.simulate_claims`.

The first member's logits are its skill times the one-hot class plus noise. The others:

- copies: they are the first one's, surer or less sure. A blend gains nothing
- worse copies: they are the first one's plus noise. The first knows all that they know, so a blend gains nothing
- guesses: they know nothing
- different errors: all are as good, and a fifth of their noise's variance is their own. A blend gains

A row gives, over the drawn contests:

- gain: true accuracy of the submitted blend less the best member's, in points, on 50,000 images
- claimed: contests in which the blend is called better than all of its members (data/ensemble/blend.csv), in %
- over the pick: contests in which it is called better than what the member picked on the other folds predicts, in %:
  what Podium claimed before
"""

import argparse
from collections.abc import Sequence

import numpy as np

from docs.measure.simulated import N_FOLDS, TRANSFORMS, SimulatedContest
from podium.core import cli, seeding
from podium.ensembling import evidence_tables, nested_cv
from podium.ensembling.tta_selection import OofByTta
from podium.folds.outer_folds import deal
from podium.predictions import calibration
from podium.predictions.calibration import Probs, Targets, Values
from podium.predictions.tta import Tta
from podium.scoring import comparison, scores
from podium.scoring.evaluation_set import EvaluationSet

METHODS = ("equal", "logits", "greedy", "weighted", "stacking")
CASES = ("copies", "worse copies", "guesses", "different errors")
N_IMAGES, N_MEMBERS, N_CLASSES, SKILL, POPULATION = (200, 1000), 3, 3, 1.6, 50_000
ACCURACY = scores.SCORES["accuracy"]
ONLY = Tta((224,), TRANSFORMS)


def main(*words: str) -> None:
    """Print a row per case and number of images."""
    parser = argparse.ArgumentParser(prog="python -m docs.measure.simulate_claims", description="Claims of blends.")
    parser.add_argument("--draws", type=int, default=200)
    draws = parser.parse_args(words).draws
    print("| members | images | gain | claimed, % | over the pick, % |\n| --- | --- | --- | --- | --- |")
    for case in CASES:
        for n_images in N_IMAGES:
            found = np.array([contest(case, n_images, number) for number in range(draws)], float)
            gain, claimed, over_pick = 100 * found.mean(axis=0)
            error = 100 * found[:, 0].std(ddof=1) / np.sqrt(draws)
            print(f"| {case} | {n_images} | {gain:+.2f} ± {error:.2f} | {claimed:.1f} | {over_pick:.1f} |", flush=True)


def contest(case: str, n_images: int, number: int) -> tuple[float, bool, bool]:
    """Return the true gain of a drawn contest's blend, and whether it is claimed over all members and over the pick."""
    rng = np.random.default_rng(seeding.derive("claims", case, n_images, number))
    (targets, logs), (new_targets, new_logs) = (_drawn(case, count, rng) for count in (n_images, POPULATION))
    folds = np.arange(n_images) % N_FOLDS
    images = EvaluationSet(targets, folds, np.arange(n_images), deal(folds, np.arange(n_images), targets), ACCURACY)
    given = [OofByTta(ONLY, (), {ONLY: own}, images) for own in logs]
    drawn = SimulatedContest(images, given, new_targets, [[{ONLY: own} for own in new_logs]])
    held_out = nested_cv.held_out_sets(images, len(METHODS))
    nest = nested_cv.NestedCv(images, [nested_cv.choose_member(one, held_out) for one in given], METHODS)
    outcome = nest.outcome()
    gain = drawn.truths(nest, outcome)[0] - max(ACCURACY.function(new_targets, own) for own in new_logs)
    members = {str(index): nested_cv.member_oof(nest, index) for index in range(N_MEMBERS)}
    over_all = (evidence_tables.blend(images, outcome.oof, members)["verdict"] == comparison.BETTER).all()
    return gain, bool(over_all), _is_better(images, _picked(images, list(members.values())), outcome.oof)


def _drawn(case: str, n_images: int, rng: np.random.Generator) -> tuple[Targets, list[Probs]]:
    """Draw targets (images,) and each member's log probabilities (images, classes)."""
    targets, shape = rng.integers(0, N_CLASSES, n_images), (n_images, N_CLASSES)
    known = SKILL * np.eye(N_CLASSES)[targets]
    shared = rng.normal(size=shape)
    if case == "different errors":  # a fifth of the noise's variance is a member's own
        members = [known + np.sqrt(0.8) * shared + np.sqrt(0.2) * rng.normal(size=shape) for _ in range(N_MEMBERS)]
    else:
        first = known + shared
        members = [first, *(_other(case, first, index, rng) for index in range(1, N_MEMBERS))]
    return targets, [calibration.log_probs(calibration.scaled(own.astype(np.float32), 1.0)) for own in members]


def _other(case: str, first: Values, index: int, rng: np.random.Generator) -> Values:
    if case == "copies":
        return first * (0.6 if index == 1 else 1.6)
    noise = rng.normal(size=first.shape)
    return first + 0.5 * noise if case == "worse copies" else noise


def _picked(images: EvaluationSet, members: Sequence[Probs]) -> Probs:
    """Return, outer fold by outer fold, the predictions of the member that is best on the others."""
    found = np.empty_like(members[0])
    for fold in images.all_outer_folds:
        others, here = images.rows(images.remaining({fold})), images.rows({fold})
        best = max(members, key=lambda own: ACCURACY.function(images.targets[others], own[others]))
        found[here] = best[here]
    return found


def _is_better(images: EvaluationSet, base: Probs, candidate: Probs) -> bool:
    found = comparison.compare(ACCURACY, images.targets, base=base, candidate=candidate, groups=images.groups)
    return found.verdict == comparison.BETTER


if __name__ == "__main__":
    cli.run(main)
