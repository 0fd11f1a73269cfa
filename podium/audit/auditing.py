"""How well gradient boosting tells classes apart by a few columns, out of fold, and by which of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata
from threadpoolctl import threadpool_limits

from podium.audit.metadata import Features, encode
from podium.folds.assignment import draw

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingClassifier

MAX_IMAGES = 20_000  # judged; of more, a random part whose groups stay whole
MAX_CLASSES = 12  # told apart; more are joined into so many sets of classes, for a tree is grown a class and round
ROUNDS = 60
LEAF = 10  # images of a leaf: from fewer than two leaves' images nothing can be learned
REPEATS = 3  # permutations of a feature in each fold
WELL_ABOVE = 0.05  # what the interval's low end must be above chance's 0.5 to be a warning
SHIFT_FOLDS = ("0", "1", "2", "3", "4")
FEWEST = 20  # groups of train and of test images that `shift` needs
NOTHING = "no column tells any images apart, or no fold has two classes to score"
Z = 1.96  # standard errors on each side of a 95% interval
TELLING = 0.2  # of the largest importance: what a feature needs to be named

Floats = NDArray[np.float64]

_NONE = pd.DataFrame({"feature": [], "auc_lost": [], "standard_error": []})


@dataclass(frozen=True)
class Verdict:
    """How well classes are told apart on images that were held out.

    Attributes:
        auc: area under the ROC curve, one class against the rest, mean over classes, then folds; chance is 0.5.
        low, high: its 95% interval (see `judge`).
        accuracy: share of images whose class is found.
        chance_accuracy: the share of the most frequent class (where classes were joined, of each fold's set) among the
            held-out images: what always saying it would find.
        images: judged.
        classes: that there are.
        told_apart: fewer, where classes were joined into sets.
        importances: columns feature, auc_lost (when the feature is permuted among the held-out images) and its
            standard_error; the most important first.
    """

    auc: float
    low: float
    high: float
    accuracy: float
    chance_accuracy: float
    images: int
    classes: int
    told_apart: int
    importances: pd.DataFrame

    @property
    def well_above_chance(self) -> bool:
        """Say whether even the interval's low end is well above chance."""
        return self.low > 0.5 + WELL_ABOVE

    @property
    def telling(self) -> list[str]:
        """Return the features that carry the score: the first, and others that lose surely, and not much less."""
        lost, error = self.importances["auc_lost"], self.importances["standard_error"]
        named = (lost > Z * error) & (lost >= TELLING * lost.iloc[0])
        named.iloc[0] = True
        return list(self.importances.loc[named, "feature"])


def label(known: pd.DataFrame, folds: pd.DataFrame, columns: Sequence[str], seed: int) -> Verdict | str:
    """Ask how well the label of the images that are used is told from `columns`, under their own folds.

    Args:
        known: index image_id, with the columns, and group.
        folds: tables.FOLDS.
        columns: of known.
        seed: as in `judge`.

    Returns:
        the verdict, or why there is none.
    """
    used = folds[folds["use"] == "train"].set_index("image_id")[["label", "fold"]]
    rows = known.join(used, how="inner", validate="one_to_one").sort_index()
    largest = rows["fold"].value_counts().max() if len(rows) else 0
    left = len(rows) - largest
    if left < 2 * LEAF:
        return f"too few images: {left} to learn from where the largest fold is held out; it takes {2 * LEAF}"
    return judge(encode(rows[columns]), rows["label"], rows["group"], rows["fold"], seed) or NOTHING


def shift(train: pd.DataFrame, test: pd.DataFrame, columns: Sequence[str], seed: int) -> Verdict | str:
    """Ask how well test images are told from train images by `columns`: far above chance, the test set differs.

    Names are no columns for it: they differ without any harm.

    Args:
        train, test: index image_id, with the columns, and group.
        columns: of both.
        seed: of the folds, and as in `judge`.

    Returns:
        the verdict, or why there is none.
    """
    if test.empty:
        return "there is no test image"
    both = pd.concat({"train": train, "test": test}, names=["label", "image_id"]).reset_index()
    both["image_id"] = both["label"] + "/" + both["image_id"]
    both = both.sort_values("image_id", ignore_index=True)
    if both.groupby("label")["group"].nunique().min() < FEWEST:
        return f"fewer than {FEWEST} groups of train or of test images"
    fold = draw(both, SHIFT_FOLDS, seed)
    return judge(encode(both[columns]), both["label"], both["group"], fold, seed) or NOTHING


def importances(verdicts: Mapping[str, Verdict | str]) -> pd.DataFrame:
    """Return contracts.IMPORTANCES: the features of each question, the most important first."""
    found = {name: verdict.importances for name, verdict in verdicts.items() if isinstance(verdict, Verdict)}
    rows = pd.concat([_NONE, *found.values()], keys=["", *found], names=["question"])
    return rows.reset_index("question").replace({"standard_error": {np.inf: np.nan}}).round({"standard_error": 6})


def report(verdict: Verdict | str) -> dict[str, Any]:
    """Return what summary.json says of a verdict, or why there is none."""
    if isinstance(verdict, str):
        return {"skipped": verdict}
    return {
        "auc": round(verdict.auc, 4),
        "interval": [round(verdict.low, 4), round(verdict.high, 4)],
        "well_above_chance": verdict.well_above_chance,
        "telling": verdict.telling,
        "accuracy": round(verdict.accuracy, 4),
        "chance_accuracy": round(verdict.chance_accuracy, 4),
        "images": verdict.images,
        "classes": verdict.classes,
        "classes_joined_into": verdict.told_apart,
    }


def sentence(verdict: Verdict | str) -> str:
    """Say a verdict in a line."""
    if isinstance(verdict, str):
        return f"skipped, {verdict}"
    joined = "" if verdict.told_apart == verdict.classes else f" of {verdict.told_apart} sets of classes"
    by = f", by {', '.join(verdict.telling)}" if verdict.well_above_chance else ""
    return (
        f"AUC{joined} {verdict.auc:.3f} ({verdict.low:.3f} to {verdict.high:.3f}, chance 0.5), accuracy"
        f" {verdict.accuracy:.3f} (the most frequent {verdict.chance_accuracy:.3f}), {verdict.images} images{by}"
    )


def sample(table: pd.DataFrame, seed: int, limit: int = MAX_IMAGES) -> pd.DataFrame:
    """Return whole groups drawn at random, `limit` rows or just above it; all rows where there are no more.

    Args:
        table: with a column group.
        seed: of the draw.
        limit: rows.
    """
    groups = np.random.default_rng(seed).permutation(sorted(table["group"].unique()))
    before = table["group"].value_counts()[groups].cumsum().shift(fill_value=0)
    return table[table["group"].map(before) < limit]


def judge(
    features: Features, labels: Sequence[str], groups: Sequence[str], folds: Sequence[str], seed: int
) -> Verdict | None:
    """Learn the labels on all folds but one, predict that one, and score it; the same for each fold.

    The interval is normal, with the standard error of groups resampled with replacement (in closed form), times
    sqrt(2): the errors of two folds are not independent, since each is predicted from the other, and where labels
    follow from nothing the sum of such pairs has twice the variance that independent ones would have. Bytes do not
    depend on the number of threads.

    Args:
        features: of the images.
        labels: of each image.
        groups: images that belong together.
        folds: of each image; no group crosses them.
        seed: of joined classes and permutations.

    Returns:
        None where there is nothing to learn: no feature tells any images apart, or no fold has two classes to score.

    Source: Obuchowski 1997, Biometrics 53, 567 (clustered ROC curves); DeLong et al. 1988; permutation importance:
    Breiman 2001.
    """
    label, fold = np.asarray(labels), np.asarray(folds)
    random = np.random.default_rng(seed)
    with threadpool_limits(limits=1):
        scored = [_score_fold(features, label, fold == name, random) for name in sorted(set(folds))]
    found = [one for one in scored if one is not None]
    if not found:
        return None
    auc = float(np.mean([one.auc for one in found]))
    lost = np.mean([one.lost for one in found], axis=0)  # (n_features,)
    in_fold = [np.asarray(groups)[one.held] for one in found]
    reach = Z * _error([one.influence for one in found], in_fold)
    errors = [_error([one.lost_influence[k] for one in found], in_fold) for k in range(len(lost))]
    weights = [one.held.sum() for one in found]
    importances = pd.DataFrame({"feature": features.names, "auc_lost": lost.round(6) + 0.0, "standard_error": errors})
    return Verdict(
        auc=auc,
        low=max(auc - reach, 0.0),
        high=min(auc + reach, 1.0),
        accuracy=float(np.average([one.accuracy for one in found], weights=weights)),
        chance_accuracy=_chance(found, label, weights),
        images=int(sum(weights)),
        classes=len(set(labels)),
        told_apart=max(one.told_apart for one in found),
        importances=importances.sort_values(["auc_lost", "feature"], ascending=[False, True], ignore_index=True),
    )


def _chance(found: "Sequence[_Fold]", labels: NDArray[np.str_], weights: Sequence[int]) -> float:
    held = labels[np.any([one.held for one in found], axis=0)]
    if max(one.told_apart for one in found) < len(set(labels)):  # sets, others in each fold
        return float(np.average([one.frequent for one in found], weights=weights))
    return float(np.unique(held, return_counts=True)[1].max() / len(held))


@dataclass(frozen=True)
class _Fold:
    held: NDArray[np.bool_]  # (n_images,)
    auc: float
    influence: Floats  # (n_held,) of each image on auc
    accuracy: float
    frequent: float  # share of the held-out images' most frequent class, or set
    told_apart: int
    lost: Floats  # (n_features,) of auc, when a feature is permuted
    lost_influence: Floats  # (n_features, n_held)


def _score_fold(
    features: Features, labels: NDArray[np.str_], held: NDArray[np.bool_], random: np.random.Generator
) -> _Fold | None:
    """Learn on what is not held; None where there are no two classes to learn, or to score."""
    joined = _joined(features.values[~held], labels[~held], random)
    target = np.array([joined.get(label, -1) for label in labels])  # -1: never seen in training
    if not features.names or len(set(target[~held])) < 2 or len(set(target[held])) < 2:
        return None
    from sklearn.ensemble import HistGradientBoostingClassifier  # half a second

    model = HistGradientBoostingClassifier(
        max_iter=ROUNDS,
        max_leaf_nodes=15,
        min_samples_leaf=LEAF,
        early_stopping=False,
        categorical_features=features.categorical,
        random_state=0,
    ).fit(features.values[~held], target[~held])
    values, truth = features.values[held], target[held]
    probs = model.predict_proba(values)
    auc, influence = macro_auc(truth, probs)
    without = [_without(model, values, truth, feature, random) for feature in range(values.shape[1])]
    return _Fold(
        held=held,
        auc=auc,
        influence=influence,
        accuracy=float((probs.argmax(1) == truth).mean()),
        frequent=float(np.bincount(truth[truth >= 0]).max() / len(truth)),
        told_apart=probs.shape[1],
        lost=auc - np.array([one[0] for one in without]),
        lost_influence=influence - np.array([one[1] for one in without]),
    )


def macro_auc(truth: NDArray[np.int64], probs: Floats) -> tuple[float, Floats]:
    """Return the mean AUC of each class against the rest, and each image's influence on it.

    Args:
        truth: (n_images,), class indices; an index without a column counts among the rest.
        probs: (n_images, n_classes).

    Returns:
        the mean over classes with images both in and out of them, and (n_images,): the sum of squares of the
        influences is the variance of that mean.
    """
    total, influence, n = 0.0, np.zeros(len(truth)), 0
    for k in range(probs.shape[1]):
        inside = truth == k
        if inside.all() or not inside.any():
            continue
        place = _placements(inside, probs[:, k])
        auc = float(place[inside].mean())
        influence += (place - auc) / np.where(inside, inside.sum(), (~inside).sum())
        total, n = total + auc, n + 1
    return total / n, influence / n


def _placements(inside: NDArray[np.bool_], score: Floats) -> Floats:
    """Return for each image the share of the other side's that it is rightly above (or below); ties count half."""
    ranks, own = rankdata(score), np.empty(len(score))
    own[inside], own[~inside] = rankdata(score[inside]), rankdata(score[~inside])
    below = (ranks - own) / np.where(inside, (~inside).sum(), inside.sum())
    return np.asarray(np.where(inside, below, 1 - below))


def _without(
    model: "HistGradientBoostingClassifier",
    values: Floats,
    truth: NDArray[np.int64],
    feature: int,
    random: np.random.Generator,
) -> tuple[float, Floats]:
    """Return `macro_auc` with one feature's values exchanged among the images, the mean of some exchanges."""
    mixed = np.tile(values, (REPEATS, 1))  # predicted at once: each call costs some milliseconds
    mixed[:, feature] = np.concatenate([random.permutation(values[:, feature]) for _ in range(REPEATS)])
    probs = model.predict_proba(mixed).reshape(REPEATS, len(truth), -1)
    found = [macro_auc(truth, exchanged) for exchanged in probs]
    return float(np.mean([auc for auc, _ in found])), np.mean([influence for _, influence in found], axis=0)


def _error(influences: Sequence[Floats], groups: Sequence[NDArray[np.str_]]) -> float:
    """Return the standard error of a mean over folds, from each fold's images' influence and groups; see `judge`.

    Influences are deviations from their fold's own mean, so that a fold of one group says nothing of its spread: then
    the error is infinite.
    """
    counts = [len(np.unique(group)) for group in groups]
    if min(counts) < 2:
        return float("inf")
    deviations = [one * np.sqrt(n / (n - 1)) for one, n in zip(influences, counts, strict=True)]
    by_group = pd.Series(np.concatenate(deviations) / len(deviations)).groupby(np.concatenate(groups)).sum()
    return float(np.sqrt(2 * (by_group**2).sum()))


def _joined(values: Floats, labels: NDArray[np.str_], random: np.random.Generator) -> dict[str, int]:
    """Number the classes; more than MAX_CLASSES are joined into sets whose images have similar features.

    Only training images decide what is joined, so the held-out score stays honest.
    """
    classes, target = np.unique(labels, return_inverse=True)
    if len(classes) <= MAX_CLASSES:
        return {str(name): k for k, name in enumerate(classes)}
    ranks = np.nan_to_num(rankdata(values, axis=0, nan_policy="omit") / len(values), nan=0.5)
    means = pd.DataFrame(ranks).groupby(target).mean().to_numpy().round(9)  # (classes, features)
    sets = min(MAX_CLASSES, len(np.unique(means, axis=0)))
    from sklearn.cluster import KMeans  # a third of a second that only many classes need

    grouping = KMeans(sets, n_init=1, random_state=int(random.integers(2**31)))
    found = grouping.fit_predict(means, sample_weight=np.bincount(target))
    return {str(name): int(k) for name, k in zip(classes, np.unique(found, return_inverse=True)[1], strict=True)}
