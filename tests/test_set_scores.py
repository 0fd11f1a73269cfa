"""Scores of sets of labels against scikit-learn's, and the metrics of a contest of sets."""

from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from podium.core import targets
from podium.core.errors import InputError
from podium.scoring import comparison, intervals, scores, thresholds
from podium.scoring.evaluation_set import EvaluationSet

N_IMAGES, CLASSES = 60, targets.LabelNames(["a", "b", "c", "d"])


def made_up(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Truth (images, labels), with a label that no image has, and float32 probabilities."""
    random = np.random.default_rng(seed)
    truth = random.random((N_IMAGES, 4)) < [0.5, 0.3, 0.2, 0]
    return truth, np.clip(0.5 * random.random((N_IMAGES, 4)) + 0.3 * truth, 0.001, 0.999).astype(np.float32)


def rows_of(truth: np.ndarray, probs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return targets.as_rows(truth), targets.probs_of_rows(probs, CLASSES)


def sklearns(name: str, truth: np.ndarray, probs: np.ndarray, weights: np.ndarray) -> float:
    given: dict[str, Any] = {"sample_weight": weights}
    guess, beta, there = probs > 0.5, {"beta": 2}, [0, 1, 2]
    by_column = {
        "roc_auc": metrics.roc_auc_score,
        "average_precision": metrics.average_precision_score,
    }
    if name in ("roc_auc", "column_auc", "average_precision"):
        score = by_column[name.replace("column", "roc")]
        return float(np.mean([score(truth[:, k], probs[:, k], **given) for k in there]))
    if name == "log_loss":
        exact = probs.astype(np.float64)
        return float(np.mean([metrics.log_loss(truth[:, k], exact[:, k], labels=[0, 1], **given) for k in range(4)]))
    macro = there if not guess[:, 3].any() else None
    found: dict[str, Any] = {
        "micro_f1": lambda: metrics.f1_score(truth, guess, average="micro", **given),
        "macro_f1": lambda: metrics.f1_score(truth, guess, average="macro", labels=macro, **given),
        "f_beta@2": lambda: metrics.fbeta_score(truth, guess, average="macro", labels=macro, **beta, **given),
        "micro_f_beta@2": lambda: metrics.fbeta_score(truth, guess, average="micro", **beta, **given),
        "samples_f_beta@2": lambda: metrics.fbeta_score(
            truth, guess, average="samples", zero_division=1, **beta, **given
        ),
    }
    return float(found[name]())


@pytest.mark.parametrize("name", scores.OF_SETS)
@pytest.mark.parametrize("weighted", [False, True])
def test_values_are_scikit_learns(name: str, weighted: bool) -> None:
    truth, probs = made_up()
    weights = np.random.default_rng(1).integers(0, 3, N_IMAGES) if weighted else np.ones(N_IMAGES, int)
    metric = scores.named(name, CLASSES)
    found = metric.weighted(*rows_of(truth, probs), np.column_stack([weights, weights]).astype(np.float32))
    np.testing.assert_allclose(found, sklearns(name, truth, probs, weights), rtol=1e-5)


def test_a_number_an_own_metric_and_what_is_not_for_sets(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    truth, probs = made_up()
    expected = metrics.fbeta_score(truth, probs > 0.5, beta=0.5, average="micro")
    assert scores.named("micro_f_beta@0.5", CLASSES).function(*rows_of(truth, probs)) == pytest.approx(expected)
    (tmp_path / "exact_match.py").write_text(
        "def score(targets, probs, classes):\n    return ((probs > 0.5) == targets).all(1).mean()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    own = scores.named("max exact_match:score", CLASSES)
    assert own.function(*rows_of(truth, probs)) == pytest.approx(metrics.accuracy_score(truth, probs > 0.5))
    for name in ("accuracy", "quadratic_kappa", "map@5"):
        with pytest.raises(InputError, match=r"sets of labels.*micro_f1"):
            scores.named(name, CLASSES)


def test_a_fitted_threshold_raises_f1_of_probabilities_that_are_too_low() -> None:
    truth, probs = made_up()
    metric = scores.named("micro_f1", CLASSES)
    found, low = rows_of(truth, probs / 2)
    decided = thresholds.fit(found, low, metric).apply(low)
    assert metric.function(found, decided) > metric.function(found, low) + 0.2
    assert metric.function(found, decided) == pytest.approx(
        metrics.f1_score(truth, targets.probs_of_images(decided, CLASSES) > 0.5, average="micro")
    )


@pytest.mark.parametrize("name", ["micro_f1", "column_auc", "log_loss"])
def test_intervals_and_comparisons_count_images_and_not_their_labels(name: str) -> None:
    truth, probs = made_up()
    found, rows = rows_of(truth, probs)
    metric, groups = scores.named(name, CLASSES), targets.rows_of_images(np.arange(N_IMAGES), CLASSES)
    low, high = intervals.score_interval(metric, found, rows, groups)
    assert low < metric.function(found, rows) < high
    one_group_a_label = intervals.score_interval(metric, found, rows, np.arange(len(found)) // 2)
    assert high - low > 0.9 * (one_group_a_label[1] - one_group_a_label[0])
    better = rows_of(truth, np.clip(probs + 0.3 * truth - 0.2 * ~truth, 0.001, 0.999).astype(np.float32))[1]
    verdict = comparison.compare(metric, found, base=rows, candidate=better, groups=groups).verdict
    assert verdict == comparison.BETTER


def test_the_cost_of_a_choice_is_the_mean_over_images_and_labels() -> None:
    truth, probs = made_up()
    found, rows = rows_of(truth, probs)
    zeros = np.zeros(len(found), np.int64)
    images = EvaluationSet(found, zeros, zeros, zeros, scores.named("column_auc", CLASSES))
    expected = np.mean([metrics.log_loss(truth[:, k], probs[:, k].astype(float), labels=[0, 1]) for k in range(4)])
    assert images.cost(np.arange(len(found)), rows) == pytest.approx(expected, rel=1e-5)
