"""Stage `ladder`: cached predictions -> data/ladder/ladder.csv: what each step of the recipe bought on this contest.

Per member: frozen features with a linear classifier, then the mixup phase, the clean phase, the transforms, the ttas that
were chosen; beside these the phase `fixres` over the phase before it, seen in the same way where that is inferred;
last, the blend over picking the best member. Every step is held against the one below it, on images that chose nothing
about it. steps.csv is the plot's. Nothing depends on it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from podium.contest.settings import ContestSettings
from podium.core import cli, params, tables
from podium.inference.settings import MemberSettings
from podium.predictions import calibration, member_predictions, prediction_files
from podium.predictions.tta import FIXRES, IDENTITY, Tta, seen
from podium.reports import ablation
from podium.reports.ablation import Rung
from podium.scoring import evaluation_set, scores
from podium.training.settings import PhaseSettings

ENSEMBLE = "data/ensemble"
STEPS = tables.Contract(  # of the plot
    {"rung": "text", "gain": "float", "low": "float", "high": "float", "verdict": "text"}, key=("rung",)
)


@dataclass(frozen=True)
class LadderInputs:
    """Settings and tables; `folds` is sorted by image_id."""

    root: Path
    members: dict[str, MemberSettings]
    sources: dict[str, member_predictions.MemberPredictions]
    fold_names: list[str]
    folds: pd.DataFrame
    classes: list[str]
    scored: evaluation_set.EvaluationSet

    @property
    def used(self) -> pd.DataFrame:
        """Return the train images that are scored."""
        return self.folds[self.folds["use"] == "train"]

    @property
    def shifts(self) -> prediction_files.Probs:
        """Return what puts back the priors after a training that weighed classes (scored images, classes)."""
        shifts = calibration.prior_shifts(self.scored.targets, self.scored.folds, len(self.classes))
        return np.asarray(shifts[self.scored.folds])


def main(*, root: Path = Path()) -> None:
    """Climb every member's ladder, and the blend's step; say what held."""
    inputs = _load(root)
    ladders = [_ladder(inputs, name) for name in inputs.members]
    short = [ladder[0].member for ladder in ladders if not ablation.beats(ladder[-1], ladder[0], inputs.scored)]
    ladders += filter(None, (_third(inputs, source) for source in inputs.sources.values()))
    if len(inputs.sources) > 1:
        ladders.append(_blend(inputs))
    table = ablation.judge(ladders, inputs.scored)
    tables.write(table, root / "data/ladder/ladder.csv", ablation.LADDER)
    tables.write(_picture(table), root / "data/ladder/steps.csv", STEPS)
    _tell(table, short, inputs.scored)


def _load(root: Path) -> LadderInputs:
    values = params.read(root)
    contest = params.parse(params.section(values, "contest"), "contest", ContestSettings)
    folds = tables.read(root / "data/split/folds.csv", tables.FOLDS).sort_values("image_id", ignore_index=True)
    used = folds[folds["use"] == "train"]
    classes = sorted(used["label"].unique())
    fold_names = [str(fold) for fold in params.section(values, "folds")]
    images = evaluation_set.of_folds(used, fold_names, classes, scores.named(contest.metric, classes))
    return LadderInputs(
        root,
        member_predictions.members_of(values),
        member_predictions.blend_members(values, root),
        fold_names,
        folds,
        classes,
        images,
    )


def _ladder(inputs: LadderInputs, name: str) -> list[Rung]:
    """Return a member's rungs, from the lowest up; phases without epochs and single transforms have none."""
    member, source = inputs.members[name], inputs.sources[name]
    size = member.model.image_size
    ladder = [_probe(inputs, name, size)]
    for phase, settings in (("pretrain", member.pretrain), ("finetune", member.finetune)):
        if settings.epochs > 0:
            probs = _phase(inputs, f"{phase}/{name}", size, settings)
            ladder.append(_rung(inputs, name, phase, _words(phase, member), probs))
    if len(source.transforms) > 1 and source.usual.image_sizes == (size,):
        what = f"mean over {' and '.join(source.usual.transforms)}"
        ladder.append(_rung(inputs, name, "flip", what, _at(inputs, source, source.usual)))
    chosen = _read_chosen(inputs, f"members/{name}")
    return [*ladder, Rung(name, "resolution", "sizes and transforms where other images support them", chosen)]


def _probe(inputs: LadderInputs, name: str, size: int) -> Rung:
    """Return the lowest rung; its file has skipped images too."""
    predicted = inputs.folds[inputs.folds["fold"] != ""]
    probs = _read(inputs, [inputs.root / f"data/probe/{name}.parquet"], predicted, size)
    what = f"linear classifier on frozen features at {size} pixels"
    return _rung(inputs, name, "probe", what, probs[(predicted["use"] == "train").to_numpy()])


def _phase(inputs: LadderInputs, folder: str, size: int, settings: PhaseSettings) -> prediction_files.Probs:
    """Return what a phase's models say of their held-out images, with the classes' priors put back."""
    paths = [inputs.root / f"data/{folder}/{fold}.parquet" for fold in inputs.fold_names]
    probs = _read(inputs, paths, inputs.used, size)
    shifts = inputs.shifts if settings.class_weights != "none" else None
    return _seen(probs[None, None], shifts)


def _third(inputs: LadderInputs, source: member_predictions.MemberPredictions) -> list[Rung]:
    """Return a member's third phase, over what its weights of before say in the same look; [] where it has none.

    Where those are not inferred at that size, over their usual tta: then the step holds the change of size too.
    """
    tta = next((tta for tta in source.others if tta.phase == FIXRES), None)
    if tta is None:
        return []
    same = replace(tta, phase=source.usual.phase)
    before = same if same in source.others else source.usual
    at = "at {0.image_sizes[0]} pixels".format
    return [
        _rung(inputs, source.name, "before fixres", f"the phase before it {at(before)}", _at(inputs, source, before)),
        _rung(inputs, source.name, "fixres", f"a third phase {at(tta)}", _at(inputs, source, tta)),
    ]


def _at(inputs: LadderInputs, source: member_predictions.MemberPredictions, tta: Tta) -> prediction_files.Probs:
    """Return what a member says in a TTA."""
    probs = member_predictions.read_train(source, tta, inputs.folds, inputs.classes)
    return _seen(probs, inputs.shifts if tta.phase in source.weighted else None)


def _blend(inputs: LadderInputs) -> list[Rung]:
    best, blend = (_read_chosen(inputs, name) for name in ("best_member", "oof"))
    what = f"of {len(inputs.sources)} members, all about it chosen on other images"
    return [
        Rung("blend", "best member", "the one that is best on other images", best),
        Rung("blend", "ensemble", what, blend),
    ]


def _rung(inputs: LadderInputs, member: str, step: str, what: str, probs: prediction_files.Probs) -> Rung:
    return Rung(member, step, what, ablation.tempered(probs, inputs.scored))


def _seen(probs: prediction_files.Probs, shifts: prediction_files.Probs | None) -> prediction_files.Probs:
    """Average (sizes, transforms, images, classes) as `ensemble` does: (images, classes)."""
    return np.exp(seen(probs, shifts))


def _words(phase: str, member: MemberSettings) -> str:
    before, after = member.pretrain, member.finetune
    if phase == "pretrain":
        return f"{before.epochs} epochs with mixup {before.mixup:g}, cutmix {before.cutmix:g}"
    return f"{after.epochs}{' more' if before.epochs else ''} epochs on clean images"


def _read(inputs: LadderInputs, paths: Sequence[Path], rows: pd.DataFrame, size: int) -> prediction_files.Probs:
    """Read out-of-fold predictions at one size in the identity transform: (rows, classes)."""
    probs = prediction_files.read_train(
        paths,
        image_ids=list(rows["image_id"]),
        folds=list(rows["fold"]),
        classes=inputs.classes,
        image_sizes=[size],
        transforms=[IDENTITY],
    )
    return np.asarray(probs[0, 0], np.float32)


def _read_chosen(inputs: LadderInputs, name: str) -> prediction_files.Probs:
    """Read what `ensemble` chose on other images and calibrated: (scored images, classes)."""
    return prediction_files.read_oof(inputs.root / f"{ENSEMBLE}/{name}.parquet", inputs.used, inputs.classes)


def _picture(table: pd.DataFrame) -> pd.DataFrame:
    steps = table[table["verdict"] != ""]
    return steps.assign(rung=steps["member"] + ": " + steps["step"])[list(STEPS.columns)]


def _tell(table: pd.DataFrame, short: list[str], images: evaluation_set.EvaluationSet) -> None:
    shown = table[["member", "step", "score", "gain", "low", "high", "log_loss", "verdict"]]
    print(shown.to_string(index=False, na_rep="", float_format="{:.4f}".format))
    decides = "log loss" if images.by_log_loss else images.metric.name
    print(
        f"ladder: gains are in {images.metric.name}, above 0 is better; verdicts are by {decides}, at 5% over all steps"
    )
    by = " nor by accuracy" if images.metric.judges_labels and images.metric.mean_over == "images" else ""
    for name in short:
        print(
            f"ladder: WARNING: {name} does not surely beat a linear classifier on its own frozen features, by"
            f" {decides}{by}"
        )


if __name__ == "__main__":
    cli.run(main)
