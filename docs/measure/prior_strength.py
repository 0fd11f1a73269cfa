"""Put class priors back after class weights: `python -m docs.measure.prior_strength ROOT MEMBER --out FOLDER`.

FOLDER (`--out`) is that of docs.measure.ablation, called with `--variants base class_weights`. Models trained with
class weights may lack the class priors, and may not, because weights lose their effect once a network fits its images
(Byrd & Lipton 2019, arXiv 1812.03372). The script adds none of the log priors, all, or the share that `ensemble` fits
with the temperature. Calibration and the decision for balanced accuracy are fitted on the other folds.
"""

import argparse
from pathlib import Path

import numpy as np

from docs.measure import one_class
from docs.measure.variants import BASE
from podium.core import cli, params, tables, targets
from podium.predictions import calibration, prediction_files
from podium.predictions.calibration import FittedCalibration, Probs
from podium.scoring import scores, thresholds

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
    images = _Images(args.root, args.member)
    print("| trained with | put back | balanced accuracy | accuracy | log loss | share, by seed and fold |")
    print("|---|---|---|---|---|---|")
    for variant, put_back in ((BASE, {"": 0.0}), (WEIGHTED, WAYS)):
        seeds = [images.read(folder) for folder in sorted((args.out / variant).iterdir())]
        for way, strength in put_back.items():
            scored = [images.scored(logs, strength) for logs in seeds]
            cells = [f"{value:.4f}" for value in np.mean([found[:3] for found in scored], axis=0)]
            shares = " ".join(f"{share:g}" for found in scored for share in found[3:]) if strength is None else ""
            print(f"| {variant} | {way} | {' | '.join(cells)} | {shares} |")


class _Images:
    """The scored images of a project and their classes."""

    def __init__(self, root: Path, member: str) -> None:
        folds = tables.read(root / "data/split/folds.csv", tables.FOLDS).sort_values("image_id", ignore_index=True)
        self.used = folds[folds["use"] == "train"].reset_index(drop=True)
        self.classes = targets.class_names(self.used["label"])
        self.targets = targets.of_labels(self.used["label"], self.classes)
        self.folds = np.unique(self.used["fold"], return_inverse=True)[1]
        self.image_size = params.read(root)["members"][member]["model"]["image_size"]

    def read(self, folder: Path) -> Probs:
        """Return out-of-fold log probabilities (images, classes)."""
        found = prediction_files.read_train(
            sorted(folder.glob("*.parquet")),
            image_ids=list(self.used["image_id"]),
            folds=list(self.used["fold"]),
            classes=self.classes,
            image_sizes=[self.image_size],
            transforms=["identity"],
        )
        return calibration.log_probs(np.asarray(found[0, 0], np.float32))

    def scored(self, logs: Probs, strength: float | None) -> list[float]:
        """Return balanced accuracy, accuracy, log loss, and the share of the prior that is added in each fold."""
        shifts = calibration.prior_shifts(self.targets, self.folds, len(self.classes))[self.folds]
        probs, decided = np.empty_like(logs), np.empty_like(logs)
        shares = []
        for fold in range(self.folds.max() + 1):
            others, here = self.folds != fold, self.folds == fold
            fitted = calibration.fit(logs[others], self.targets[others], shifts[others])
            if strength is not None:
                with_prior = calibration.with_prior(logs[others], shifts[others], strength)
                fitted = FittedCalibration(calibration.fit_temperature(with_prior, self.targets[others]), strength)
            known, probs[here] = (fitted.apply(logs[rows], shifts[rows]) for rows in (others, here))
            decided[here] = thresholds.fit(self.targets[others], known, METRIC).apply(probs[here])
            shares.append(fitted.prior_strength)
        accuracy = scores.SCORES["accuracy"].function(self.targets, probs)
        return [METRIC.function(self.targets, decided), accuracy, scores.log_loss(self.targets, probs), *shares]


if __name__ == "__main__":
    cli.run(main)
