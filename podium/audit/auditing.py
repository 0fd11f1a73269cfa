"""Score gradient boosting on metadata, out of fold: label leakage and adversarial validation.

`label_leakage` predicts the label from metadata. `adversarial_validation` predicts whether an image is in the test set.
Both report an AUC with its interval, and the features that matter.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from podium.audit.metadata import Features, encode
from podium.folds.assignment import draw

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingClassifier

MAX_IMAGES = 20_000  # of more, a random sample of whole groups is used
MAX_CLASSES = 12  # of more, classes are joined into this many sets, because each round grows a tree per class
ROUNDS = 60
LEAF = 10  # images of a leaf: nothing can be learned from fewer images than two leaves have
REPEATS = 3  # permutations of a feature in each fold
WELL_ABOVE = 0.05  # a warning needs an interval whose low end is this far above 0.5, the chance level
VALIDATION_FOLDS = ("0", "1", "2", "3", "4")
FEWEST = 20  # groups of train and of test images that `adversarial_validation` needs
NOTHING = "no column tells any images apart, or no fold has two classes to score"
Z = 1.96  # standard errors on each side of a 95% interval
LEADING = 0.2  # of the largest importance: the least importance of a feature that is named

Floats = NDArray[np.float64]

_NONE = pd.DataFrame({"feature": [], "auc_lost": [], "standard_error": []})


@dataclass(frozen=True)
class Verdict:
    """How well a classifier predicts the classes of held-out images.

    Attributes:
        auc: area under the ROC curve, one class against the rest, mean over classes, then folds; chance is 0.5.
        low, high: its 95% interval (see `judge`).
        accuracy: share of images whose class is predicted.
        chance_accuracy: share of the most frequent class among the held-out images, the accuracy of always predicting
            it (if classes were joined, of each fold's most frequent set).
        images: number of scored images.
        classes: number of classes.
        predicted_classes: number of classes of the classifier; smaller if classes were joined into sets.
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
    predicted_classes: int
    importances: pd.DataFrame

    @property
    def well_above_chance(self) -> bool:
        """Return whether even the interval's low end is well above chance."""
        return self.low > 0.5 + WELL_ABOVE

    @property
    def leading_features(self) -> list[str]:
        """Return the most important feature, and others whose importance is certain and not much smaller."""
        lost, error = self.importances["auc_lost"], self.importances["standard_error"]
        named = (lost > Z * error) & (lost >= LEADING * lost.iloc[0])
        named.iloc[0] = True
        return list(self.importances.loc[named, "feature"])


def label_leakage(images: pd.DataFrame, folds: pd.DataFrame, columns: Sequence[str], seed: int) -> Verdict | str:
    """Measure leakage: how well `columns` predict the label under the contest's own folds; skipped images are ignored.

    Args:
        images: index image_id, with the columns, and group.
        folds: tables.FOLDS.
        columns: of `images`, to predict from.
        seed: as in `judge`.

    Returns:
        the verdict, or the reason why there is none.
    """
    used = folds[folds["use"] == "train"].set_index("image_id")[["label", "fold"]]
    rows = images.join(used, how="inner", validate="one_to_one").sort_index()
    largest = rows["fold"].value_counts().max() if len(rows) else 0
    left = len(rows) - largest
    if left < 2 * LEAF:
        return f"too few images: {left} to learn from where the largest fold is held out; it takes {2 * LEAF}"
    return judge(encode(rows[columns]), rows["label"], rows["group"], rows["fold"], seed) or NOTHING


def adversarial_validation(train: pd.DataFrame, test: pd.DataFrame, columns: Sequence[str], seed: int) -> Verdict | str:
    """Predict from `columns` whether an image is a test image.

    An AUC well above chance means that the test set differs from the train set. Do not give columns of file
    names: their difference is harmless.

    Args:
        train, test: index image_id, with the columns, and group.
        columns: of both.
        seed: of the folds, and as in `judge`.

    Returns:
        the verdict, or the reason why there is none.
    """
    if test.empty:
        return "there is no test image"
    both = pd.concat({"train": train, "test": test}, names=["label", "image_id"]).reset_index()
    both["image_id"] = both["label"] + "/" + both["image_id"]
    both = both.sort_values("image_id", ignore_index=True)
    if both.groupby("label")["group"].nunique().min() < FEWEST:
        return f"fewer than {FEWEST} groups of train or of test images"
    fold = draw(both, VALIDATION_FOLDS, seed)
    return judge(encode(both[columns]), both["label"], both["group"], fold, seed) or NOTHING


def importance_table(verdicts: Mapping[str, Verdict | str]) -> pd.DataFrame:
    """Return contracts.IMPORTANCES: the features of each question, the most important first."""
    tables = {name: verdict.importances for name, verdict in verdicts.items() if isinstance(verdict, Verdict)}
    rows = pd.concat([_NONE, *tables.values()], keys=["", *tables], names=["question"])
    return rows.reset_index("question").replace({"standard_error": {np.inf: np.nan}}).round({"standard_error": 6})


def report(verdict: Verdict | str) -> dict[str, Any]:
    """Return the entry of summary.json for a verdict, or for the reason why there is none."""
    if isinstance(verdict, str):
        return {"skipped": verdict}
    return {
        "auc": round(verdict.auc, 4),
        "interval": [round(verdict.low, 4), round(verdict.high, 4)],
        "well_above_chance": verdict.well_above_chance,
        "telling": verdict.leading_features,
        "accuracy": round(verdict.accuracy, 4),
        "chance_accuracy": round(verdict.chance_accuracy, 4),
        "images": verdict.images,
        "classes": verdict.classes,
        "classes_joined_into": verdict.predicted_classes,
    }


def sentence(verdict: Verdict | str) -> str:
    """Return a verdict, or the reason why there is none, as one line."""
    if isinstance(verdict, str):
        return f"skipped, {verdict}"
    joined = "" if verdict.predicted_classes == verdict.classes else f" of {verdict.predicted_classes} sets of classes"
    by = f", by {', '.join(verdict.leading_features)}" if verdict.well_above_chance else ""
    return (
        f"AUC{joined} {verdict.auc:.3f} ({verdict.low:.3f} to {verdict.high:.3f}, chance 0.5), accuracy"
        f" {verdict.accuracy:.3f} (most frequent class {verdict.chance_accuracy:.3f}), {verdict.images} images{by}"
    )


def sample(table: pd.DataFrame, seed: int, limit: int = MAX_IMAGES) -> pd.DataFrame:
    """Draw whole groups at random, until there are at least `limit` rows; return all rows if there are no more.

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
    """Cross-validate gradient boosting: predict and score each fold from the others.

    The interval is a normal one. Its standard error is that of resampling groups with replacement (in closed form),
    times sqrt(2): the errors of two folds are not independent, because each fold is predicted from the other. If no
    feature predicts the labels, the sum over such pairs has twice the variance of independent errors. The result does
    not depend on the number of threads.

    Args:
        features: of the images.
        labels: of each image.
        groups: of each image; images of one group are not independent.
        folds: of each image; no group is in two folds.
        seed: of the joined classes and the permutations.

    Returns:
        None if there is nothing to learn: every feature is constant, or no fold has two classes to score.

    Source: Obuchowski 1997, Biometrics 53, 567 (clustered ROC curves); DeLong et al. 1988; permutation importance:
    Breiman 2001.
    """
    label, fold = np.asarray(labels), np.asarray(folds)
    random = np.random.default_rng(seed)
    with threadpool_limits(limits=1):
        results = [_score_fold(features, label, fold == name, random) for name in sorted(set(folds))]
    scored = [one for one in results if one is not None]
    if not scored:
        return None
    auc = float(np.mean([one.auc for one in scored]))
    lost = np.mean([one.lost for one in scored], axis=0)  # (n_features,)
    in_fold = [np.asarray(groups)[one.held_out] for one in scored]
    reach = Z * _error([one.influence for one in scored], in_fold)
    errors = [_error([one.lost_influence[k] for one in scored], in_fold) for k in range(len(lost))]
    weights = [one.held_out.sum() for one in scored]
    importance = pd.DataFrame({"feature": features.names, "auc_lost": lost.round(6) + 0.0, "standard_error": errors})
    return Verdict(
        auc=auc,
        low=max(auc - reach, 0.0),
        high=min(auc + reach, 1.0),
        accuracy=float(np.average([one.accuracy for one in scored], weights=weights)),
        chance_accuracy=_chance_accuracy(scored, label, weights),
        images=int(sum(weights)),
        classes=len(set(labels)),
        predicted_classes=max(one.predicted_classes for one in scored),
        importances=importance.sort_values(["auc_lost", "feature"], ascending=[False, True], ignore_index=True),
    )


def _chance_accuracy(scored: "Sequence[_FoldScore]", labels: NDArray[np.str_], weights: Sequence[int]) -> float:
    held_out = labels[np.any([one.held_out for one in scored], axis=0)]
    if max(one.predicted_classes for one in scored) < len(set(labels)):  # sets of classes, which differ between folds
        return float(np.average([one.frequent for one in scored], weights=weights))
    return float(np.unique(held_out, return_counts=True)[1].max() / len(held_out))


@dataclass(frozen=True)
class _FoldScore:
    held_out: NDArray[np.bool_]  # (n_images,)
    auc: float
    influence: Floats  # (n_held_out,) of each image on auc
    accuracy: float
    frequent: float  # share of the most frequent class, or set, among the held-out images
    predicted_classes: int
    lost: Floats  # (n_features,) decrease of auc when a feature is permuted
    lost_influence: Floats  # (n_features, n_held_out)


def _score_fold(
    features: Features, labels: NDArray[np.str_], held_out: NDArray[np.bool_], random: np.random.Generator
) -> _FoldScore | None:
    """Fit on the other folds and score the held-out one; None without two classes to fit or to score."""
    joined = _joined(features.values[~held_out], labels[~held_out], random)
    target = np.array([joined.get(label, -1) for label in labels])  # -1: not in the training folds
    if not features.names or len(set(target[~held_out])) < 2 or len(set(target[held_out])) < 2:
        return None
    from sklearn.ensemble import HistGradientBoostingClassifier  # takes half a second to import

    model = HistGradientBoostingClassifier(
        max_iter=ROUNDS,
        max_leaf_nodes=15,
        min_samples_leaf=LEAF,
        early_stopping=False,
        categorical_features=features.categorical,
        random_state=0,
    ).fit(features.values[~held_out], target[~held_out])
    values, truth = features.values[held_out], target[held_out]
    probs = model.predict_proba(values)
    auc, influence = macro_auc(truth, probs)
    permuted = [_permuted_auc(model, values, truth, feature, random) for feature in range(values.shape[1])]
    return _FoldScore(
        held_out=held_out,
        auc=auc,
        influence=influence,
        accuracy=float((probs.argmax(1) == truth).mean()),
        frequent=float(np.bincount(truth[truth >= 0]).max() / len(truth)),
        predicted_classes=probs.shape[1],
        lost=auc - np.array([one[0] for one in permuted]),
        lost_influence=influence - np.array([one[1] for one in permuted]),
    )


def macro_auc(truth: NDArray[np.int64], probs: Floats) -> tuple[float, Floats]:
    """Return the mean AUC of each class against the rest, and each image's influence on it.

    Args:
        truth: (n_images,) class indices; an index without a column counts among the rest.
        probs: (n_images, n_classes).

    Returns:
        the mean over classes that have images inside and outside them, and the influences (n_images,): the sum of
        their squares is the variance of that mean.
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
    """Return, for each image, the share of images of the other side that it ranks correctly with; ties count half.

    Images inside the class should have the higher score.
    """
    from scipy.stats import rankdata  # a second to import, for this alone

    ranks, own = rankdata(score), np.empty(len(score))
    own[inside], own[~inside] = rankdata(score[inside]), rankdata(score[~inside])
    below = (ranks - own) / np.where(inside, (~inside).sum(), inside.sum())
    return np.asarray(np.where(inside, below, 1 - below))


def _permuted_auc(
    model: "HistGradientBoostingClassifier",
    values: Floats,
    truth: NDArray[np.int64],
    feature: int,
    random: np.random.Generator,
) -> tuple[float, Floats]:
    """Return `macro_auc` with one feature permuted among the images, the mean over REPEATS permutations."""
    inputs = np.tile(values, (REPEATS, 1))  # predicted in one call, because each call takes some milliseconds
    inputs[:, feature] = np.concatenate([random.permutation(values[:, feature]) for _ in range(REPEATS)])
    probs = model.predict_proba(inputs).reshape(REPEATS, len(truth), -1)
    scores = [macro_auc(truth, repeat) for repeat in probs]
    return float(np.mean([auc for auc, _ in scores])), np.mean([influence for _, influence in scores], axis=0)


def _error(influences: Sequence[Floats], groups: Sequence[NDArray[np.str_]]) -> float:
    """Return the standard error of a mean over folds, from the influences and groups of each fold's images.

    See `judge`. Influences are deviations from their fold's mean, so a fold with a single group has no measurable
    spread; then the error is infinite.
    """
    counts = [len(np.unique(group)) for group in groups]
    if min(counts) < 2:
        return float("inf")
    deviations = [one * np.sqrt(n / (n - 1)) for one, n in zip(influences, counts, strict=True)]
    by_group = pd.Series(np.concatenate(deviations) / len(deviations)).groupby(np.concatenate(groups)).sum()
    return float(np.sqrt(2 * (by_group**2).sum()))


def _joined(values: Floats, labels: NDArray[np.str_], random: np.random.Generator) -> dict[str, int]:
    """Return an index for each class; more than MAX_CLASSES are joined into sets whose images have similar features.

    Only training images decide which classes are joined, so the held-out score stays unbiased.
    """
    classes, target = np.unique(labels, return_inverse=True)
    if len(classes) <= MAX_CLASSES:
        return {str(name): k for k, name in enumerate(classes)}
    from scipy.stats import rankdata  # as above

    ranks = np.nan_to_num(rankdata(values, axis=0, nan_policy="omit") / len(values), nan=0.5)
    means = pd.DataFrame(ranks).groupby(target).mean().to_numpy().round(9)  # (classes, features)
    sets = min(MAX_CLASSES, len(np.unique(means, axis=0)))
    from sklearn.cluster import KMeans  # takes a third of a second to import: only many classes need it

    grouping = KMeans(sets, n_init=1, random_state=int(random.integers(2**31)))
    groups = grouping.fit_predict(means, sample_weight=np.bincount(target))
    return {str(name): int(k) for name, k in zip(classes, np.unique(groups, return_inverse=True)[1], strict=True)}
