"""The linear probe of sets of labels."""

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from podium.probes import label_probe, linear_probe


def made_up(n_images: int = 90, n_features: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Features (images, 2 transforms, features) and flags of four labels: two follow features, none has the last."""
    random = np.random.default_rng(0)
    truth = random.normal(size=(n_images, n_features))
    features = truth[:, None] + random.normal(0, 0.3, (n_images, 2, n_features))
    flags = np.column_stack([truth[:, 0] > 0, truth[:, 1] > 0.8, random.random(n_images) < 0.5, np.zeros(n_images)])
    return features.astype(np.float32), flags.astype(np.float32)


def test_each_label_has_scikit_learns_regression() -> None:
    inputs, flags = made_up()
    weights, biases, strength = label_probe.fit(inputs, flags, seed=0, strength=0.3, is_large=False)
    assert strength == 0.3
    rows = inputs.reshape(-1, 6)
    scaler = StandardScaler().fit(rows)
    for k in range(3):
        own = LogisticRegression(C=0.3, max_iter=2000).fit(scaler.transform(rows), np.repeat(flags[:, k], 2))
        np.testing.assert_allclose(rows @ weights[k] + biases[k], own.decision_function(scaler.transform(rows)),
                                   atol=2e-3)  # fmt: skip
    assert (weights[3] == 0).all()
    assert biases[3] == pytest.approx(logit(0.5 / 91))


@pytest.mark.parametrize("is_large", [False, True])
def test_images_of_other_folds_predict_the_labels_that_features_show(
    is_large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_large:
        monkeypatch.setattr(linear_probe, "MAX_WORK", 1)
    inputs, flags = made_up()
    flags[-1] = -1  # never trained on
    folds = np.array(["0", "1", "2"])[np.arange(90) % 3]
    seeds = dict.fromkeys("012", 5)
    found = linear_probe.predict_folds(inputs, flags, folds, inputs[:4], n_classes=4, seeds=seeds)
    hits = ((found.train[:, 0] > 0.5) == (flags == 1))[:-1].mean(0)
    assert hits[0] > 0.85
    assert hits[1] > 0.85
    assert (found.train[..., 3] < 0.02).all()
    weights, biases, _ = found.fitted["1"]
    np.testing.assert_allclose(found.test["1"], expit(inputs[:4] @ weights.T + biases), atol=1e-6)
    again = linear_probe.predict_folds(inputs, flags, folds, inputs[:0], n_classes=4, seeds=seeds)
    np.testing.assert_array_equal(again.train, found.train)
    assert again.test["0"].shape == (0, 2, 4)


def test_labels_that_no_feature_shows_get_a_strong_regularisation() -> None:
    inputs, flags = made_up(n_features=40)
    noise = np.random.default_rng(1).permutation(flags)
    assert label_probe.fit(inputs, noise, seed=0, strength=None, is_large=False)[2] <= 0.01
