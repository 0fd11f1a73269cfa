"""Whose predictions are blended, and in which ttas: members, in a third phase too, and predictions made elsewhere."""

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
from podium.predictions import calibration, prediction_files
from podium.predictions.calibration import Probs
from podium.predictions.tta import ELSEWHERE, FINETUNE, FIXRES, Tta, alternative_ttas, default_tta, seen
from podium.training.settings import FixresSettings, PhaseSettings


@dataclass(frozen=True)
class MemberPredictions:
    """Where one member's predictions lie, or one set of those made elsewhere.

    Attributes:
        files: phase -> parquet of tables.PREDICTIONS.
        transforms: all that the files hold, in their order.
        usual: the look it is trained for.
        others: single ttas to hold against it.
        weighted: phases whose training weighed classes by their counts.
    """

    name: str
    files: Mapping[str, Path]
    transforms: tuple[str, ...]
    usual: Tta
    others: tuple[Tta, ...]
    weighted: frozenset[str] = frozenset()


def of_member(
    root: Path,
    name: str,
    *,
    image_sizes: Sequence[int],
    transforms: Sequence[str],
    training_size: int,
    fixres_size: int | None,
    weighted: Iterable[str] = (),
) -> MemberPredictions:
    """Describe a member.

    Args:
        root: of the project.
        name: of the member.
        image_sizes: pixels, of `infer`.
        transforms: of `infer`.
        training_size: pixels.
        fixres_size: pixels, of the third phase; None where there is none.
        weighted: phases (resolution.FINETUNE, FIXRES) whose training weighed classes.
    """
    usual = default_tta(image_sizes, transforms, training_size)
    return MemberPredictions(
        name,
        {FINETUNE: root / f"data/infer/{name}.parquet", FIXRES: root / f"data/infer_fixres/{name}.parquet"},
        tuple(transforms),
        usual,
        alternative_ttas(usual, image_sizes, fixres_size),
        frozenset(weighted),
    )


def of_external(root: Path, name: str) -> MemberPredictions:
    """Describe predictions of the top-level map `external`."""
    tta = Tta((contracts.EXTERNAL_IMAGE_SIZE,), (contracts.EXTERNAL_TRANSFORM,), ELSEWHERE)
    return MemberPredictions(
        name, {ELSEWHERE: root / f"data/external/{name}.parquet"}, (contracts.EXTERNAL_TRANSFORM,), tta, ()
    )


def predicted(source: MemberPredictions, folds: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of tables.FOLDS that a source predicts: skipped images too, where it was not made elsewhere."""
    return folds[folds["use"] == "train"] if source.usual.phase == ELSEWHERE else folds[folds["fold"] != ""]


def read_train(source: MemberPredictions, tta: Tta, folds: pd.DataFrame, classes: Sequence[str]) -> Probs:
    """Read what a source says of the scored images in a TTA, out of fold.

    Args:
        source: whose.
        tta: of one phase.
        folds: tables.FOLDS.
        classes: in the order wanted.

    Returns:
        probabilities (sizes, transforms, images with use "train", classes).
    """
    rows = predicted(source, folds)
    return read_predicted(source, tta, rows, classes)[:, :, (rows["use"] == "train").to_numpy()]


def read_predicted(source: MemberPredictions, tta: Tta, rows: pd.DataFrame, classes: Sequence[str]) -> Probs:
    """Read what a source says in a TTA of all rows that are `predicted`: (sizes, transforms, rows, classes)."""
    probs = prediction_files.read_train(
        [source.files[tta.phase]],
        image_ids=list(rows["image_id"]),
        folds=list(rows["fold"]),
        classes=classes,
        image_sizes=tta.image_sizes,
        transforms=source.transforms,
    )
    return probs[:, _places(source, tta)]


def read_test(
    source: MemberPredictions, tta: Tta, image_ids: Sequence[str], fold: str, classes: Sequence[str]
) -> Probs:
    """Read what one fold's model says of test images in a TTA: (sizes, transforms, images, classes)."""
    probs = prediction_files.read_test(
        source.files[tta.phase],
        image_ids=image_ids,
        fold=contracts.EXTERNAL_TEST_FOLD if tta.phase == ELSEWHERE else fold,
        classes=classes,
        image_sizes=tta.image_sizes,
        transforms=source.transforms,
    )
    return probs[:, _places(source, tta)]


def logs(
    source: MemberPredictions,
    ttas: Iterable[Tta],
    folds: pd.DataFrame,
    classes: Sequence[str],
    shifts: Mapping[str, Probs],
) -> Iterator[tuple[Tta, Probs]]:
    """Yield log probabilities (scored images, classes) in each look; one look's predictions are held at a time.

    Args:
        source: whose.
        ttas: of its own.
        folds: tables.FOLDS.
        classes: in the order wanted.
        shifts: phase -> what puts back the classes' priors, (scored images, classes); only phases that need it.
    """
    for tta in ttas:
        yield tta, seen(read_train(source, tta, folds, classes), shifts.get(tta.phase))


def shifts(
    source: MemberPredictions, targets: calibration.Targets, folds: NDArray[np.int64], n_classes: int
) -> dict[str, Probs]:
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


def _places(source: MemberPredictions, tta: Tta) -> list[int]:
    return [source.transforms.index(transform) for transform in tta.transforms]


def members_of(values: dict[str, Any]) -> dict[str, MemberSettings]:
    """Return the settings of the map `members`, sorted by name: its order in params.yaml means nothing to DVC."""
    sections = sorted(params.section(values, "members").items())
    return {name: params.parse(section, f"members.{name}", MemberSettings) for name, section in sections}


def blend_members(values: dict[str, Any], root: Path) -> dict[str, MemberPredictions]:
    """Return all sources, sorted by name."""
    third = {
        name: params.parse(section, f"fixres.{name}", FixresSettings)
        for name, section in params.section(values, "fixres").items()
    }
    found = {name: of_external(root, name) for name in params.section(values, "external")}
    for name, member in members_of(values).items():
        last: dict[str, PhaseSettings] = {FINETUNE: member.finetune if member.finetune.epochs > 0 else member.pretrain}
        if name in third:
            last[FIXRES] = third[name]
        found[name] = of_member(
            root,
            name,
            image_sizes=member.infer.image_sizes,
            transforms=member.infer.transforms,
            training_size=member.model.image_size,
            fixres_size=third[name].image_size if name in third else None,
            weighted=[phase for phase, settings in last.items() if settings.class_weights != "none"],
        )
    return dict(sorted(found.items()))
