"""How long a probe's fit takes on generated features: `python -m docs.measure.time_probe IMAGES CLASSES [--strength C ...]`.

Times what podium.probes.linear_probe fits for one fold, or with --strength single regressions of those strengths
(the choice of one takes 15 times as long), and says what each is worth on 2,000 other images.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from podium.core import cli
from podium.probes import discriminant, linear_probe
from podium.scoring import scores

OTHERS = 2000  # images that are predicted
CHUNK = 5000
Features = NDArray[np.float32]
Targets = NDArray[np.int64]


def main(*words: str) -> None:
    """Generate, fit, and print."""
    parser = argparse.ArgumentParser(prog="python -m docs.measure.time_probe", description="Seconds and memory.")
    parser.add_argument("images", type=int)
    parser.add_argument("classes", type=int)
    parser.add_argument("--features", type=int, default=1280)
    parser.add_argument("--apart", type=float, default=0.15, help="standard deviation of classes' means")
    parser.add_argument("--strength", type=float, nargs="+", help="sklearn's C")
    parser.add_argument("--discriminant", action="store_true", help="whatever the size")
    asked = parser.parse_args(words)
    if asked.strength and asked.classes < 3:
        parser.error("--strength: of three classes at least")
    inputs, targets = drawn(asked.images + OTHERS, asked.classes, asked.features, asked.apart)
    begun, used = time.monotonic(), time.process_time()
    for what, weights, biases in _fits(inputs[:-OTHERS], targets[:-OTHERS], asked):
        logits = inputs[-OTHERS:, 0] @ weights.T + biases
        exps = np.exp(logits - logits.max(axis=1, keepdims=True))
        probs = exps / exps.sum(axis=1, keepdims=True)
        worth = [scores.SCORES[name].function(targets[-OTHERS:], probs) for name in ("accuracy", "log_loss")]
        seconds, processor = time.monotonic() - begun, time.process_time() - used
        peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 2**20
        print(
            f"{what}: {seconds:.0f} s, {processor:.0f} s of processor time, {peak:.1f} GB at most;"
            f" accuracy {worth[0]:.4f}, log loss {worth[1]:.4f}",
            flush=True,
        )
        begun, used = time.monotonic(), time.process_time()


def drawn(n_images: int, n_classes: int, n_features: int, apart: float) -> tuple[Features, Targets]:
    """Draw features (images, 2 transforms, features), correlated and cut off at 0 as a network's are, and their classes."""
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.normal(size=(n_features, n_features)))[0]
    mix = (axes * np.arange(1, n_features + 1) ** -0.5 * np.sqrt(n_features / 7)).astype(np.float32)
    centres = (apart * rng.normal(size=(n_classes, n_features))).astype(np.float32)
    targets = rng.integers(0, n_classes, n_images)
    inputs = np.empty((n_images, 2, n_features), np.float32)
    for start in range(0, n_images, CHUNK):
        here = targets[start : start + CHUNK]
        shared = rng.normal(size=(len(here), n_features)).astype(np.float32) + centres[here]
        for transform in (0, 1):
            own = 0.3 * rng.normal(size=shared.shape).astype(np.float32)
            inputs[start : start + CHUNK, transform] = np.maximum((shared + own) @ mix.T, 0)
    return inputs, targets


def _fits(
    inputs: Features, targets: Targets, asked: argparse.Namespace
) -> Iterator[tuple[str, NDArray[np.float64], NDArray[np.float64]]]:
    if asked.strength:
        for strength in asked.strength:
            with threadpool_limits(1, "blas"):
                scaler, model = linear_probe._regression(inputs, targets, strength)
            weights = model.coef_ / scaler.scale_
            yield f"regression, C {strength:g}", weights, model.intercept_ - weights @ scaler.mean_
        return
    if asked.discriminant:
        with threadpool_limits(1, "blas"):
            weights, biases, chosen = discriminant.fit(inputs, targets, n_classes=asked.classes, seed=0)
        yield f"discriminant, shrinkage {chosen:g}", weights, biases
        return
    weights, biases, chosen = linear_probe.fit(inputs, targets, n_classes=asked.classes, seed=0)
    large = linear_probe.is_large(2 * len(targets), asked.features, asked.classes)
    yield f"{'discriminant, shrinkage' if large else 'regression, C'} {chosen:g}", weights, biases


if __name__ == "__main__":
    cli.run(main)
