import numpy as np
import pytest

from docs.measure import planted_labels


@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("rate", [0.05, 0.1])
def test_a_share_of_the_labels_is_flipped_and_a_seed_decides_which(n_classes: int, rate: float) -> None:
    targets = np.arange(400) % n_classes
    wrong = planted_labels.flipped(targets, rate, seed=1)
    assert (wrong != targets).sum() == rate * 400
    assert set(wrong) <= set(range(n_classes))
    np.testing.assert_array_equal(wrong, planted_labels.flipped(targets, rate, seed=1))
    assert (wrong != planted_labels.flipped(targets, rate, seed=2)).any()


def test_features_that_separate_the_classes_find_the_planted_labels() -> None:
    targets = np.arange(300) % 3
    features = np.eye(3, dtype=np.float32)[targets] + np.random.default_rng(0).normal(0, 0.1, (300, 3))
    images = planted_labels.RunImages([f"{i}" for i in range(300)], targets, (np.arange(300) // 3 % 2).astype(str))
    table = planted_labels.judged([features.astype(np.float32)], images, rate=0.1, seed=0).set_index("method")
    assert (table["planted"] == 30).all()
    assert list(table.index[: len(planted_labels.FILTERS)]) == list(planted_labels.FILTERS)
    perfect = table.drop(index=["prune_by_noise_rate", "prune_by_class", "both", "confident_learning"])
    assert len(perfect) == 1 + len(planted_labels.RANKINGS)
    assert (perfect[["recall", "precision"]] == 1).all(axis=None)
    assert (table["precision"] >= 0.9).all()
