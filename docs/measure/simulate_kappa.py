"""Compare decisions for quadratic kappa on simulated ordered classes: `python -m docs.measure.simulate_kappa`.

An image has a hidden score, which is cut into classes of given frequencies. A model sees it through noise, and gives
each class its exact posterior probability with errors in the logits. `order unknown` is a model whose errors are as
large between far classes as between neighbours. One temperature and the decision are fitted on
few images; 20,000 new images give the true quadratic kappa. The script prints the kappa of the most probable class
(argmax), and the gain of each decision over it, in thousandths:

- multipliers: the power of the class prior, the rule before 2026-11-28
- rounded: the expected position, rounded
- searched: the expected position between cuts that are searched one after the other
- stretched: the expected position, stretched to the spread of the true positions (podium.scoring.thresholds)
- gated: `stretched` where a test at 5% on left-out images supports it, otherwise argmax

`nested - truth` is that of `stretched`: its left-out kappa less the true one.
"""

import argparse

import numpy as np
from scipy import stats

from podium.core import cli, seeding
from podium.predictions import calibration
from podium.predictions.calibration import Probs, Targets, Values
from podium.scoring import intervals, scores, thresholds
from podium.scoring.metric import Metric

FREQUENCIES = {
    "5 even classes": (0.2, 0.2, 0.2, 0.2, 0.2),
    "5 uneven classes": (0.49, 0.10, 0.27, 0.05, 0.09),
    "3 uneven classes": (0.6, 0.3, 0.1),
    "10 even classes": (0.1,) * 10,
}
# noise of the score (0: the class itself is seen), of the logits
MODELS = {"good model": (0.4, 0.3), "weak model": (1.0, 0.6), "order unknown": (0.0, 1.0)}
ADVANTAGE = 2.0  # of the true class's logit, where the order is unknown
N_NEW, N_FOLDS, N_TRIED = 20_000, 5, 60
WAYS = ("multipliers", "rounded", "searched", "stretched", "gated")


def main(*words: str) -> None:
    """Print a row for every case."""
    parser = argparse.ArgumentParser(prog="python -m docs.measure.simulate_kappa")
    parser.add_argument("--draws", type=int, default=30)
    parser.add_argument("--images", type=int, nargs="+", default=[150, 500, 2000])
    asked = parser.parse_args(words)
    print(f"| case | images | argmax | {' | '.join(WAYS)} | nested - truth |")
    print(f"| {' | '.join(['---'] * (len(WAYS) + 4))} |")
    for case in FREQUENCIES:
        for model in MODELS:
            for n_images in asked.images:
                rows = np.array([contest(case, model, n_images, number) for number in range(asked.draws)])
                gains = 1000 * (rows[:, 1:] - rows[:, :1])
                gains[:, -1] = 1000 * rows[:, -1]
                error = gains.std(axis=0, ddof=1) / np.sqrt(asked.draws)
                cells = [f"{gain:+.1f} ± {one:.1f}" for gain, one in zip(gains.mean(axis=0), error, strict=True)]
                print(f"| {case}, {model} | {n_images} | {rows[:, 0].mean():.3f} | {' | '.join(cells)} |", flush=True)


def contest(case: str, model: str, n_images: int, number: int) -> list[float]:
    """Return the true kappa of argmax and of each way, and the left-out kappa of `stretched` less its true one."""
    rng = np.random.default_rng(seeding.derive("kappa", case, model, n_images, number))
    targets, logits = _drawn(case, model, n_images, rng)
    new_targets, new_logits = _drawn(case, model, N_NEW, rng)
    temperature = calibration.fit_temperature(logits, targets)
    probs, new = calibration.scaled(logits, temperature), calibration.scaled(new_logits, temperature)
    metric = scores.named("quadratic_kappa", [str(index) for index in range(probs.shape[1])])
    places = np.arange(probs.shape[1], dtype=np.float64)
    stretched = thresholds.fit(targets, probs, metric)
    decisions = (
        thresholds.multipliers(targets, probs, metric),
        thresholds.ExpectedPosition(places, places[:-1] + 0.5),
        thresholds.ExpectedPosition(places, _searched(targets, probs @ places, metric)),
        stretched,
    )
    argmax, *found = [metric.function(new_targets, made) for made in (new, *(each.apply(new) for each in decisions))]
    left_out, folds = np.empty_like(probs), np.arange(n_images) % N_FOLDS
    for fold in range(N_FOLDS):
        here = folds == fold
        left_out[here] = thresholds.fit(targets[~here], probs[~here], metric).apply(probs[here])
    evidence = intervals.score_evidence(metric, targets, base=probs, candidate=left_out, groups=np.arange(n_images))
    gated = found[-1] if evidence.p_better < intervals.ALPHA else argmax
    return [argmax, *found, gated, metric.function(targets, left_out) - found[-1]]


def _drawn(case: str, model: str, n_images: int, rng: np.random.Generator) -> tuple[Targets, Probs]:
    """Draw targets (images,) and logits (images, classes)."""
    edges = stats.norm.ppf(np.cumsum(FREQUENCIES[case])[:-1])
    noise, roughness = MODELS[model]
    score = rng.normal(size=n_images)
    targets = np.searchsorted(edges, score)
    if noise == 0:
        logits = np.log(FREQUENCIES[case]) + ADVANTAGE * np.eye(len(edges) + 1)[targets]
        return targets, (logits + roughness * rng.normal(size=logits.shape)).astype(np.float32)
    seen = (score + noise * rng.normal(size=n_images)) / (1 + noise**2)  # the score's posterior mean
    bounds = np.concatenate([[-np.inf], edges, [np.inf]])
    share = np.diff(stats.norm.cdf((bounds - seen[:, None]) / (noise / np.sqrt(1 + noise**2))), axis=1)
    logits = np.log(np.maximum(share, 1e-6)) + roughness * rng.normal(size=share.shape)
    return targets, logits.astype(np.float32)


def _searched(targets: Targets, expected: Values, metric: Metric) -> Values:
    """Move each cut to the best of N_TRIED places between its neighbours, until none moves."""
    eye = np.eye(int(targets.max()) + 1)
    cuts = np.arange(len(eye) - 1, dtype=np.float64) + 0.5

    def kappa(tried: Values) -> float:
        return metric.function(targets, eye[np.searchsorted(tried, expected)])

    for _ in range(5):
        before = cuts.copy()
        for index in range(len(cuts)):
            ends = np.concatenate([[expected.min()], cuts, [expected.max()]])
            between = np.linspace(float(ends[index]), float(ends[index + 2]), N_TRIED)
            places = np.concatenate([[cuts[index]], between])
            options = np.tile(cuts, (len(places), 1))
            options[:, index] = places
            cuts = options[int(np.argmax([kappa(tried) for tried in options]))]
        if (cuts == before).all():
            break
    return cuts


if __name__ == "__main__":
    cli.run(main)
