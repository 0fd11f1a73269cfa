"""Put class priors back after class weights: `python -m docs.measure.prior_strength ROOT MEMBER --out FOLDER`.

FOLDER (`--out`) is that of docs.measure.ablation, called with `--variants base class_weights`. Models trained with
class weights may lack the class priors, and may not, because weights lose their effect once a network fits its images
(Byrd & Lipton 2019, arXiv 1812.03372). The script adds none of the log priors, all, or the share that `ensemble` fits
with the temperature. Calibration and the decision for balanced accuracy are fitted on the other folds.
"""

import argparse
from pathlib import Path

import numpy as np

from docs.measure import ablation, one_class
from docs.measure.variants import BASE
from podium.core import cli
from podium.predictions import calibration
from podium.predictions.calibration import FittedCalibration, Probs
from podium.scoring import scores, thresholds
from podium.scoring.evaluation_set import EvaluationSet
from tools.seeds import Term

WEIGHTED = "class_weights"
WAYS = {"none of the prior": 0.0, "all of it": 1.0, "the fitted share": None}
METRIC = scores.SCORES["balanced_accuracy"]


def main(*words: str) -> None:
    """Print a row for each way, averaged over seeds."""
    parser = argparse.ArgumentParser(prog="python -m docs.measure.prior_strength", description="Class priors put back.")
    parser.add_argument("root", type=Path)
    parser.add_argument("member")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(words)
    one_class.require(args.root)
    seeds = sorted(int(folder.name) for folder in (args.out / WEIGHTED).iterdir())
    runs = [ablation.read_run(args.root, args.member, (BASE, WEIGHTED), args.out, (seed, seed)) for seed in seeds]
    print("| trained with | put back | balanced accuracy | accuracy | log loss | share, by seed and fold |")
    print("|---|---|---|---|---|---|")
    for variant, put_back in ((BASE, {"": 0.0}), (WEIGHTED, WAYS)):
        for way, strength in put_back.items():
            found = [
                scored(run.scored, run.probs[Term(variant, None)], run.shifts[Term(WEIGHTED, None)], strength)
                for run in runs
            ]
            cells = [f"{value:.4f}" for value in np.mean([values for values, _ in found], axis=0)]
            shares = " ".join(f"{share:g}" for _, used in found for share in used) if strength is None else ""
            print(f"| {variant} | {way} | {' | '.join(cells)} | {shares} |")


def scored(
    images: EvaluationSet, probs: Probs, shifts: Probs, strength: float | None
) -> tuple[list[float], list[float]]:
    """Return balanced accuracy, accuracy and log loss, and the share of the prior that is added in each fold.

    Args:
        images: the evaluation set.
        probs: (images, classes), out of fold.
        shifts: log class prior (images, classes).
        strength: the share; None fits it.
    """
    logs, calibrated, decided, shares = calibration.log_probs(probs), np.empty_like(probs), np.empty_like(probs), []
    for fold in np.unique(images.folds):
        others, here = images.folds != fold, images.folds == fold
        fitted = calibration.fit(logs[others], images.targets[others], shifts[others])
        if strength is not None:
            with_prior = calibration.with_prior(logs[others], shifts[others], strength)
            fitted = FittedCalibration(calibration.fit_temperature(with_prior, images.targets[others]), strength)
        known, calibrated[here] = (fitted.apply(logs[rows], shifts[rows]) for rows in (others, here))
        decided[here] = thresholds.fit(images.targets[others], known, METRIC).apply(calibrated[here])
        shares.append(fitted.prior_strength)
    accuracy = scores.SCORES["accuracy"].function(images.targets, calibrated)
    values = [METRIC.function(images.targets, decided), accuracy, scores.log_loss(images.targets, calibrated)]
    return values, shares


if __name__ == "__main__":
    cli.run(main)
