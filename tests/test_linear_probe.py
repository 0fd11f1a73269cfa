import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler
from torch import nn

from podium.core.errors import InputError
from podium.models import probe_heads
from podium.probes import discriminant, feature_space, linear_probe

NO_TEST = np.zeros((0, 2, 0), np.float32)


def data(n_classes: int, n: int = 90) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    targets = np.arange(n) % n_classes
    inputs = rng.normal(size=(n, 2, 6)).astype(np.float32) * 3 + 5
    inputs[:, :, 0] += 10 * targets[:, None]
    return inputs, targets


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_linear_layer_predicts_like_the_regression(n_classes: int) -> None:
    inputs, targets = data(n_classes)
    weights, biases, strength = linear_probe.fit(inputs, targets, n_classes=n_classes, seed=0)
    head = nn.Linear(6, n_classes)
    probe_heads.set_classifier(head, (weights.astype("f4"), biases.astype("f4")))
    probs = head(torch.from_numpy(inputs[:, 0])).softmax(1).detach().numpy()
    flat = inputs.reshape(-1, 6).astype(np.float64)
    mean, std = flat.mean(0), flat.std(0)
    plain = LogisticRegression(C=strength, max_iter=2000).fit((flat - mean) / std, targets.repeat(2))
    np.testing.assert_allclose(probs, plain.predict_proba((inputs[:, 0] - mean) / std), atol=1e-3)
    assert (probs.argmax(1) == targets).mean() > 0.8


def test_features_on_which_the_first_decomposition_fails_get_a_second_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """LAPACK's gesdd does not converge on weather's 770 images in mobilenetv2's features at 96 pixels."""
    inputs = np.random.default_rng(0).normal(size=(4, 2, 20)).astype(np.float32)
    wanted = feature_space.FeatureSpace.of(inputs)
    real = feature_space.linalg.svd

    def svd(rows: np.ndarray, full_matrices: bool, lapack_driver: str = "gesdd") -> tuple[np.ndarray, ...]:
        if lapack_driver == "gesdd":
            raise np.linalg.LinAlgError("SVD did not converge")
        return real(rows, full_matrices=full_matrices, lapack_driver=lapack_driver)

    monkeypatch.setattr(feature_space.linalg, "svd", svd)
    found = feature_space.FeatureSpace.of(inputs)
    np.testing.assert_allclose(found.rows @ found.rows.T, wanted.rows @ wanted.rows.T, atol=1e-9)


def test_a_feature_that_never_moves_does_no_harm() -> None:
    inputs, targets = data(2)
    inputs[:, :, 3] = 7
    weights, biases, _ = linear_probe.fit(inputs, targets, n_classes=2, seed=0)
    assert np.isfinite(weights).all()
    assert np.isfinite(biases).all()


def test_a_class_with_one_image_still_gets_a_classifier() -> None:
    inputs, targets = data(2, n=12)
    targets = np.array([1] + [0] * 11)
    assert linear_probe.fit(inputs, targets, n_classes=2, seed=0)[2] == min(linear_probe.STRENGTHS)


@pytest.mark.parametrize("work", [0, linear_probe.MAX_WORK])
@pytest.mark.parametrize("present", [(0, 2), (0, 1, 3)])
def test_a_class_without_an_image_here_is_never_predicted(
    present: tuple[int, ...], work: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear_probe, "MAX_WORK", work)
    inputs, targets = data(4)
    here = np.isin(targets, present)
    weights, biases, _ = linear_probe.fit(inputs[here], targets[here], n_classes=4, seed=0)
    assert weights.shape == (4, 6)
    predicted = (inputs[here, 0] @ weights.T + biases).argmax(1)
    assert set(predicted) == set(present)
    assert (predicted == targets[here]).mean() > 0.8


def test_a_discriminant_is_fitted_if_a_regression_would_take_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, targets = data(3)
    monkeypatch.setattr(linear_probe, "MAX_WORK", 90 * 2 * 6 * 3)
    assert linear_probe.fit(inputs, targets, n_classes=3, seed=0)[2] in linear_probe.STRENGTHS
    monkeypatch.setattr(linear_probe, "MAX_WORK", 90 * 2 * 6 * 3 - 1)
    weights, biases, strength = linear_probe.fit(inputs, targets, n_classes=3, seed=0)
    expected = discriminant.fit(inputs, targets, n_classes=3, seed=0)
    assert (weights == expected[0]).all()
    assert (biases == expected[1]).all()
    assert strength == expected[2]


def test_features_that_are_not_finite_are_refused() -> None:
    inputs = np.ones((6, 2, 3), np.float32)
    inputs[4, 1, 2] = np.nan
    with pytest.raises(InputError, match="features are not finite"):
        linear_probe.fit(inputs, np.array([0, 1, 0, 1, 0, 1]), n_classes=2, seed=0)


def test_images_of_one_class_are_refused() -> None:
    inputs, targets = data(2)
    with pytest.raises(InputError, match="two classes"):
        linear_probe.fit(inputs, targets * 0, n_classes=2, seed=0)


def test_every_image_is_predicted_out_of_fold_by_a_regression_on_the_others() -> None:
    inputs, targets = data(3, n=60)
    folds = np.array(["a", "b", "c"])[np.arange(60) // 20]
    found = linear_probe.predict_folds(inputs, targets, folds, inputs[:7], n_classes=3, seeds={"a": 1, "b": 2, "c": 3})
    probs, strengths = found.train[:, 0], found.strengths
    np.testing.assert_allclose(probs.sum(1), 1, atol=1e-6)
    assert (probs.argmax(1) == targets).mean() > 0.8
    weights, biases, strength = linear_probe.fit(inputs[20:], targets[20:], n_classes=3, seed=1)
    logits = inputs[:20, 0] @ weights.T + biases
    np.testing.assert_allclose(probs[:20], torch.from_numpy(logits).softmax(1), atol=1e-6)
    assert strengths["a"] == strength
    logits = inputs[:7] @ weights.T + biases
    np.testing.assert_allclose(found.test["a"], torch.from_numpy(logits).softmax(2), atol=1e-6)
    assert found.test.keys() == {"a", "b", "c"}


def test_an_image_s_own_label_reaches_no_prediction_of_its_fold() -> None:
    inputs, targets = data(3, n=60)
    folds = np.array(["a", "b"])[np.arange(60) % 2]
    seeds = {"a": 1, "b": 2}
    before = linear_probe.predict_folds(inputs, targets, folds, NO_TEST, n_classes=3, seeds=seeds).train[:, 0]
    changed = np.where(folds == "a", (targets + 1) % 3, targets)
    after = linear_probe.predict_folds(inputs, changed, folds, NO_TEST, n_classes=3, seeds=seeds).train[:, 0]
    assert (before[folds == "a"] == after[folds == "a"]).all()
    assert (before[folds == "b"] != after[folds == "b"]).any()


def test_nothing_is_learned_from_an_image_without_a_target_and_it_is_predicted() -> None:
    inputs, targets = data(2, n=40)
    folds = np.array(["a", "b"])[np.arange(40) % 20 // 10]
    without = np.where(np.arange(40) < 5, -1, targets)
    poisoned = inputs.copy()
    poisoned[:5] = 1e4
    seeds = {"a": 1, "b": 2}
    clean = linear_probe.predict_folds(inputs, without, folds, NO_TEST, n_classes=2, seeds=seeds).train[:, 0]
    probs = linear_probe.predict_folds(poisoned, without, folds, NO_TEST, n_classes=2, seeds=seeds).train[:, 0]
    assert (probs[5:] == clean[5:]).all()
    np.testing.assert_allclose(probs.sum(1), 1, atol=1e-6)


def test_the_only_class_of_the_other_folds_is_predicted() -> None:
    inputs, targets = data(2, n=40)
    folds = np.where(targets == 1, "a", "b")
    found = linear_probe.predict_folds(inputs, targets, folds, inputs[:3], n_classes=2, seeds={"a": 1, "b": 2})
    assert found.strengths == {"a": None, "b": None}
    assert (found.test["a"][:, 0] == np.eye(2)[0]).all()
    assert (found.train[:, 0] == np.eye(2)[1 - targets]).all()


def test_few_rows_with_many_features_give_the_regression_of_the_features_themselves() -> None:
    rng = np.random.default_rng(0)
    targets = np.arange(24) % 3
    inputs = (rng.normal(size=(24, 1, 200)) + np.eye(3).repeat(67, 1)[:, :200][targets][:, None]).astype(np.float32)
    weights, biases, strength = linear_probe.fit(inputs, targets, n_classes=3, seed=0)
    scaler = StandardScaler().fit(inputs[:, 0].astype(np.float64))
    plain = LogisticRegression(C=strength, max_iter=5000, tol=1e-8).fit(scaler.transform(inputs[:, 0]), targets)
    expected = plain.predict_proba(scaler.transform(inputs[:, 0]))
    found = torch.from_numpy(inputs[:, 0] @ weights.T + biases).softmax(1).numpy()
    np.testing.assert_allclose(found, expected, atol=2e-3)


@pytest.mark.parametrize("where", ["test", "skipped"])
def test_features_that_are_not_finite_are_an_error_also_of_images_that_are_only_predicted(where: str) -> None:
    inputs, targets = data(2, n=40)
    targets[0], folds = -1, np.array(["a", "b"])[np.arange(40) % 20 // 10]
    test = inputs[:3].copy()
    (test if where == "test" else inputs)[0, 1, 0] = np.inf
    with pytest.raises(InputError, match="not finite"):
        linear_probe.predict_folds(inputs, targets, folds, test, n_classes=2, seeds={"a": 1, "b": 2})


def test_a_path_of_strengths_ends_where_it_clearly_rises_and_gives_the_same_choice() -> None:
    """Warm starts and the early end save time; the choice is that of separate regressions with every strength."""
    rng = np.random.default_rng(0)
    targets = np.arange(90) % 3
    inputs = (rng.normal(size=(90, 1, 200)) + 1.5 * (np.arange(200) == targets[:, None])[:, None]).astype("f4")
    train, held_out = np.arange(60), np.arange(60, 90)
    losses = linear_probe._path(inputs, targets, train, held_out)
    assert np.isinf(losses[-1])
    space = feature_space.FeatureSpace.of(inputs[train])
    alone = [space.regression(targets[train], strength) for strength in linear_probe.STRENGTHS]
    rows = space.rows_of(inputs[held_out, 0])
    expected = [log_loss(targets[held_out], model.predict_proba(rows)) for model in alone]
    tried = np.isfinite(losses)
    np.testing.assert_allclose(losses[tried], np.array(expected)[tried], rtol=2e-2)
    assert losses.argmin() == np.argmin(expected)


def test_a_known_strength_is_used() -> None:
    rng = np.random.default_rng(0)
    inputs, targets = rng.normal(size=(40, 1, 5)).astype("f4"), np.arange(40) % 2
    assert linear_probe.fit(inputs, targets, n_classes=2, seed=0, strength=0.3)[2] == 0.3


def test_a_class_of_one_image_does_not_decide_the_strength() -> None:
    inputs, targets = data(3)
    without = linear_probe.fit(inputs, targets, n_classes=4, seed=0)[2]
    inputs, targets = np.concatenate([inputs, 0 * inputs[:1]]), np.append(targets, 3)
    assert linear_probe.fit(inputs, targets, n_classes=4, seed=0)[2] == without > linear_probe.STRENGTHS[0]
    lonely = linear_probe.fit(inputs[-2:], np.array([0, 1]), n_classes=2, seed=0)
    assert lonely[2] == linear_probe.STRENGTHS[0]
