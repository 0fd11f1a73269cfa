import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from stages.lib import probing
from stages.lib.errors import InputError


def data(n_classes: int, n: int = 90) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    targets = np.arange(n) % n_classes
    inputs = rng.normal(size=(n, 2, 6)).astype(np.float32) * 3 + 5
    inputs[:, :, 0] += 10 * targets[:, None]
    return inputs, targets


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_linear_layer_says_what_the_regression_says(n_classes: int) -> None:
    inputs, targets = data(n_classes)
    weights, biases, strength = probing.fit(inputs, targets, n_classes=n_classes, seed=0)
    head = nn.Linear(6, n_classes)
    probing.set_classifier(head, weights, biases)
    probs = head(torch.from_numpy(inputs[:, 0])).softmax(1).detach().numpy()
    flat = inputs.reshape(-1, 6).astype(np.float64)
    mean, std = flat.mean(0), flat.std(0)
    plain = LogisticRegression(C=strength, max_iter=2000).fit((flat - mean) / std, targets.repeat(2))
    np.testing.assert_allclose(probs, plain.predict_proba((inputs[:, 0] - mean) / std), atol=1e-3)
    assert (probs.argmax(1) == targets).mean() > 0.8


def test_a_feature_that_never_moves_does_no_harm() -> None:
    inputs, targets = data(2)
    inputs[:, :, 3] = 7
    weights, biases, _ = probing.fit(inputs, targets, n_classes=2, seed=0)
    assert np.isfinite(weights).all()
    assert np.isfinite(biases).all()


def test_a_class_with_one_image_still_gets_a_classifier() -> None:
    inputs, targets = data(2, n=12)
    targets = np.array([1] + [0] * 11)
    assert probing.fit(inputs, targets, n_classes=2, seed=0)[2] == min(probing.STRENGTHS)


@pytest.mark.parametrize("present", [(0, 2), (0, 1, 3)])
def test_a_class_without_an_image_here_is_never_predicted(present: tuple[int, ...]) -> None:
    inputs, targets = data(4)
    here = np.isin(targets, present)
    weights, biases, _ = probing.fit(inputs[here], targets[here], n_classes=4, seed=0)
    assert weights.shape == (4, 6)
    predicted = (inputs[here, 0] @ weights.T + biases).argmax(1)
    assert set(predicted) == set(present)
    assert (predicted == targets[here]).mean() > 0.8


def test_images_of_one_class_are_refused() -> None:
    inputs, targets = data(2)
    with pytest.raises(InputError, match="two classes"):
        probing.fit(inputs, targets * 0, n_classes=2, seed=0)
