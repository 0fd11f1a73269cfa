"""The linear discriminant that stands for a regression: what it is, what it chooses, and what it must bear."""

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from docs.measure import time_probe
from podium.probes import discriminant

CLASSES = 4


def data(n: int = 240, *, transforms: int = 2, n_features: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, transforms, features) of classes whose means differ; each feature has its own unit and offset."""
    rng = np.random.default_rng(seed)
    targets = np.arange(n) % CLASSES
    means = 2 * np.random.default_rng(1).normal(size=(CLASSES, n_features))
    drawn = (
        means[targets][:, None]
        + rng.normal(size=(n, 1, n_features))
        + 0.3 * rng.normal(size=(n, transforms, n_features))
    )
    return (drawn * 10.0 ** np.arange(n_features) + 7).astype(np.float32), targets


def loss(inputs: np.ndarray, targets: np.ndarray, weights: np.ndarray, biases: np.ndarray) -> float:
    logs = log_softmax(inputs[:, 0] @ weights.T + biases, axis=1)
    return float(-logs[np.arange(len(targets)), targets].mean())


def test_it_is_the_linear_discriminant_of_scikit_learn_with_the_shrinkage_it_chose() -> None:
    inputs, targets = data(transforms=1)
    weights, biases, shrinkage = discriminant.fit(inputs, targets, n_classes=CLASSES, seed=0)
    flat = inputs[:, 0].astype(np.float64)
    standard = (flat - flat.mean(0)) / flat.std(0)
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage).fit(standard, targets)
    mine = flat @ weights.T + biases
    theirs = model.decision_function(standard)
    mine, theirs = (logits - logits.mean(1, keepdims=True) for logits in (mine, theirs))
    ratios = mine / theirs
    np.testing.assert_allclose(ratios, np.median(ratios), rtol=1e-3)
    assert np.median(ratios) == pytest.approx(1, rel=1e-3)  # normal features: no logit is scaled


def test_it_predicts_images_it_has_not_seen() -> None:
    weights, biases, _ = discriminant.fit(*data(), n_classes=CLASSES, seed=0)
    inputs, targets = data(seed=5)
    assert loss(inputs, targets, weights, biases) < 0.6 * np.log(CLASSES)
    assert ((inputs[:, 0] @ weights.T + biases).argmax(1) == targets).mean() > 0.7


def test_logits_are_scaled_down_if_the_model_is_overconfident(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few images of heavy tails are many deviations away from everything."""
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 2, 800)
    inputs = (rng.standard_t(1.5, size=(800, 1, 5)) + 0.5 * targets[:, None, None]).astype(np.float32)
    fitted, other = slice(0, 400), slice(400, 800)
    losses = {}
    for scales in (discriminant.SCALES, (1.0,)):
        monkeypatch.setattr(discriminant, "SCALES", scales)
        weights, biases, _ = discriminant.fit(inputs[fitted], targets[fitted], n_classes=2, seed=0)
        losses[scales] = loss(inputs[other], targets[other], weights, biases)
    assert min(losses, key=lambda scales: losses[scales]) == (1.0, 0.5, 0.25, 0.125)


def test_constant_and_duplicate_features_do_no_harm() -> None:
    inputs, targets = data()
    inputs[:, :, 2] = 3
    inputs[:, :, 1] = inputs[:, :, 0]
    weights, biases, _ = discriminant.fit(inputs, targets, n_classes=CLASSES, seed=0)
    assert np.isfinite(weights).all()
    assert np.isfinite(biases).all()
    assert np.isfinite(loss(inputs + np.float32(1e-3), targets, weights, biases))


def test_a_class_with_one_image_has_a_classifier() -> None:
    inputs, targets = data()
    targets = np.where(targets == 3, 0, targets)
    targets[7] = 3
    weights, biases, _ = discriminant.fit(inputs, targets, n_classes=CLASSES, seed=0)
    assert np.isfinite(weights).all()
    assert (inputs[7, 0] @ weights.T + biases)[3] > -np.inf


def test_the_order_of_classes_and_chunks_mean_nothing_but_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, targets = data()
    weights, biases, shrinkage = discriminant.fit(inputs, targets, n_classes=CLASSES, seed=3)
    monkeypatch.setattr(discriminant, "CHUNK", 50)
    turned = discriminant.fit(inputs, CLASSES - 1 - targets, n_classes=CLASSES, seed=3)
    np.testing.assert_allclose(turned[0][::-1], weights, rtol=1e-6)
    np.testing.assert_allclose(turned[1][::-1], biases, rtol=1e-6)
    assert turned[2] == shrinkage
    again = discriminant.fit(inputs, CLASSES - 1 - targets, n_classes=CLASSES, seed=3)
    assert (again[0] == turned[0]).all()


@pytest.mark.parametrize(
    ("arguments", "starts"),
    [
        ((), ["regression, C"]),
        (("--strength", "0.01", "0.1"), ["regression, C 0.01", "regression, C 0.1"]),
        (("--discriminant",), ["discriminant, shrinkage"]),
    ],
)
def test_times_are_printed_with_losses(
    arguments: tuple[str, ...], starts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    time_probe.main("60", "3", "--features", "8", "--apart", "1", *arguments)
    lines = capsys.readouterr().out.splitlines()
    assert [line.startswith(start) for line, start in zip(lines, starts, strict=True)] == [True] * len(starts)
    assert all(float(line.split("accuracy ")[1].split(",")[0]) > 0.5 for line in lines)
