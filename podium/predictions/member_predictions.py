"""Where the predictions of the blend's members lie, and how they are read.

A member of the blend is a member of params.yaml (with its probe and its phases), a set of predictions made elsewhere
(`external`), or the joint probe: one linear classifier on the frozen features of all members.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from podium import contracts
from podium.core import params
from podium.core import targets as label_targets
from podium.inference.settings import MemberSettings
from podium.predictions import calibration, case_means, prediction_files
from podium.predictions.blend_names import has_joint_probe
from podium.predictions.calibration import Probs
from podium.predictions.tta import (
    ELSEWHERE,
    FINETUNE,
    FIXRES,
    JOINT_PROBE,
    PRETRAIN,
    PROBE,
    PSEUDO,
    SOUP,
    Tta,
    alternative_ttas,
    default_tta,
    single_ttas,
)
from podium.training.settings import FixresSettings, PhaseSettings, PseudoSettings

JOINT_PROBE_SIZE = 0  # every member's features are a mean over its own sizes


@dataclass(frozen=True)
class MemberPredictions:
    """Where one member's predictions lie.

    Attributes:
        files: phase -> parquet of tables.PREDICTIONS.
        transforms: all that the files hold, in their order.
        default: the TTA that the member is trained for.
        alternatives: single TTAs that are compared with it.
        weighted: phases whose training, or one before it, corrected for the classes' counts: by weights, by the loss or
            by the sampler.
    """

    name: str
    files: Mapping[str, Path]
    transforms: tuple[str, ...]
    default: Tta
    alternatives: tuple[Tta, ...]
    weighted: frozenset[str] = frozenset()


def of_member(
    root: Path,
    name: str,
    member: MemberSettings,
    fixres: FixresSettings | None,
    pseudo: PseudoSettings | None = None,
    *,
    has_soup: bool = False,
) -> MemberPredictions:
    """Describe a member of params.yaml.

    Args:
        root: of the project.
        name: of the member.
        member: its settings.
        fixres: its settings in the map `fixres`; None where it is not there.
        pseudo: its settings in the map `pseudo`; None where it is not there.
        has_soup: whether it is in the map `soup`; the others of a soup correct for the classes' counts as it does.
    """
    optional = {FIXRES: fixres, PSEUDO: pseudo}
    folders = {
        FINETUNE: "infer",
        FIXRES: "infer_fixres",
        PRETRAIN: "infer_pretrain",
        PROBE: "probe",
        PSEUDO: "infer_pseudo",
        SOUP: "soup",
    }
    phase = FINETUNE if member.is_trained else PROBE
    default = default_tta(member.infer.image_sizes, member.infer.transforms, member.model.image_size, phase)
    alternatives = alternative_ttas(
        default,
        member.infer.image_sizes,
        training_size=member.model.image_size,
        fixres_size=None if fixres is None else fixres.image_size,
        has_pretrain=min(member.pretrain.epochs, member.finetune.epochs) > 0,
        has_pseudo=pseudo is not None,
        has_soup=has_soup,
    )
    return MemberPredictions(
        name,
        {phase: root / f"data/{folder}/{name}.parquet" for phase, folder in folders.items()},
        tuple(member.infer.transforms),
        default,
        alternatives,
        _weighted(member, {phase: settings for phase, settings in optional.items() if settings is not None}, has_soup),
    )


def _weighted(member: MemberSettings, optional: Mapping[str, PhaseSettings], has_soup: bool) -> frozenset[str]:
    """Return the phases that corrected for the classes' counts, and those that go on from them."""
    in_pretrain, in_finetune = (
        phase.epochs > 0 and phase.is_class_balanced for phase in (member.pretrain, member.finetune)
    )
    before = in_pretrain or in_finetune
    found = {PRETRAIN: in_pretrain, FINETUNE: before, SOUP: before and has_soup}
    found |= {phase: before or settings.is_class_balanced for phase, settings in optional.items()}
    return frozenset(phase for phase, weighs in found.items() if weighs)


def of_external(root: Path, name: str) -> MemberPredictions:
    """Describe predictions of the top-level map `external`."""
    transforms = (contracts.EXTERNAL_TRANSFORM,)
    default = Tta((contracts.EXTERNAL_IMAGE_SIZE,), transforms, (ELSEWHERE,))
    return MemberPredictions(name, {ELSEWHERE: root / f"data/external/{name}.parquet"}, transforms, default, ())


def of_joint_probe(root: Path) -> MemberPredictions:
    """Describe the joint probe."""
    transforms = ("identity",)
    default = Tta((JOINT_PROBE_SIZE,), transforms, (JOINT_PROBE,))
    files = {JOINT_PROBE: root / "data/joint_probe/predictions.parquet"}
    return MemberPredictions(JOINT_PROBE, files, transforms, default, ())


def predicted_rows(member: MemberPredictions, folds: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of tables.FOLDS that a member predicts: skipped images too, where it was not made elsewhere."""
    return folds[folds["use"] == "train"] if ELSEWHERE in member.default.phases else folds[folds["fold"] != ""]


def read_train(member: MemberPredictions, tta: Tta, folds: pd.DataFrame, classes: Sequence[str]) -> Probs:
    """Read a member's out-of-fold predictions of the images with use "train" in a TTA: (images, classes).

    Args:
        member: whose.
        tta: one of its own, or a mean of several.
        folds: tables.FOLDS, or case_means.with_cases: then each image gets its case's mean.
        classes: in the order wanted.
    """
    rows = predicted_rows(member, folds)
    used = (rows["use"] == "train").to_numpy()
    predicted = read_predicted(member, tta, rows, classes)
    probs = np.asarray(predicted[label_targets.rows_of_images(used, classes)], np.float32)
    return case_means.averaged(probs, rows[used])


def read_predicted(member: MemberPredictions, tta: Tta, rows: pd.DataFrame, classes: Sequence[str]) -> Probs:
    """Read a member's predictions in a TTA of all rows that are `predicted_rows`: (rows, classes)."""
    found = (
        prediction_files.read_train(
            [member.files[single.phases[0]]],
            image_ids=list(rows["image_id"]),
            folds=list(rows["fold"]),
            classes=classes,
            image_sizes=single.image_sizes,
            transforms=member.transforms,
        )
        for single in single_ttas(tta)
    )
    return averaged(found, [member.transforms.index(transform) for transform in tta.transforms])


def read_test(
    member: MemberPredictions, tta: Tta, image_ids: Sequence[str], fold: str, classes: Sequence[str]
) -> Probs:
    """Read what one fold's models predict of test images in a TTA: (images, classes)."""
    found = (
        prediction_files.read_test(
            member.files[single.phases[0]],
            image_ids=image_ids,
            fold=contracts.EXTERNAL_TEST_FOLD if ELSEWHERE in single.phases else fold,
            classes=classes,
            image_sizes=single.image_sizes,
            transforms=member.transforms,
        )
        for single in single_ttas(tta)
    )
    return averaged(found, [member.transforms.index(transform) for transform in tta.transforms])


def logs(
    member: MemberPredictions, ttas: Iterable[Tta], folds: pd.DataFrame, classes: Sequence[str]
) -> Iterator[tuple[Tta, Probs]]:
    """Yield log probabilities (images with use "train", classes) in each TTA; one TTA is read at a time."""
    for tta in ttas:
        yield tta, calibration.log_probs(read_train(member, tta, folds, classes))


def prior_shifts(
    member: MemberPredictions, targets: calibration.Targets, folds: NDArray[np.int64], n_classes: int
) -> dict[str, Probs]:
    """Return the log class priors that a training with balanced classes may have lost: phase -> (folds, classes).

    Args:
        member: whose.
        targets: (images,) class indices.
        folds: (images,) 0, 1, ...
        n_classes: of the contest.
    """
    if not member.weighted:
        return {}
    return dict.fromkeys(sorted(member.weighted), calibration.prior_shifts(targets, folds, n_classes))


def members_of(values: dict[str, Any]) -> dict[str, MemberSettings]:
    """Return the settings of the map `members`, sorted by name, because its order means nothing to DVC."""
    sections = sorted(params.section(values, "members").items())
    return {name: params.parse(section, f"members.{name}", MemberSettings) for name, section in sections}


def blend_members(values: dict[str, Any], root: Path) -> dict[str, MemberPredictions]:
    """Return all members of the blend that params.yaml describes, sorted by name."""
    fixres, pseudo = by_member(values, "fixres", FixresSettings), by_member(values, "pseudo", PseudoSettings)
    soups = values.get("soup", {})  # runs that `tools.seeds` compares may be older than this map
    found = {name: of_external(root, name) for name in params.section(values, "external")}
    for name, member in members_of(values).items():
        found[name] = of_member(root, name, member, fixres.get(name), pseudo.get(name), has_soup=name in soups)
    if has_joint_probe(values):
        found[JOINT_PROBE] = of_joint_probe(root)
    return dict(sorted(found.items()))


def by_member(values: dict[str, Any], key: str, cls: type[params.SectionT]) -> dict[str, params.SectionT]:
    """Return the settings of an optional phase, by member."""
    return {name: params.parse(section, f"{key}.{name}", cls) for name, section in params.section(values, key).items()}


def averaged(found: Iterable[Probs], places: Sequence[int]) -> Probs:
    """Average predictions (1 size, transforms, images, classes) over some transforms, and over all of `found`."""
    total, count = None, 0
    for probs in found:
        every = list(places) == list(range(probs.shape[1]))
        mean = (probs[0] if every else probs[0, list(places)]).mean(axis=0)
        del probs  # before the next ones are read
        if total is None:
            total = mean
        else:
            total += mean
        count += 1
    if total is None:
        raise ValueError("a TTA has a size and a phase")
    total /= np.float32(count)
    return np.asarray(total, np.float32)
