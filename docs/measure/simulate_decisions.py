"""Compare decisions for metrics of labels where a class is rare: `python -m docs.measure.simulate_decisions`.

A model sees the class through noise and gives each class its posterior probability, with the class frequencies as
prior; its logits are 1.3 times too sure. One temperature and the decision (podium.scoring.thresholds) are fitted on few
images; 200 times as many new images give the true score. The script prints, in points:

- argmax: the true score of the most probable class
- always: the gain of the fitted decision over it; for balanced accuracy, the division by the class frequencies
- gated: the gain where it is taken only if a test at 5% on left-out images supports it
- nested - truth: the left-out score of `always` less its true one
"""

import argparse

import numpy as np

from docs.measure.simulate_rare import POPULATION, RareCase
from podium.core import cli, seeding
from podium.predictions import calibration
from podium.predictions.calibration import Probs, Targets
from podium.scoring import intervals, scores, thresholds

METRICS = ("balanced_accuracy", "macro_f1", "mcc", "kappa")
CASES = (RareCase((300, 30), 1.8), RareCase((300, 10), 1.8), RareCase((200, 200, 8), 2.0))
SURENESS, N_FOLDS = 1.3, 5
COLUMNS = ("argmax", "always", "gated", "nested - truth")


def main(*words: str) -> None:
    """Print a row per case and metric."""
    parser = argparse.ArgumentParser(prog="python -m docs.measure.simulate_decisions", description="Decisions.")
    parser.add_argument("--draws", type=int, default=100)
    draws = parser.parse_args(words).draws
    print(f"| images per class | metric | {' | '.join(COLUMNS)} |\n| {' | '.join(['---'] * (len(COLUMNS) + 2))} |")
    for case in CASES:
        found = 100 * np.array([contest(case, number) for number in range(draws)])
        for metric, rows in zip(METRICS, found.swapaxes(0, 1), strict=True):
            error = rows.std(axis=0, ddof=1) / np.sqrt(draws)
            cells = [f"{mean:+.2f} ± {one:.2f}" for mean, one in zip(rows.mean(axis=0), error, strict=True)]
            cells[0] = f"{rows[:, 0].mean():.1f}"
            print(f"| {' + '.join(map(str, case.counts))} | {metric} | {' | '.join(cells)} |", flush=True)


def contest(case: RareCase, number: int) -> list[list[float]]:
    """Return the cells of COLUMNS for each metric."""
    rng = np.random.default_rng(seeding.derive("decisions", case.seed, number))
    (targets, logits), (new_targets, new_logits) = (_drawn(case, times, rng) for times in (1, POPULATION))
    temperature = calibration.fit_temperature(logits, targets)
    probs, new = calibration.scaled(logits, temperature), calibration.scaled(new_logits, temperature)
    folds = np.arange(len(targets)) % N_FOLDS  # classes lie one after another, so each fold has its share
    rows = []
    for name in METRICS:
        metric = scores.SCORES[name]
        plain, left_out = np.empty_like(probs), np.empty_like(probs)
        for fold in range(N_FOLDS):
            here, others = folds == fold, folds != fold
            temperature = calibration.fit_temperature(logits[others], targets[others])
            known, plain[here] = (calibration.scaled(logits[part], temperature) for part in (others, here))
            left_out[here] = thresholds.fit(targets[others], known, metric).apply(plain[here])
        decided = thresholds.fit(targets, probs, metric).apply(new)
        argmax, always = (metric.function(new_targets, made) for made in (new, decided))
        groups = np.arange(len(targets))
        found = intervals.score_evidence(metric, targets, base=plain, candidate=left_out, groups=groups)
        gated = always - argmax if found.p_better < intervals.ALPHA else 0.0
        rows.append([argmax, always - argmax, gated, metric.function(targets, left_out) - always])
    return rows


def _drawn(case: RareCase, times: int, rng: np.random.Generator) -> tuple[Targets, Probs]:
    """Draw targets (images,) and log probabilities (images, classes)."""
    targets = np.repeat(np.arange(len(case.counts)), times * np.array(case.counts))
    seen = rng.normal(size=(len(targets), len(case.counts)))
    seen[np.arange(len(targets)), targets] += case.skill
    posterior = case.skill * seen + np.log(np.array(case.counts) / sum(case.counts))
    return targets, calibration.log_probs(calibration.scaled((SURENESS * posterior).astype(np.float32), 1.0))


if __name__ == "__main__":
    cli.run(main)
