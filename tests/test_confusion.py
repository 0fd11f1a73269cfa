import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from podium.reports import confusion

CLASSES = ["ant", "bee", "cat", "dog"]  # no image is a dog
TARGETS = np.array([0] * 10 + [1] * 6 + [2] * 4)
PREDICTED = np.array([0] * 8 + [1, 1] + [1] * 5 + [2] + [2] * 4)
ALONE = np.arange(20)


def test_the_table_agrees_with_scikit_learn_and_omits_zeros() -> None:
    table = confusion.table(TARGETS, PREDICTED, CLASSES)
    expected = metrics.confusion_matrix(TARGETS, PREDICTED, labels=range(4))
    counts = {(row.label, row.predicted): row.images for row in table.itertuples()}
    assert counts == {(CLASSES[i], CLASSES[k]): n for (i, k), n in np.ndenumerate(expected) if n}
    assert table.set_index(["label", "predicted"]).loc[("ant", "bee"), "share"] == 0.2


def test_the_plot_has_every_cell_of_the_classes_with_the_most_errors() -> None:
    rng = np.random.default_rng(0)
    names = [f"{k:03}" for k in range(200)]
    targets = np.arange(2000) % 200
    predicted = np.where((targets < 20) & (rng.random(2000) < 0.5), (targets + 7) % 200, targets)
    plotted = confusion.plot_table(confusion.table(targets, predicted, names), names)
    assert len(plotted) == confusion.MOST_SHOWN**2
    assert set(plotted["label"]) == set(plotted["predicted"]) >= {f"{k:03}" for k in range(27)}
    assert not plotted.isna().any(axis=None)
    small = confusion.plot_table(confusion.table(TARGETS, PREDICTED, CLASSES), CLASSES)
    assert len(small) == 16
    assert small["images"].sum() == 20


def test_the_commonest_errors_are_named_first() -> None:
    assert confusion.commonest_errors(confusion.table(TARGETS, PREDICTED, CLASSES), 1) == [
        "2 images of ant are predicted as bee (20% of all ant)"
    ]
    assert confusion.commonest_errors(confusion.table(TARGETS, TARGETS, CLASSES), 3) == []
    one = np.array([0])
    assert confusion.commonest_errors(confusion.table(one, one + 1, CLASSES), 1) == [
        "1 image of ant is predicted as bee (100% of all ant)"
    ]


def test_a_summary_counts_errors_and_names_the_most_frequent_one() -> None:
    wrong = (TARGETS != PREDICTED).sum()
    found = confusion.summary(confusion.table(TARGETS, PREDICTED, CLASSES), of_sets=False)
    assert f"wrong for {wrong} of 20 images ({wrong / 20:.1%}); most often 2 images of ant" in found
    assert confusion.summary(confusion.table(TARGETS, TARGETS, CLASSES), of_sets=False).endswith(
        "0 of 20 images (0.0%)"
    )


def test_classes_agree_with_scikit_learn_and_the_worst_come_first() -> None:
    table = confusion.by_class(TARGETS, PREDICTED, CLASSES, ALONE).set_index("label")
    precision, recall, f1, n = metrics.precision_recall_fscore_support(TARGETS, PREDICTED, labels=range(3))
    np.testing.assert_allclose(table.loc[CLASSES[:3], "precision"], precision, atol=1e-6)
    np.testing.assert_allclose(table.loc[CLASSES[:3], "recall"], recall, atol=1e-6)
    np.testing.assert_allclose(table.loc[CLASSES[:3], "f1"], f1, atol=1e-6)
    assert list(table.loc[CLASSES, "images"]) == [*n, 0]
    assert list(table.index) == ["bee", "ant", "cat", "dog"]
    wilson = stats.binomtest(8, 10).proportion_ci(method="wilson")
    assert table.loc["ant", ["recall_low", "recall_high"]].tolist() == pytest.approx(list(wilson), abs=1e-6)


def test_a_class_without_images_or_predictions_has_no_values() -> None:
    dog = confusion.by_class(TARGETS, PREDICTED, CLASSES, ALONE).set_index("label").loc["dog"]
    assert dog[["recall", "precision", "f1"]].isna().all()
    assert (dog["f1_low"], dog["f1_high"]) == (0, 1)


@pytest.mark.parametrize("predicted", [TARGETS, (TARGETS + 1) % 3])
def test_intervals_stay_wide_where_all_are_right_or_wrong(predicted: np.ndarray) -> None:
    table = confusion.by_class(TARGETS, predicted, CLASSES[:3], ALONE)
    assert set(table["f1"]) <= {0.0, 1.0}
    assert (table["f1_high"] - table["f1_low"] > 0.1).all()
    together = confusion.by_class(TARGETS, predicted, CLASSES[:3], ALONE // 2)
    assert (together["f1_high"] - together["f1_low"] > table["f1_high"] - table["f1_low"]).all()


def test_intervals_of_f1_cover_the_true_one() -> None:
    rng = np.random.default_rng(0)
    inside = []
    for _ in range(300):
        targets = rng.integers(0, 2, 80)
        predicted = np.where(rng.random(80) < 0.85, targets, 1 - targets)
        row = confusion.by_class(targets, predicted, ["a", "b"], np.arange(80)).set_index("label").loc["a"]
        inside.append(row["f1_low"] <= 0.85 <= row["f1_high"])
    assert np.mean(inside) >= 0.92
