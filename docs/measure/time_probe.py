"""Measure time and memory of a linear probe on generated features: `python -m docs.measure.time_probe IMAGES CLASSES`.

Times what podium.probes.linear_probe fits for one fold. With --strength it times single regressions of the given
strengths (choosing a strength takes 15 times as long). Prints the accuracy and log loss of each on 2,000 other images.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from podium.core import cli
from podium.probes import discriminant, feature_space, linear_probe
from podium.scoring import scores

N_HELD_OUT = 2000  # images to predict
CHUNK = 5000
Features = NDArray[np.float32]
Targets = NDArray[np.int64]


def main(*words: str) -> None:
    """Generate features, fit, and print time, memory and scores."""
    parser = argparse.ArgumentParser(prog="python -m docs.measure.time_probe", description="Seconds and memory.")
    parser.add_argument("images", type=int)
    parser.add_argument("classes", type=int)
    parser.add_argument("--features", type=int, default=1280)
    parser.add_argument("--apart", type=float, default=0.15, help="standard deviation of the class means")
    parser.add_argument("--strength", type=float, nargs="+", help="scikit-learn's C")
    parser.add_argument("--discriminant", action="store_true", help="fit the discriminant at any size")
    asked = parser.parse_args(words)
    if asked.strength and asked.classes < 3:
        parser.error("--strength needs three classes or more")
    inputs, targets = drawn(asked.images + N_HELD_OUT, asked.classes, asked.features, asked.apart)
    begun, used = time.monotonic(), time.process_time()
    for name, weights, biases in _fits(inputs[:-N_HELD_OUT], targets[:-N_HELD_OUT], asked):
        logits = inputs[-N_HELD_OUT:, 0] @ weights.T + biases
        exps = np.exp(logits - logits.max(axis=1, keepdims=True))
        probs = exps / exps.sum(axis=1, keepdims=True)
        accuracy, log_loss = [
            scores.SCORES[metric].function(targets[-N_HELD_OUT:], probs) for metric in ("accuracy", "log_loss")
        ]
        seconds, cpu_seconds = time.monotonic() - begun, time.process_time() - used
        peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 2**20
        print(
            f"{name}: {seconds:.0f} s, {cpu_seconds:.0f} s of CPU time, peak {peak:.1f} GB;"
            f" accuracy {accuracy:.4f}, log loss {log_loss:.4f}",
            flush=True,
        )
        begun, used = time.monotonic(), time.process_time()


def drawn(n_images: int, n_classes: int, n_features: int, apart: float) -> tuple[Features, Targets]:
    """Draw classes (images,) and network-like features (images, 2 transforms, features): correlated, not negative."""
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
                space = feature_space.FeatureSpace.of(inputs)
                model = space.regression(np.repeat(targets, inputs.shape[1]), strength)
            weights = space.unstandardised(model.coef_)
            yield f"regression, C {strength:g}", weights, model.intercept_ - weights @ space.scaler.mean_
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
