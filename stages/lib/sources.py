"""Whose predictions are blended, and in which looks: members, in a third phase too, and predictions made elsewhere."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stages.lib import calibration, external, predictions, resolution
from stages.lib.calibration import Probs
from stages.lib.resolution import ELSEWHERE, FINETUNE, FIXRES, Look


@dataclass(frozen=True)
class Source:
    """Where one member's predictions lie, or one set of those made elsewhere.

    Attributes:
        files: phase -> parquet of tables.PREDICTIONS.
        views: all that the files hold, in their order.
        usual: the look it is trained for.
        others: single looks to hold against it.
        weighted: phases whose training weighed classes by their counts.
    """

    name: str
    files: Mapping[str, Path]
    views: tuple[str, ...]
    usual: Look
    others: tuple[Look, ...]
    weighted: frozenset[str] = frozenset()


def member(
    root: Path,
    name: str,
    *,
    image_sizes: Sequence[int],
    views: Sequence[str],
    training_size: int,
    fixres_size: int | None,
    weighted: Iterable[str] = (),
) -> Source:
    """Describe a member.

    Args:
        root: of the project.
        name: of the member.
        image_sizes: pixels, of `infer`.
        views: of `infer`.
        training_size: pixels.
        fixres_size: pixels, of the third phase; None where there is none.
        weighted: phases (resolution.FINETUNE, FIXRES) whose training weighed classes.
    """
    usual = resolution.usual_look(image_sizes, views, training_size)
    return Source(
        name,
        {FINETUNE: root / f"data/infer/{name}.parquet", FIXRES: root / f"data/infer_fixres/{name}.parquet"},
        tuple(views),
        usual,
        resolution.other_looks(usual, image_sizes, fixres_size),
        frozenset(weighted),
    )


def made_elsewhere(root: Path, name: str) -> Source:
    """Describe predictions of the top-level map `external`."""
    look = Look((external.IMAGE_SIZE,), (external.VIEW,), ELSEWHERE)
    return Source(name, {ELSEWHERE: root / f"data/external/{name}.parquet"}, (external.VIEW,), look, ())


def predicted(source: Source, folds: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of tables.FOLDS that a source predicts: skipped images too, where it was not made elsewhere."""
    return folds[folds["use"] == "train"] if source.usual.phase == ELSEWHERE else folds[folds["fold"] != ""]


def read_train(source: Source, look: Look, folds: pd.DataFrame, classes: Sequence[str]) -> Probs:
    """Read what a source says of the scored images in a look, out of fold.

    Args:
        source: whose.
        look: of one phase.
        folds: tables.FOLDS.
        classes: in the order wanted.

    Returns:
        probabilities (sizes, views, images with use "train", classes).
    """
    rows = predicted(source, folds)
    return read_predicted(source, look, rows, classes)[:, :, (rows["use"] == "train").to_numpy()]


def read_predicted(source: Source, look: Look, rows: pd.DataFrame, classes: Sequence[str]) -> Probs:
    """Read what a source says in a look of all rows that are `predicted`: (sizes, views, rows, classes)."""
    probs = predictions.read_train(
        [source.files[look.phase]],
        image_ids=list(rows["image_id"]),
        folds=list(rows["fold"]),
        classes=classes,
        image_sizes=look.image_sizes,
        views=source.views,
    )
    return probs[:, _places(source, look)]


def read_test(source: Source, look: Look, image_ids: Sequence[str], fold: str, classes: Sequence[str]) -> Probs:
    """Read what one fold's model says of test images in a look: (sizes, views, images, classes)."""
    probs = predictions.read_test(
        source.files[look.phase],
        image_ids=image_ids,
        fold=external.TEST_FOLD if look.phase == ELSEWHERE else fold,
        classes=classes,
        image_sizes=look.image_sizes,
        views=source.views,
    )
    return probs[:, _places(source, look)]


def logs(
    source: Source, looks: Iterable[Look], folds: pd.DataFrame, classes: Sequence[str], shifts: Mapping[str, Probs]
) -> Iterator[tuple[Look, Probs]]:
    """Yield log probabilities (scored images, classes) in each look; one look's predictions are held at a time.

    Args:
        source: whose.
        looks: of its own.
        folds: tables.FOLDS.
        classes: in the order wanted.
        shifts: phase -> what puts back the classes' priors, (scored images, classes); only phases that need it.
    """
    for look in looks:
        yield look, resolution.seen(read_train(source, look, folds, classes), shifts.get(look.phase))


def test_probs(
    source: Source,
    decision: resolution.Decision,
    *,
    image_ids: Sequence[str],
    fold: str,
    classes: Sequence[str],
    shifts: Mapping[str, Probs],
) -> Probs:
    """Return one fold's calibrated predictions of test images in the look that is taken: (images, classes).

    Args:
        source: whose.
        decision: on all scored images.
        image_ids: of test images.
        fold: whose model's are wanted.
        classes: in the order wanted.
        shifts: phase -> (classes,), as in `logs`, of this fold.
    """
    probs = read_test(source, decision.look, image_ids, fold, classes)
    return calibration.scaled(resolution.seen(probs, shifts.get(decision.look.phase)), decision.temperature)


def shifts(source: Source, targets: calibration.Targets, folds: NDArray[np.int64], n_classes: int) -> dict[str, Probs]:
    """Return what puts back the classes' priors, phase -> (folds, classes), for phases whose training weighed classes.

    Args:
        source: whose.
        targets: (images,) class indices.
        folds: (images,) 0, 1, ...
        n_classes: of the contest.
    """
    if not source.weighted:
        return {}
    return dict.fromkeys(sorted(source.weighted), calibration.prior_shifts(targets, folds, n_classes))


def _places(source: Source, look: Look) -> list[int]:
    return [source.views.index(view) for view in look.views]
