import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from stages.lib import scores


def noisy(n_classes: int, n: int = 300, strength: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(n_classes)
    targets = rng.integers(0, n_classes, n)
    probs = rng.dirichlet(np.ones(n_classes), n) * (1 - strength) + np.eye(n_classes)[targets] * strength * 0.5
    return targets, (probs / probs.sum(1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("name", scores.SCORES)
@pytest.mark.parametrize("n_classes", [2, 5])
def test_better_predictions_have_a_higher_utility(name: str, n_classes: int) -> None:
    metric = scores.SCORES[name]
    utilities = [metric.utility(*noisy(n_classes, strength=s)) for s in (0.0, 0.4, 0.9)]
    assert utilities == sorted(utilities)
    assert utilities[0] < utilities[2]


@pytest.mark.parametrize("name", scores.SCORES)
def test_a_name_ends_in_loss_where_lower_is_better(name: str) -> None:
    metric = scores.SCORES[name]
    assert metric.function.__name__.endswith("_score" if metric.greater_is_better else "_loss")


@pytest.mark.parametrize("n_classes", [2, 4])
def test_values_are_scikit_learns(n_classes: int) -> None:
    targets, probs = noisy(n_classes)
    guess, exact = probs.argmax(1), probs.astype(float) / probs.astype(float).sum(1, keepdims=True)
    area = metrics.roc_auc_score(targets, exact[:, 1] if n_classes == 2 else exact, multi_class="ovr")
    assert scores.accuracy_score(targets, probs) == pytest.approx(np.mean(targets == guess))
    assert scores.balanced_accuracy_score(targets, probs) == pytest.approx(
        metrics.balanced_accuracy_score(targets, guess)
    )
    assert scores.macro_f1_score(targets, probs) == pytest.approx(metrics.f1_score(targets, guess, average="macro"))
    assert scores.log_loss(targets, probs) == pytest.approx(-np.log(exact[np.arange(len(targets)), targets]).mean())
    assert scores.roc_auc_score(targets, probs) == pytest.approx(area, abs=1e-6)


@pytest.mark.parametrize("name", scores.SCORES)
def test_a_class_that_no_image_has_is_no_obstacle(name: str) -> None:
    targets, probs = noisy(4)
    here = targets != 2
    assert np.isfinite(scores.SCORES[name].function(targets[here], probs[here]))


def test_one_class_alone_has_no_roc() -> None:
    with pytest.raises(ValueError, match="two classes"):
        scores.roc_auc_score(np.zeros(3, int), np.full((3, 2), 0.5))


def test_certain_and_wrong_is_a_finite_loss() -> None:
    assert 30 < scores.log_loss(np.array([0, 1]), np.array([[0, 1], [0, 1]], np.float32)) * 2 < 40


@given(st.floats(0, 1), st.integers(1, 10_000))
def test_standard_error_is_the_binomials(accuracy: float, n: int) -> None:
    error = scores.accuracy_standard_error(accuracy, n)
    assert 0 <= error <= 0.5 / n**0.5 + 1e-12
