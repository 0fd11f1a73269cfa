import numpy as np
import pandas as pd
import pytest

from podium import contracts
from podium.reports import label_errors, member_votes


def predicted(n_images: int, n_classes: int, rate: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities of a model with at least 96% accuracy, labels with errors, and a mask of the errors."""
    rng = np.random.default_rng(seed)
    truth = np.arange(n_images) % n_classes
    logits = rng.normal(0, 1, (n_images, n_classes))
    logits[np.arange(n_images), truth] += rng.normal(3 + np.log(n_classes), 1.5, n_images)
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    planted = np.zeros(n_images, bool)
    planted[rng.choice(n_images, round(rate * n_images), replace=False)] = True
    return probs, np.where(planted, (truth + rng.integers(1, n_classes, n_images)) % n_classes, truth), planted


@pytest.mark.parametrize("rate", [0.05, 0.1])
@pytest.mark.parametrize("n_classes", [2, 4, 200])
def test_planted_wrong_labels_are_found(n_classes: int, rate: float) -> None:
    probs, labels, planted = predicted(4000, n_classes, rate, seed=n_classes)
    issues = label_errors.find_issues(labels, probs)
    assert (issues.flagged & planted).sum() / planted.sum() >= 0.7
    assert (issues.flagged & planted).sum() / issues.flagged.sum() >= 0.8
    suspects = issues.suspects(labels)
    assert planted[suspects].sum() / planted.sum() >= 0.95
    assert planted[suspects[: planted.sum()]].mean() >= 0.85
    assert planted[suspects[:50]].mean() >= 0.95


def test_right_labels_are_not_flagged_by_a_good_model() -> None:
    labels = np.arange(60) % 3
    issues = label_errors.find_issues(labels, np.eye(3)[labels] * 0.7 + 0.1)
    assert not issues.flagged.any()
    assert len(issues.suspects(labels)) == 0


def test_a_class_of_one_image_and_float32_sums_above_one_raise_no_error() -> None:
    labels = np.array([0] * 10 + [1] * 10 + [2])
    probs = (np.eye(3)[labels] * 0.97 + 0.0100001).astype(np.float32).astype(np.float64)
    assert not label_errors.find_issues(labels, probs).flagged.any()


def test_suspects_are_flagged_ones_first_then_by_quality_and_exclude_agreeing_labels() -> None:
    issues = label_errors.LabelIssues(
        quality=np.array([0.1, 0.3, 0.2, 0.05, 0.2]),
        flagged=np.array([False, True, True, True, False]),
        suggested=np.array([1, 1, 1, 0, 1]),
    )
    assert issues.suspects(np.zeros(5, int)).tolist() == [2, 1, 0, 4]


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.9, 0.1), (0.6, 0.3, 0.1)])
def test_a_guess_is_at_chance_in_19_of_20_cases(shares: tuple[float, ...]) -> None:
    """For any shares of the classes and of the guesses."""
    rng = np.random.default_rng(0)
    labels = rng.choice(len(shares), 200, p=shares)
    for predicted_shares in (shares, shares[::-1]):
        at_chance = [
            member_votes.at_chance(labels, rng.choice(len(shares), 200, p=predicted_shares)) for _ in range(1000)
        ]
        assert 0.92 <= np.mean(at_chance) <= 0.98


def test_the_largest_class_alone_is_at_chance_and_a_few_hits_more_are_not() -> None:
    labels = np.array([0] * 95 + [1] * 5)
    assert member_votes.at_chance(labels, np.zeros(100, int))
    assert member_votes.at_chance(labels, 1 - labels)
    assert not member_votes.at_chance(labels, np.where(np.arange(100) >= 98, 1, 0))  # finds two of the five
    assert not member_votes.at_chance(labels, labels)


def table(*rows: tuple[str, str, str, str]) -> pd.DataFrame:
    folds = pd.DataFrame(rows, columns=["image_id", "label", "use", "fold"], dtype="str")
    return folds.assign(reason="", group="")


def test_why_an_image_is_not_reviewed() -> None:
    folds = table(
        ("ok", "x", "train", "0"),
        ("skipped", "x", "skip", "1"),
        ("relabelled", "y", "train", "0"),
        ("dropped", "x", "skip", "0"),
        ("lost", "x", "skip", ""),
        ("bare", "", "skip", "0"),
        ("odd", "z", "skip", "0"),
    )
    overrides = pd.DataFrame(
        [("dropped", "x", "drop", "dropped"), ("relabelled", "x", "y", "relabelled")],
        columns=[*contracts.OVERRIDES_APPLIED.columns],
    )
    assert list(label_errors.review_state(folds, overrides, ["x", "y"])) == [
        *[label_errors.REVIEWED] * 3,
        label_errors.DROPPED,
        label_errors.NO_PREDICTION,
        label_errors.NO_LABEL,
        label_errors.UNKNOWN_CLASS,
    ]


def test_duplicates_with_another_label_are_named() -> None:
    folds = table(*((i, label, "train", "0") for i, label in zip("abcdef", ["x", "y", "x", "", "x", "x"], strict=True)))
    clusters = pd.DataFrame({"image_id": list("abcdef"), "cluster": ["a", "a", "a", "a", "e", "e"]})
    assert label_errors.other_duplicates(folds, clusters) == {"a": "b y", "b": "a x; c x", "c": "b y"}


def test_of_thousands_of_duplicates_the_first_are_named() -> None:
    """All pairs of a cluster would fill the memory: one placeholder image may occur thousands of times."""
    ids = [f"{i:05}" for i in range(20_000)]
    folds = table(*((i, "xy"[k % 2], "train", "0") for k, i in enumerate(ids)))
    others = label_errors.other_duplicates(folds, pd.DataFrame({"image_id": ids, "cluster": "00000"}))
    assert others[ids[0]] == "00001 y; 00003 y; 00005 y; 00007 y; 00009 y; 9995 more"
    assert others.keys() == set(ids)


def listed(probs: np.ndarray, labels: list[int], flagged: bool = False) -> pd.DataFrame:
    """Suspects of two members among images a, b, ...; the second member's probabilities are the first's, reversed."""
    names = ["x", "y", "z"]
    reviewed = table(*((chr(97 + i), names[k], "train", "0") for i, k in enumerate(labels)))
    issues = label_errors.LabelIssues(probs[range(len(labels)), labels], np.full(len(labels), flagged), probs.argmax(1))
    known = np.ones(len(probs), bool)
    votes = {"one": member_votes.to_vote(probs, known), "two": member_votes.to_vote(probs[:, ::-1], known)}
    return label_errors.suspect_table(reviewed, issues, probs=probs, votes=votes, classes=names, others={"b": "q z"})


def test_the_table_holds_each_members_vote() -> None:
    probs = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.2, 0.5, 0.3]])
    suspects = listed(probs, [1, 1, 0])
    assert list(suspects.columns) == list(contracts.SUSPECTS.columns)
    assert list(suspects["image_id"]) == ["a", "c", "b"]
    assert list(suspects["given"]) == ["y", "x", "y"]
    assert list(suspects["suggested"]) == ["x", "y", "z"]
    assert list(suspects["p_given"]) == [0.2, 0.2, 0.3]
    assert list(suspects["p_suggested"]) == [0.7, 0.5, 0.6]
    assert list(suspects["members_agreeing"]) == [1, 2, 1]
    assert suspects["members"][0] == "one: x (p 0.70); two: z (p 0.70)"
    assert list(suspects["other_duplicates"]) == ["", "", "q z"]
    rows = label_errors.overrides_to_consider(suspects)
    assert list(rows["action"]) == list(suspects["suggested"])
    assert all(words in rows["reason"][0] for words in ("y (p 0.20)", "x (p 0.70)", "1 of 2 members"))


def test_pairs_count_every_suspect_once() -> None:
    probs = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.6, 0.2, 0.2], [0.9, 0.1, 0.0]])
    labels = pd.Series(["y", "y", "y", "x"])
    pairs = label_errors.label_pairs(listed(probs, [1, 1, 1, 0], flagged=True), labels)
    assert pairs.to_numpy().tolist() == [["y", "x", 2, 2, 3], ["y", "z", 1, 1, 3]]
    assert list(pairs.columns) == list(contracts.LABEL_PAIRS.columns)


def test_no_suspects_make_empty_tables() -> None:
    suspects = listed(np.array([[0.7, 0.2, 0.1]]), [0])
    assert suspects.empty
    assert list(label_errors.label_pairs(suspects, pd.Series(["x"])).columns) == list(contracts.LABEL_PAIRS.columns)
    assert label_errors.overrides_to_consider(suspects).empty
