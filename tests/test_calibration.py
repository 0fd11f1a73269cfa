import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from podium.predictions import calibration


def drawn(n: int, n_classes: int, sureness: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Log probabilities that are `sureness` times as sure as they should be, and targets."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (n, n_classes)).astype(np.float32)
    right = calibration.scaled(logits, 1.0)
    targets = (right.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    return calibration.log_probs(calibration.scaled(logits, 1 / sureness)), targets


@pytest.mark.parametrize("sureness", [0.4, 1.0, 3.0])
@pytest.mark.parametrize("n_classes", [2, 7, 40])
def test_the_temperature_undoes_too_much_or_too_little_sureness(sureness: float, n_classes: int) -> None:
    logs, targets = drawn(4000, n_classes, sureness)
    assert calibration.fit_temperature(logs, targets) == pytest.approx(sureness, rel=0.1)


@pytest.mark.parametrize(("n", "sureness"), [(60, 0.5), (300, 2.5), (2000, 6.0)])
def test_the_temperature_is_the_minimum_that_a_direct_search_finds(n: int, sureness: float) -> None:
    logs, targets = drawn(n, 4, sureness)

    def penalised(log_t: float) -> float:
        loss = calibration.losses(logs, targets, np.exp(log_t)).sum()
        return loss + log_t**2 / (2 * calibration.PRIOR_SD**2)

    best = np.exp(minimize_scalar(penalised, bounds=(-2, 2), method="bounded").x)
    assert calibration.fit_temperature(logs, targets) == pytest.approx(best, rel=0.005)


def test_the_temperature_of_some_parts_is_that_of_their_images_alone() -> None:
    logs, targets = drawn(600, 3, 2.0)
    outer_folds = np.arange(600) % 4
    curve = calibration.curve(logs, targets, outer_folds, 4)
    here = np.isin(outer_folds, [0, 3])
    assert curve.temperature(np.array([0, 3])) == pytest.approx(calibration.fit_temperature(logs[here], targets[here]))


def test_faultless_images_do_not_make_a_model_certain() -> None:
    targets = np.zeros(200, np.int64)
    logs = np.log(np.tile(np.array([[0.9, 0.1]], np.float32), (200, 1)))
    temperature = calibration.fit_temperature(logs, targets)
    assert 0.2 < temperature < 1
    assert calibration.scaled(logs, temperature)[0, 1] > 1e-5


@pytest.mark.parametrize("n_classes", [3, 50])
def test_losses_are_those_of_the_scaled_probabilities(n_classes: int) -> None:
    logs, targets = drawn(50, n_classes, 2.0)
    probs = calibration.scaled(logs, 1.7)
    np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-5)
    own = probs[np.arange(50), targets]
    np.testing.assert_allclose(calibration.losses(logs, targets, 1.7), -np.log(own), rtol=1e-4, atol=1e-5)


def test_a_probability_of_zero_costs_much_but_not_everything() -> None:
    logs = calibration.log_probs(np.array([[0.0, 1.0]], np.float32))
    assert np.isfinite(logs).all()
    assert calibration.losses(logs, np.array([0]), 1.0)[0] == pytest.approx(34.5, abs=0.1)


def test_priors_come_back_as_they_are_in_what_each_fold_trained_on() -> None:
    """A model that answers as if classes were equally frequent, with no information, must give the shares."""
    targets = np.array([0] * 60 + [1] * 30 + [2] * 10)
    folds = np.arange(100) % 2
    shifts = calibration.prior_shifts(targets, folds, 4)
    even = calibration.log_probs(np.full((1, 4), 0.25, np.float32))
    for fold in (0, 1):
        counts = np.maximum(np.bincount(targets[folds != fold], minlength=4), 1)
        probs = np.exp(calibration.shifted(even, shifts[fold]))
        np.testing.assert_allclose(probs[0], counts / counts.sum(), rtol=1e-5)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("kept", "least", "most"), [(1.0, 0.0, 0.0), (0.5, 0.25, 0.75), (0.0, 0.75, 1.0)])
def test_the_fit_puts_back_the_share_of_the_prior_that_is_missing(
    seed: int, kept: float, least: float, most: float
) -> None:
    rng, prior = np.random.default_rng(seed), np.array([0.9, 0.1])
    targets = rng.choice(2, 4000, p=prior)
    logits = 1.5 * (rng.normal(size=(4000, 2)) + 1.5 * np.eye(2)[targets]) + kept * np.log(prior)
    logs = calibration.log_probs(calibration.scaled(logits.astype(np.float32), 1.0))
    shifts = np.log(prior).astype(np.float32)
    found = calibration.fit(logs, targets, shifts)
    assert least <= found.prior_strength <= most
    assert calibration.fit(logs, targets) == calibration.FittedCalibration(calibration.fit_temperature(logs, targets))
    losses = [-np.log(found.apply(logs, shifts)[np.arange(4000), targets]).mean()]
    for strength in calibration.PRIOR_STRENGTHS:
        moved = calibration.with_prior(logs, shifts, strength)
        losses.append(calibration.losses(moved, targets, calibration.fit_temperature(moved, targets)).mean())
    assert losses[0] == pytest.approx(min(losses[1:]), abs=1e-4)
