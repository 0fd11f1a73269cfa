import numpy as np
import pytest

from podium.reports import reliability


def predictions(n: int, seed: int, sharpen: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Targets drawn from probabilities of three classes, which are then sharpened (1: calibrated)."""
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.ones(3), n)
    targets = (rng.random((n, 1)) > probs.cumsum(1)).sum(1)
    powered = probs**sharpen
    return targets, (powered / powered.sum(1, keepdims=True)).astype(np.float32)


def test_bins_are_of_equal_numbers_and_hold_every_image_once() -> None:
    targets, probs = predictions(503, 0)
    table = reliability.table(targets, probs, np.arange(503))
    assert len(table) == 15
    assert table["images"].sum() == 503
    assert set(table["images"]) == {33, 34}
    assert table["confidence"].is_monotonic_increasing
    assert (table["accuracy"] * table["images"]).sum() == pytest.approx((probs.argmax(1) == targets).sum(), abs=1e-3)
    assert ((table["low"] <= table["accuracy"]) & (table["accuracy"] <= table["high"])).all()


def test_the_error_is_the_tables() -> None:
    targets, probs = predictions(503, 1, sharpen=2)
    table = reliability.table(targets, probs, np.arange(503))
    by_hand = ((table["accuracy"] - table["confidence"]).abs() * table["images"]).sum() / 503
    assert reliability.calibration(targets, probs).error == pytest.approx(by_hand, abs=1e-5)


def test_a_calibrated_model_has_the_error_that_if_calibrated_states() -> None:
    results = [reliability.calibration(*predictions(300, seed)) for seed in range(60)]
    assert np.mean([c.error for c in results]) == pytest.approx(np.mean([c.if_calibrated for c in results]), rel=0.1)
    assert np.mean([c.verdict == "no evidence of miscalibration" for c in results]) >= 0.88
    assert min(c.if_calibrated for c in results) > 0.02  # the bias: far from 0


@pytest.mark.parametrize(("sharpen", "verdict"), [(2.5, "overconfident"), (0.4, "underconfident")])
def test_a_miscalibrated_model_is_named(sharpen: float, verdict: str) -> None:
    assert reliability.calibration(*predictions(800, 0, sharpen)).verdict == verdict


def test_clusters_widen_the_intervals_and_nothing_else() -> None:
    targets, probs = predictions(400, 0)
    alone = reliability.table(targets, probs, np.arange(400))
    order = np.argsort(probs.max(1), kind="stable")
    cluster = np.empty(400, int)
    cluster[order] = np.arange(400) // 5
    together = reliability.table(targets, probs, cluster)
    assert (together["high"] - together["low"] > alone["high"] - alone["low"]).all()
    assert together[["accuracy", "confidence"]].equals(alone[["accuracy", "confidence"]])


def test_three_images_are_one_bin_and_same_inputs_same_numbers() -> None:
    targets, probs = predictions(3, 0)
    assert len(reliability.table(targets, probs, np.arange(3))) == 1
    assert reliability.calibration(targets, probs) == reliability.calibration(targets, probs)
