"""The steps of the ablation study, read from the predictions that the stages left."""

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from podium.contest.settings import ContestSettings
from podium.core import params, scratch, tables, targets
from podium.core.wording import counted
from podium.inference.settings import MemberSettings
from podium.predictions import calibration, case_means, member_predictions, prediction_files
from podium.predictions.calibration import Probs
from podium.predictions.member_predictions import MemberPredictions
from podium.predictions.tta import FINETUNE, FIXRES, IDENTITY, PSEUDO, SOUP, Tta
from podium.reports import ablation
from podium.reports.ablation import Step
from podium.scoring import evaluation_set, scores
from podium.scoring.evaluation_set import EvaluationSet
from podium.training.settings import DistillSettings


@dataclass(frozen=True)
class AblationInputs:
    """Settings and tables; `folds` is sorted by image_id, `students` are the map `distill`."""

    root: Path
    members: dict[str, MemberSettings]
    predictions: dict[str, MemberPredictions]
    students: dict[str, DistillSettings]
    fold_names: list[str]
    folds: pd.DataFrame
    classes: list[str]
    images: EvaluationSet

    @property
    def used(self) -> pd.DataFrame:
        """Return the train images that are scored."""
        return self.folds[self.folds["use"] == "train"]

    @property
    def log_priors(self) -> Probs:
        """Return the log class prior of each fold's training images (folds, classes)."""
        return calibration.prior_shifts(self.images.targets, self.images.folds, len(self.classes))

    def calibrated(self, probs: Probs, *, balanced: bool) -> Probs:
        """Calibrate out-of-fold predictions (scored images, classes), each outer fold by the others.

        Args:
            probs: as a network predicts them.
            balanced: whether its training corrected for the classes' counts, so it may lack the class prior.
        """
        return ablation.calibrated(probs, self.images, self.log_priors[self.images.folds] if balanced else None)


def load(root: Path) -> AblationInputs:
    """Read settings and folds."""
    values = params.read(root)
    contest = params.parse(params.section(values, "contest"), "contest", ContestSettings)
    folds = tables.read(root / "data/split/folds.csv", tables.FOLDS).sort_values("image_id", ignore_index=True)
    folds = case_means.with_cases(folds, root)
    used = folds[folds["use"] == "train"]
    classes = targets.class_names(used["label"])
    fold_names = [str(fold) for fold in params.section(values, "folds")]
    images = evaluation_set.of_folds(used, fold_names, classes, scores.named(contest.metric, classes))
    members, predictions = member_predictions.members_of(values), member_predictions.blend_members(values, root)
    students = member_predictions.by_member(values, "distill", DistillSettings)
    return AblationInputs(root, members, predictions, students, fold_names, folds, classes, images)


def of_member(inputs: AblationInputs, name: str) -> list[Step]:
    """Return a member's steps: probe, phase 1 (mixup), phase 2 (clean), flip, and the choice of TTA and phase.

    Phases without epochs and a single transform have no step.
    """
    member, predictions = inputs.members[name], inputs.predictions[name]
    size = member.model.image_size
    steps = [_probe(inputs, name, size)]
    for phase, settings in (("pretrain", member.pretrain), ("finetune", member.finetune)):
        if settings.epochs > 0:
            trained_size = member.pretrain_size if phase == "pretrain" else size
            probs = _phase(inputs, f"{phase}/{name}", trained_size)
            balanced = phase in predictions.weighted
            steps.append(_step(inputs, name, phase, _words(phase, member), probs=probs, balanced=balanced))
    default = predictions.default
    if len(predictions.transforms) > 1 and default.image_sizes == (size,):
        what = f"mean over {' and '.join(default.transforms)}"
        steps.append(_at(inputs, predictions, "flip", what, default))
    chosen = _read_oof(inputs, f"members/{name}")
    return [*steps, Step(name, "choice", "sizes, transforms and phases with the smallest left-out cost", chosen)]


DISTILL = "distill"  # in place of a member's name
LATER = {FIXRES: "a third phase", PSEUDO: "pseudo-labels", SOUP: "mean weights of several members"}  # after `finetune`


def of_later_phase(inputs: AblationInputs, predictions: MemberPredictions, phase: str) -> list[Step]:
    """Return a member's phase of `LATER` after the phase before it, in the same TTA; [] where it has none.

    Where the phase before is not predicted at that size, its default TTA is used, and the step includes the change of
    size.
    """
    found = [tta for tta in predictions.alternatives if phase in tta.phases]
    if not found:
        return []
    tta = next((tta for tta in found if tta.image_sizes == predictions.default.image_sizes), found[0])
    same = replace(tta, phases=predictions.default.phases)
    before = same if same in predictions.alternatives else predictions.default
    at = "at {0.image_sizes[0]} pixels".format
    return [
        _at(inputs, predictions, f"before {phase}", f"the phase before it {at(before)}", before),
        _at(inputs, predictions, phase, f"{LATER[phase]} {at(tta)}", tta),
    ]


def of_blend(inputs: AblationInputs) -> list[list[Step]]:
    """Return the blend after each single member."""
    blend = _read_oof(inputs, "oof")
    what = f"blend of {len(inputs.predictions)} members, by nested cross-validation"
    return [
        [
            Step("blend", f"only {name}", "one member", _read_oof(inputs, f"members/{name}")),
            Step("blend", f"blend over {name}", what, blend),
        ]
        for name in inputs.predictions
    ]


def of_student(inputs: AblationInputs, name: str) -> list[list[Step]]:
    """Return a student of `distill` after its own last phase, and after the blend: one pass at the training size."""
    member = inputs.members[name]
    size, last = member.model.image_size, "finetune" if member.finetune.epochs > 0 else "pretrain"
    what = f"one pass of {name} at {size} pixels"
    before, after = _phase(inputs, f"{last}/{name}", size), student_probs(inputs, name)
    taught = f"{what}, trained with the blend's predictions of test images"
    student = _step(inputs, DISTILL, name, taught, probs=after, balanced=is_balanced_student(inputs, name))
    blend = Step(DISTILL, f"blend for {name}", "the blend", _read_oof(inputs, "oof"))
    balanced = last in inputs.predictions[name].weighted
    untaught = _step(inputs, DISTILL, f"{name} before", f"{what}, as trained before", probs=before, balanced=balanced)
    return [
        [untaught, student],
        [blend, replace(student, name=f"{name} over the blend")],
    ]


def student_probs(inputs: AblationInputs, name: str) -> Probs:
    """Return what a student's models predict of their held-out images (scored images, classes), not calibrated."""
    return _phase(inputs, f"{DISTILL}/{name}", inputs.members[name].model.image_size)


def is_balanced_student(inputs: AblationInputs, name: str) -> bool:
    """Say whether a student's training, or one before it, corrected for the classes' counts."""
    return inputs.students[name].is_class_balanced or FINETUNE in inputs.predictions[name].weighted


def _probe(inputs: AblationInputs, name: str, size: int) -> Step:
    """Return the first step; its file has skipped images too."""
    predictions = inputs.predictions[name]
    tta = Tta((size,), (IDENTITY,) if IDENTITY in predictions.transforms else predictions.transforms, ("probe",))
    if (size,) != tta.image_sizes or size not in inputs.members[name].infer.image_sizes:
        tta = replace(tta, image_sizes=predictions.default.image_sizes)
    what = f"linear classifier on frozen features at {tta.image_sizes[0]} pixels"
    return _at(inputs, predictions, "probe", what, tta)


def _phase(inputs: AblationInputs, folder: str, size: int) -> Probs:
    """Return what a phase's models predict of their held-out images."""
    probs = prediction_files.read_train(
        [inputs.root / f"data/{folder}/{fold}.parquet" for fold in inputs.fold_names],
        image_ids=list(inputs.used["image_id"]),
        folds=list(inputs.used["fold"]),
        classes=inputs.classes,
        image_sizes=[size],
        transforms=[IDENTITY],
    )[0, 0]
    return case_means.averaged(probs, inputs.used)


def _at(inputs: AblationInputs, predictions: MemberPredictions, name: str, what: str, tta: Tta) -> Step:
    """Return the step of a member's predictions in a TTA."""
    probs = member_predictions.read_train(predictions, tta, inputs.folds, inputs.classes)
    found = inputs.calibrated(probs, balanced=bool(predictions.weighted & set(tta.phases)))
    return Step(predictions.name, name, what, scratch.on_disk(found))


def _step(inputs: AblationInputs, member: str, name: str, what: str, *, probs: Probs, balanced: bool) -> Step:
    """Return the step of a phase's predictions."""
    found = inputs.calibrated(probs, balanced=balanced)
    return Step(member, name, what, scratch.on_disk(found))


def _words(phase: str, member: MemberSettings) -> str:
    before, after = member.pretrain, member.finetune
    if phase == "pretrain":
        return f"{counted(before.epochs, 'epoch')} with mixup {before.mixup:g}, cutmix {before.cutmix:g}"
    return f"{counted(after.epochs, 'more epoch' if before.epochs else 'epoch')} on clean images"


def _read_oof(inputs: AblationInputs, name: str) -> Probs:
    """Read what `ensemble` chose on other images and calibrated: (scored images, classes)."""
    path = inputs.root / f"data/ensemble/{name}.parquet"
    return scratch.on_disk(prediction_files.read_oof(path, inputs.used, inputs.classes))


def steps_for_plot(table: pd.DataFrame) -> pd.DataFrame:
    """Return the compared steps as the plot shows them."""
    steps = table[table["verdict"] != ""]
    return steps.assign(step=steps["member"] + ": " + steps["step"])[list(STEPS.columns)]


STEPS = tables.Contract(
    {"step": "text", "gain": "float", "low": "float", "high": "float", "verdict": "text"}, key=("step",)
)
