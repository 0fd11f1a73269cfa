"""What `ensemble` reads: settings, folds, the test images, and every member's predictions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from podium import contracts
from podium.contest import contest_submission, image_lists
from podium.contest.contest_submission import SubmittedImages
from podium.contest.no_images import split_files
from podium.contest.settings import ContestSettings
from podium.contest.submission import Template
from podium.core import parallel, params, progress, scratch, tables, targets
from podium.core.errors import InputError
from podium.ensembling import nested_cv, tta_selection
from podium.ensembling.blending import BlendSizes
from podium.ensembling.method_registry import BASELINE, METHODS
from podium.ensembling.nested_cv import ChosenMember, HeldOut
from podium.ensembling.settings import EnsembleSettings
from podium.ensembling.tta_selection import OofByTta, TtaCandidate, TtaChoice
from podium.folds.settings import FoldList
from podium.inference.settings import MemberSettings
from podium.predictions import calibration, case_means, member_predictions
from podium.predictions.calibration import Probs
from podium.predictions.member_predictions import MemberPredictions
from podium.predictions.tta import Tta, single_ttas
from podium.scoring import evaluation_set, intervals, scores
from podium.scoring.evaluation_set import EvaluationSet

MANY = 2**22  # TTAs x images x classes from which processes of their own pay for their start
LARGE = 2**22  # images x (classes, or draws of a bootstrap) above which only one process has them in memory: a gigabyte
WORKERS_NEED = ("podium.ensembling.nested_cv", "podium.predictions.member_predictions", "podium.contest.submission")


@dataclass(frozen=True)
class EnsembleInputs:
    """Settings, and the images that are predicted.

    Attributes:
        settings: the section `ensemble`.
        members: of params.yaml, by name.
        predictions: of the blend's members, sorted by name.
        folds: folds.csv, sorted by image_id.
        test: facts of the test images, sorted by image_id.
        has_students: whether the map `distill` has members.
    """

    root: Path
    contest: ContestSettings
    settings: EnsembleSettings
    members: dict[str, MemberSettings]
    predictions: dict[str, MemberPredictions]
    fold_names: tuple[str, ...]
    folds: pd.DataFrame
    test: pd.DataFrame
    has_students: bool

    @property
    def used(self) -> pd.DataFrame:
        """Return the train images that are scored."""
        return self.folds[self.folds["use"] == "train"]

    @cached_property
    def classes(self) -> list[str]:
        """Return the classes in the order of the models' outputs."""
        return targets.class_names(self.used["label"])

    @property
    def n_columns(self) -> int:
        """Return the columns of all probabilities: the classes, or 2 of sets (podium.core.targets.probs_of_rows)."""
        return 2 if targets.are_sets(self.classes) else len(self.classes)

    @property
    def tempered_labels(self) -> int:
        """Return how many labels get temperatures of their own (`ensemble.label_temperatures`); 0 for none."""
        return len(self.classes) if self.settings.label_temperatures else 0

    @property
    def n_test_rows(self) -> int:
        """Return the rows of the probabilities of test images."""
        return len(self.readable) * targets.rows_per_image(self.classes)

    @cached_property
    def images(self) -> EvaluationSet:
        """Return the evaluation set."""
        return evaluation_set.of_folds(self.used, self.fold_names, self.classes, self.metric)

    @property
    def test_files(self) -> tuple[list[str], list[str]]:
        """Return the ids of the test images, and of files in the test folder that are no images."""
        return split_files(self.test)

    @cached_property
    def by_id(self) -> dict[str, list[str]]:
        """Return the test images of each id that the template may have; {} if ids are names of files."""
        c = self.contest
        return image_lists.select(self.test["image_id"], c.lists, "test", self.root, c.images.test).by_id

    @cached_property
    def test_cases(self) -> list[str]:
        """Return, for each readable test image, what it is predicted together with: its id, or itself."""
        ids = {image_id: own for own, images in self.by_id.items() for image_id in images}
        return [f"id {ids[image_id]}" if image_id in ids else f"image {image_id}" for image_id in self.readable]

    @property
    def submitted_images(self) -> SubmittedImages:
        """Return what the submission has rows for."""
        return SubmittedImages(*self.test_files, self.by_id)

    @cached_property
    def template(self) -> Template | None:
        """Return the contest's submission template; None if there is none."""
        return contest_submission.read_template(self.contest, self.submitted_images, self.classes, self.root)

    @property
    def readable(self) -> list[str]:
        """Return the ids of the test images that have predictions."""
        return list(self.test.loc[self.test["problem"] == "", "image_id"])

    @property
    def metric(self) -> scores.Metric:
        """Return the contest's metric."""
        return scores.named(self.contest.metric, self.classes)

    def prior_shifts(self, name: str) -> dict[str, Probs]:
        """Return the log class priors that a member's phases may have lost: phase -> (folds, classes)."""
        images = self.images
        return member_predictions.prior_shifts(self.predictions[name], images.targets, images.folds, len(self.classes))


def load(root: Path) -> EnsembleInputs:
    """Read settings, folds and the list of test images."""
    values = params.read(root)
    facts = tables.read(root / "data/prepare/test/facts.csv", contracts.FACTS)
    return EnsembleInputs(
        root=root,
        contest=params.parse(params.section(values, "contest"), "contest", ContestSettings),
        settings=params.parse(params.section(values, "ensemble"), "ensemble", EnsembleSettings),
        members=member_predictions.members_of(values),
        predictions=member_predictions.blend_members(values, root),
        fold_names=params.parse({"folds": params.section(values, "folds")}, "", FoldList).folds,
        folds=case_means.with_cases(
            tables.read(root / "data/split/folds.csv", tables.FOLDS).sort_values("image_id", ignore_index=True), root
        ),
        test=facts.sort_values("image_id", ignore_index=True),
        has_students=bool(params.section(values, "distill")),
    )


def methods(inputs: EnsembleInputs) -> list[str]:
    """Return the method that `ensemble.method` names, or all that can be used.

    Raises:
        InputError: the method cannot be used here.
    """
    method = inputs.settings.method
    sizes = BlendSizes(len(inputs.predictions), inputs.n_columns, inputs.metric.of_ranks)
    if method != "auto":
        if why := METHODS[method].unusable(sizes):
            raise InputError(f"params.yaml: ensemble.method: {why}; use auto or equal")
        return [method]
    if len(inputs.predictions) == 1:
        return [BASELINE]
    return [name for name, each in METHODS.items() if not each.unusable(sizes)]


def oof(inputs: EnsembleInputs, name: str, ttas: Sequence[Tta] = ()) -> OofByTta:
    """Read a member's out-of-fold predictions in these TTAs, or in each that may be chosen."""
    member = inputs.predictions[name]
    wanted = ttas or (member.default, *member.alternatives)
    read = member_predictions.logs(member, wanted, inputs.folds, inputs.classes)
    logs = {tta: scratch.on_disk(of_tta) for tta, of_tta in read}
    shifts = {phase: rows[inputs.images.folds] for phase, rows in inputs.prior_shifts(name).items()}
    return OofByTta(member.default, member.alternatives, logs, inputs.images, shifts)


def choose_members(
    inputs: EnsembleInputs, held_out: Sequence[HeldOut]
) -> tuple[dict[str, ChosenMember], dict[str, list[TtaCandidate]]]:
    """Choose every member's TTA, several members at a time where there is much to read.

    One process keeps the predictions that it has read. What several return is small: the predictions that a blend needs
    are read again.

    Returns:
        the members, and their candidates as they are reported, both by name.
    """
    names = list(inputs.predictions)
    cells = len(inputs.images.targets) * inputs.n_columns
    n_ttas = sum(1 + len(member.alternatives) for member in inputs.predictions.values())
    large = len(inputs.images.targets) * max(inputs.n_columns, intervals.DRAWS) > LARGE
    workers = parallel.worker_count() if n_ttas * cells >= MANY and not large else 1
    bar = partial(tqdm, desc="members", total=len(names), disable=not progress.shown(), leave=False)
    spread = partial(parallel.in_order, items=names, workers=workers, name=str, preload=WORKERS_NEED)
    members, candidates = {}, {}
    if min(workers, len(names)) < 2:
        here = spread(partial(_choose_here, inputs, held_out))
        for name, (member, reported) in zip(names, bar(here), strict=True):
            members[name], candidates[name] = member, reported
        return members, candidates
    elsewhere = spread(partial(_choose, inputs, held_out))
    for name, (choices, reported) in zip(names, bar(elsewhere), strict=True):
        chosen = tta_selection.chosen_ttas(inputs.predictions[name].default, list(choices.values()))
        singles = sorted({single for tta in chosen for single in single_ttas(tta)})
        members[name] = nested_cv.with_choices(oof(inputs, name, singles), choices)
        candidates[name] = reported
    return members, candidates


def test_probs(inputs: EnsembleInputs, members: dict[str, ChosenMember], recipe: nested_cv.Recipe) -> Probs:
    """Predict the test images: (images, classes), of sets of labels (images x labels, 2).

    Each fold's models are blended as they were scored out of fold. The decision is made on the folds' mean.
    """
    if not inputs.readable:
        return np.zeros((0, inputs.n_columns), np.float32)
    total = np.zeros((inputs.n_test_rows, inputs.n_columns))
    for index in range(len(inputs.fold_names)):
        total += blended_test(inputs, members, recipe, index, nested_cv.NONE_HELD_OUT)
    return recipe.decided((total / len(inputs.fold_names)).astype(np.float32))


def blended_test(
    inputs: EnsembleInputs, members: Mapping[str, ChosenMember], recipe: nested_cv.Recipe, index: int, held_out: HeldOut
) -> Probs:
    """Blend what the index-th fold's models predict of the test images: (images, classes), without a decision.

    Args:
        inputs: of the stage.
        members: whose choices without the outer folds `held_out` are used.
        recipe: of the blend.
        index: of the fold.
        held_out: outer folds.
    """
    return recipe.blended(_test_of_fold(inputs, name, member, index, held_out) for name, member in members.items())


def _choose_here(
    inputs: EnsembleInputs, held_out: Sequence[HeldOut], name: str
) -> tuple[ChosenMember, list[TtaCandidate]]:
    """Choose in this process, with the predictions that are read already."""
    member = oof(inputs, name)
    return nested_cv.choose_member(member, held_out), tta_selection.report(member)


def _choose(
    inputs: EnsembleInputs, held_out: Sequence[HeldOut], name: str
) -> tuple[dict[HeldOut, TtaChoice], list[TtaCandidate]]:
    member = oof(inputs, name)
    return nested_cv.choices_of(member, held_out), tta_selection.report(member)


def _test_of_fold(inputs: EnsembleInputs, name: str, member: ChosenMember, index: int, held_out: HeldOut) -> Probs:
    """Return a member's calibrated predictions of the test images by the index-th fold's models: (images, classes)."""
    choice = member.choices[held_out]
    probs = member_predictions.read_test(
        inputs.predictions[name], choice.tta, inputs.readable, inputs.fold_names[index], inputs.classes
    )
    probs = case_means.over(probs, inputs.test_cases)
    shifts = inputs.prior_shifts(name)
    shift = next((shifts[phase][index] for phase in choice.tta.phases if phase in shifts), None)
    return choice.calibration.apply(calibration.log_probs(probs), shift)
