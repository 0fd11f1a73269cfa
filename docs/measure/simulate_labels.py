"""Simulate one temperature and threshold for all labels, and one for each: `python -m docs.measure.simulate_labels`.

In a simulated contest of sets of labels a label's true logit is normal around its frequency's. A model predicts the
logit with noise and too much or too little confidence, which may differ between labels. Temperatures and thresholds are
fitted on the contest's images, and judged on 20,000 new images of the same model. `around` fits each label's
temperature on logits that have the common one, so that few images leave it there.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from podium.core import cli, seeding, targets
from podium.predictions import calibration
from podium.scoring import scores, thresholds
from podium.scoring.metric import Metric

CONTESTS, NEW, N_LABELS = 10, 20_000, 12
SIZES, SPREADS = (200, 1_000, 5_000), (0.0, 0.3)
Values = NDArray[np.float64]


def main() -> None:
    """Print gains over one temperature and over one threshold, with the standard error over contests."""
    print("| images | confidence differs | temperature, log loss: own | around | threshold, micro F1 | macro F1 |")
    print("|---|---|---|---|---|---|")
    for spread in SPREADS:
        for size in SIZES:
            gains = np.array([_gains(size, spread, number) for number in range(CONTESTS)])
            means, errors = gains.mean(axis=0), gains.std(axis=0, ddof=1) / CONTESTS**0.5
            cells = [f"{mean:+.4f} ({error:.4f})" for mean, error in zip(means, errors, strict=True)]
            print(f"| {size} | {spread} | {' | '.join(cells)} |", flush=True)


def _gains(size: int, spread: float, number: int) -> list[float]:
    """Return the gains of one contest: two of temperatures in log loss, two of thresholds in micro and macro F1."""
    rng = np.random.default_rng(seeding.derive("labels", size, spread, number))
    centres, confidence = logit(rng.uniform(0.02, 0.4, N_LABELS)), np.exp(spread * rng.normal(size=N_LABELS))
    truth, given = _drawn(rng, size, centres, 1.5 * confidence)
    new_truth, new_given = _drawn(rng, NEW, centres, 1.5 * confidence)
    one = 1 / _temperature(truth, given)
    own = np.array([1 / _temperature(truth[:, [k]], given[:, [k]]) for k in range(N_LABELS)])
    around = np.array([one / _temperature(truth[:, [k]], one * given[:, [k]]) for k in range(N_LABELS)])
    losses = [_log_loss(new_truth, expit(factor * new_given)) for factor in (one, own, around)]
    found = [losses[0] - losses[1], losses[0] - losses[2]]
    probs, new_probs = expit(one * given), expit(one * new_given)
    for name in ("micro_f1", "macro_f1"):
        found.append(_of_thresholds(truth, probs, new_truth, new_probs, name))
    return found


def _drawn(rng: np.random.Generator, size: int, centres: Values, confidence: Values) -> tuple[Values, Values]:
    """Return whether images have labels, and the model's logits: both (images, labels)."""
    true = centres + 2 * rng.normal(size=(size, N_LABELS))
    return (rng.random(true.shape) < expit(true)) * 1.0, confidence * (true + rng.normal(size=true.shape))


def _temperature(truth: Values, logits: Values) -> float:
    probs = targets.probs_of_rows(expit(logits).astype(np.float32), _labels(truth.shape[1]))
    return calibration.fit_temperature(calibration.log_probs(probs), targets.as_rows(truth))


def _log_loss(truth: Values, probs: Values) -> float:
    exact = np.clip(probs, 1e-15, 1 - 1e-15)
    return float(-np.mean(truth * np.log(exact) + (1 - truth) * np.log(1 - exact)))


def _of_thresholds(truth: Values, probs: Values, new_truth: Values, new_probs: Values, name: str) -> float:
    """Return what thresholds of each label gain over a common one."""
    metric = scores.named(name, _labels(N_LABELS))
    common = _score(metric, new_truth, _decided(truth, probs, new_probs, metric))
    alone = scores.named(name, _labels(1))
    each = [_decided(truth[:, [k]], probs[:, [k]], new_probs[:, [k]], alone) for k in range(N_LABELS)]
    return _score(metric, new_truth, np.hstack(each)) - common


def _decided(truth: Values, probs: Values, new_probs: Values, metric: Metric) -> Values:
    """Fit a threshold; return new probabilities (images, labels) moved so that 1/2 is the threshold."""
    names = _labels(truth.shape[1])
    decision = thresholds.fit(targets.as_rows(truth), targets.probs_of_rows(probs, names), metric)
    return targets.probs_of_images(decision.apply(targets.probs_of_rows(new_probs, names)), names).astype(np.float64)


def _score(metric: Metric, truth: Values, probs: Values) -> float:
    return metric.function(targets.as_rows(truth), targets.probs_of_rows(probs, _labels(N_LABELS)))


def _labels(count: int) -> targets.LabelNames:
    return targets.LabelNames([f"{index:02}" for index in range(count)])


if __name__ == "__main__":
    cli.run(main)
