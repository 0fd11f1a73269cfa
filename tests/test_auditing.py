"""Planted leakage is found and its feature named; without leakage there is no warning."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import ensemble, metrics
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_info, threadpool_limits

from podium.audit import auditing, metadata
from podium.audit.auditing import Verdict
from podium.folds import assignment

COLUMNS = [*metadata.FILE, *metadata.NAME]


def contest(n: int, n_classes: int, seed: int, group_size: int = 1) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Images whose label follows from nothing: what is known of them, and tables.FOLDS; groups are alike in all."""
    random = np.random.default_rng([seed, n, n_classes])
    group = np.arange(n) // group_size
    width, height = (random.integers(200, 600, n)[group] for _ in range(2))
    facts = pd.DataFrame({"image_id": [f"{k:08x}.jpg" for k in random.choice(2**32, n, replace=False)]}, dtype="str")
    facts = facts.assign(width=width, height=height, bytes=(width * height * random.lognormal(-1, 0.4, n)).astype(int))
    facts["format"] = pd.Series(random.choice(["JPEG", "PNG"], n, p=[0.9, 0.1]), dtype="str")
    facts["mode"] = pd.Series(["RGB"] * n, dtype="str")
    labels = random.permutation(np.arange(n) % n_classes)[group]
    table = pd.DataFrame({"image_id": facts["image_id"], "label": [f"c{k:04}" for k in labels]})
    table = table.assign(use="train", reason="", group=[f"g{k}" for k in group], fold="").astype("str")
    nothing = pd.DataFrame({"image_id": [], "cluster": []}, dtype="str")
    assigned = assignment.assign(table, clusters=nothing, unreadable=[], names=("0", "1", "2"), seed=0).table
    known = metadata.of_files(facts).join(metadata.of_names(list(facts["image_id"]), False))
    return known.join(assigned.set_index("image_id")["group"]), assigned


def asked(known: pd.DataFrame, assigned: pd.DataFrame, columns: list[str] = COLUMNS) -> Verdict:
    verdict = auditing.label_leakage(known, assigned, columns, seed=0)
    assert isinstance(verdict, Verdict)
    return verdict


def number(assigned: pd.DataFrame, known: pd.DataFrame) -> np.ndarray:
    """The class of each row of `known` as a number."""
    return assigned.set_index("image_id")["label"].loc[known.index].str[1:].astype(int).to_numpy()


def by_width(known: pd.DataFrame, labels: np.ndarray) -> pd.DataFrame:
    return known.assign(width=known["width"] + 150 * labels)


def by_order(known: pd.DataFrame, labels: np.ndarray) -> pd.DataFrame:
    return known.assign(file_order=pd.Series(labels, known.index).rank(method="first"))


def by_name(known: pd.DataFrame, labels: np.ndarray) -> pd.DataFrame:
    return known.assign(name_prefix=pd.Series([("img_", "photo_")[k % 2] for k in labels], known.index, dtype="str"))


def by_format(known: pd.DataFrame, labels: np.ndarray) -> pd.DataFrame:
    return known.assign(format=pd.Series([("JPEG", "PNG")[int(k == 1)] for k in labels], known.index, dtype="str"))


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize(
    ("leak", "feature"),
    [(by_width, "width"), (by_order, "file_order"), (by_name, "name_prefix"), (by_format, "format")],
)
def test_planted_leakage_is_found_and_named(leak: Callable, feature: str, n_classes: int) -> None:
    known, assigned = contest(150, n_classes, seed=0)
    verdict = asked(leak(known, number(assigned, known)), assigned)
    assert verdict.well_above_chance
    assert verdict.leading_features[0] == feature
    assert set(verdict.leading_features) <= {feature, *(["aspect_ratio"] if feature == "width" else [])}
    assert verdict.accuracy > verdict.chance_accuracy


def test_leakage_among_more_than_max_classes_is_found() -> None:
    known, assigned = contest(400, 40, seed=0)
    verdict = asked(by_order(known, number(assigned, known)), assigned, COLUMNS[:8])
    assert verdict.well_above_chance
    assert verdict.leading_features == ["file_order"]
    assert (verdict.classes, verdict.predicted_classes) == (40, auditing.MAX_CLASSES)


@pytest.fixture
def without_importances(monkeypatch: pytest.MonkeyPatch) -> None:
    """No alarm depends on importances, and they take most of the time."""
    monkeypatch.setattr(auditing, "_permuted_auc", lambda model, values, truth, *rest: (0.5, np.zeros(len(truth))))


@pytest.mark.parametrize(("n", "n_classes", "group_size"), [(60, 2, 1), pytest.param(60, 3, 3, marks=pytest.mark.slow)])
@pytest.mark.usefixtures("without_importances")
def test_no_alarm_in_9_of_10_contests_whose_labels_follow_from_nothing(n: int, n_classes: int, group_size: int) -> None:
    """The promise is 1 false alarm in 20 at most; docs/measure/false_alarms.py measures the rate."""
    alarms = [asked(*contest(n, n_classes, seed, group_size)).well_above_chance for seed in range(10)]
    assert sum(alarms) <= 1


@pytest.mark.usefixtures("without_importances")
def test_groups_that_were_torn_apart_would_raise_a_false_alarm() -> None:
    """The folds of the contest are what keeps duplicates, alike in size and label, from looking like a leak."""
    known, assigned = contest(120, 2, seed=0, group_size=4)
    assert not asked(known, assigned).well_above_chance
    torn = assigned.assign(fold=[str(i % 3) for i in range(120)])
    assert asked(known, torn).well_above_chance


def test_folds_of_one_group_each_say_nothing_of_their_spread() -> None:
    """One site a fold: nothing shows how far another site's score would be, and no interval of no width warns."""
    known, assigned = contest(120, 2, seed=0)
    known = by_width(known, number(assigned, known))
    assert asked(known, assigned).well_above_chance
    site = assigned.set_index("image_id")["fold"].loc[known.index]
    verdict = asked(known.assign(group=site), assigned)
    assert (verdict.low, verdict.high, verdict.well_above_chance) == (0, 1, False)
    assert auditing.importance_table({"q": verdict})["standard_error"].isna().all()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4)), min_size=6, max_size=40))
def test_macro_auc_is_that_of_scikit_learn(rows: list[tuple[int, int]]) -> None:
    truth = np.array([0, 1, 2, *(k for k, _ in rows)])
    probs = np.array([[v, (v * k) % 3, 5 - v] for k, v in [(0, 0), (1, 1), (2, 2), *rows]], dtype=float)
    wanted = [metrics.roc_auc_score(truth == k, probs[:, k]) for k in range(3)]
    auc, influence = auditing.macro_auc(truth, probs)
    assert auc == pytest.approx(np.mean(wanted))
    assert influence.sum() == pytest.approx(0, abs=1e-9)


def test_the_influences_give_the_error_of_a_bootstrap() -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, 300)
    score = truth + random.normal(0, 1.5, 300)
    probs = np.column_stack([-score, score])
    _, influence = auditing.macro_auc(truth, probs)
    draws = random.integers(0, 300, (400, 300))
    resampled = [auditing.macro_auc(truth[drawn], probs[drawn])[0] for drawn in draws]
    assert np.sqrt((influence**2).sum()) == pytest.approx(np.std(resampled), rel=0.15)


def test_a_sample_keeps_groups_whole_and_does_not_depend_on_the_order_of_rows() -> None:
    table = pd.DataFrame({"image_id": [f"{i:03}" for i in range(90)], "group": [f"g{i // 3}" for i in range(90)]})
    drawn = auditing.sample(table, seed=0, limit=30)
    assert len(drawn) == 30
    assert (drawn["group"].value_counts() == 3).all()
    mixed = auditing.sample(table.iloc[::-1], seed=0, limit=30)
    assert sorted(mixed["image_id"]) == sorted(drawn["image_id"])
    assert len(auditing.sample(table, seed=0, limit=90)) == 90


def test_adversarial_validation_reports_a_test_set_of_other_sizes_only() -> None:
    known, _ = contest(160, 2, seed=3)
    train, test = known[:100], known[100:]
    alike = auditing.adversarial_validation(train, test, list(metadata.FILE), seed=0)
    differs = auditing.adversarial_validation(
        train, test.assign(height=test["height"] // 3), list(metadata.FILE), seed=0
    )
    assert isinstance(alike, Verdict)
    assert isinstance(differs, Verdict)
    assert not alike.well_above_chance
    assert differs.well_above_chance
    assert differs.leading_features[0] in {"height", "aspect_ratio"}


@pytest.mark.parametrize(("n_test", "reason"), [(0, "no test image"), (5, "fewer than 20 groups")])
def test_adversarial_validation_is_skipped_with_a_reason_if_test_images_are_few(n_test: int, reason: str) -> None:
    known, _ = contest(60, 2, seed=0)
    verdict = auditing.adversarial_validation(known[: 60 - n_test], known[60 - n_test :], list(metadata.FILE), seed=0)
    assert isinstance(verdict, str)
    assert reason in verdict
    assert auditing.report(verdict) == {"skipped": verdict}
    assert auditing.sentence(verdict) == f"skipped, {verdict}"


def test_too_few_images_are_skipped_with_a_reason() -> None:
    known, assigned = contest(29, 2, seed=0)  # 19 or 20 without a fold: no tree can part those
    assert auditing.label_leakage(known, assigned, COLUMNS, seed=0) == (
        "too few images: 19 to learn from where the largest fold is held out; it takes 20"
    )
    assert isinstance(auditing.label_leakage(*contest(30, 2, seed=0), COLUMNS, seed=0), Verdict)


def test_chance_accuracy_is_the_share_of_the_largest_class() -> None:
    """Whatever training has most of; classes that lie in one fold alone are not one class together."""
    folds_of = pd.Series(["0", "1", "2"]).repeat(36).reset_index(drop=True)
    one_fold = [f"g{fold}{k}" for fold in range(3) for k in range(3) for _ in range(8)]
    labels = [label for fold in range(3) for label in ["a"] * 6 + ["b"] * 6 + one_fold[24 * fold : 24 * fold + 24]]
    values = np.random.default_rng(0).normal(size=(108, 1))
    features = metadata.Features(("x",), values, np.array([False]))
    verdict = auditing.judge(features, labels, [str(i) for i in range(108)], folds_of, seed=0)
    assert verdict is not None
    assert verdict.chance_accuracy == pytest.approx(18 / 108)


def test_constant_features_are_skipped_with_a_reason() -> None:
    known, assigned = contest(30, 2, seed=0)
    verdict = auditing.label_leakage(known.assign(width=3), assigned, ["width"], seed=0)
    assert verdict == auditing.NOTHING
    assert auditing.importance_table({"q": verdict}).empty


def test_a_fold_that_holds_a_whole_class_is_scored_on_the_others() -> None:
    """Only the user's own folds can be like this; of two classes nothing is left to score."""
    known, assigned = contest(90, 3, seed=0)
    own = assigned.assign(fold=assigned["fold"].mask(assigned["label"] == "c0002", "0"))
    assert asked(known, own).images == 90
    two = own.assign(label=own["label"].replace("c0001", "c0000"))
    assert auditing.label_leakage(known, two, COLUMNS, seed=0) == auditing.NOTHING


def test_the_sums_are_made_by_one_thread_whatever_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several threads would add up in another order, and might give other bytes."""
    threads: set[int] = set()

    class Spy(HistGradientBoostingClassifier):
        def fit(self, *data: np.ndarray) -> HistGradientBoostingClassifier:
            threads.update(pool["num_threads"] for pool in threadpool_info())
            return super().fit(*data)

    monkeypatch.setattr(ensemble, "HistGradientBoostingClassifier", Spy)
    with threadpool_limits(2):
        asked(*contest(60, 2, 0), columns=["width"])
    assert threads == {1}


def test_the_same_images_in_another_order_give_the_same_verdict() -> None:
    known, assigned = contest(90, 2, 0)
    mixed = asked(known.sample(frac=1, random_state=0), assigned.sample(frac=1, random_state=1))
    assert auditing.report(mixed) == auditing.report(asked(known, assigned))
