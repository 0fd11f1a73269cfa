"""Whose predictions are blended, and in which looks: members, in a third phase too, and predictions made elsewhere."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from podium import contracts
from podium.core import params
from podium.inference.settings import MemberSettings
from podium.predictions import calibration, prediction_files, tta
from podium.predictions.calibration import Probs
from podium.predictions.tta import ELSEWHERE, FINETUNE, FIXRES, Look
from podium.training.settings import FixresSettings, PhaseSettings


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


def of_member(
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
    usual = tta.usual_look(image_sizes, views, training_size)
    return Source(
        name,
        {FINETUNE: root / f"data/infer/{name}.parquet", FIXRES: root / f"data/infer_fixres/{name}.parquet"},
        tuple(views),
        usual,
        tta.other_looks(usual, image_sizes, fixres_size),
        frozenset(weighted),
    )


def made_elsewhere(root: Path, name: str) -> Source:
    """Describe predictions of the top-level map `external`."""
    look = Look((contracts.EXTERNAL_IMAGE_SIZE,), (contracts.EXTERNAL_VIEW,), ELSEWHERE)
    return Source(name, {ELSEWHERE: root / f"data/external/{name}.parquet"}, (contracts.EXTERNAL_VIEW,), look, ())


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
    probs = prediction_files.read_train(
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
    probs = prediction_files.read_test(
        source.files[look.phase],
        image_ids=image_ids,
        fold=contracts.EXTERNAL_TEST_FOLD if look.phase == ELSEWHERE else fold,
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
        yield look, tta.seen(read_train(source, look, folds, classes), shifts.get(look.phase))


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


def members_of(values: dict[str, Any]) -> dict[str, MemberSettings]:
    """Return the settings of the map `members`, sorted by name: its order in params.yaml means nothing to DVC."""
    sections = sorted(params.section(values, "members").items())
    return {name: params.parse(section, f"members.{name}", MemberSettings) for name, section in sections}


def sources_of(values: dict[str, Any], root: Path) -> dict[str, Source]:
    """Return all sources, sorted by name."""
    third = {
        name: params.parse(section, f"fixres.{name}", FixresSettings)
        for name, section in params.section(values, "fixres").items()
    }
    found = {name: made_elsewhere(root, name) for name in params.section(values, "external")}
    for name, member in members_of(values).items():
        last: dict[str, PhaseSettings] = {
            tta.FINETUNE: member.finetune if member.finetune.epochs > 0 else member.pretrain
        }
        if name in third:
            last[tta.FIXRES] = third[name]
        found[name] = of_member(
            root,
            name,
            image_sizes=member.infer.image_sizes,
            views=member.infer.views,
            training_size=member.model.image_size,
            fixres_size=third[name].image_size if name in third else None,
            weighted=[phase for phase, settings in last.items() if settings.class_weights != "none"],
        )
    return dict(sorted(found.items()))
