"""Stage `ensemble`: what all members predicted -> data/ensemble/, with the submission, and metrics/summary.json.

oof.parquet and `oof_score` come from blends about which everything was chosen on other images (nesting). The blend
that is submitted is chosen on all images; its own score on them, `oof_score_naive`, is a little flattered. For the
submission each fold's models are blended as out of fold, and the folds' blends averaged.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from podium import contracts
from podium.contest import submission
from podium.contest.settings import ContestSettings
from podium.core import cli, parallel, params, progress, tables
from podium.core.errors import InputError, some
from podium.ensembling import curves, evidence_tables, leakage, nested_cv, tta_selection
from podium.ensembling.blending import BlendSizes
from podium.ensembling.method_registry import BASELINE, METHODS
from podium.ensembling.settings import EnsembleSettings
from podium.folds.settings import FoldList
from podium.inference.settings import MemberSettings
from podium.predictions import member_predictions, prediction_files
from podium.predictions.tta import FIXRES, Tta, singles
from podium.scoring import evaluation_set, intervals, scores

MANY = 2**22  # ttas x images x classes from which processes of their own pay for their start
LARGE = 2**22  # images x (classes, or draws of a bootstrap) above which one process alone holds them: a gigabyte each
WORKERS_NEED = (
    "podium.ensembling.nested_cv",
    "podium.predictions.member_predictions",
    "podium.contest.submission",
)  # not this file, which they run


@dataclass(frozen=True)
class EnsembleInputs:
    """Settings, and the images that are predicted.

    Attributes:
        members: by name.
        sources: of the members and of predictions made elsewhere, sorted by name, since the order of a map in
            params.yaml means nothing to DVC.
        folds: folds.csv, sorted by image_id.
        test: facts of the test images, sorted by image_id.
    """

    root: Path
    contest: ContestSettings
    settings: EnsembleSettings
    members: dict[str, MemberSettings]
    sources: dict[str, member_predictions.MemberPredictions]
    fold_names: tuple[str, ...]
    folds: pd.DataFrame
    test: pd.DataFrame

    @property
    def used(self) -> pd.DataFrame:
        """Return the train images that are scored."""
        return self.folds[self.folds["use"] == "train"]

    @property
    def classes(self) -> list[str]:
        """Return the classes in the order of the models' outputs."""
        return sorted(self.used["label"].unique())

    @property
    def targets(self) -> NDArray[np.int64]:
        """Return the class index of each scored image (n_images,)."""
        return self.scored.targets

    @cached_property
    def scored(self) -> evaluation_set.EvaluationSet:
        """Return the scored images with their folds, groups and outer_folds."""
        return evaluation_set.of_folds(self.used, self.fold_names, self.classes, self.metric)

    @property
    def readable(self) -> list[str]:
        """Return the ids of the test images that have predictions."""
        return list(self.test.loc[self.test["problem"] == "", "image_id"])

    @property
    def metric(self) -> scores.Metric:
        """Return the contest's metric."""
        return scores.named(self.contest.metric, self.classes)


def main(*, root: Path = Path()) -> None:
    """Blend the members, and say how good they are."""
    job = load(root)
    methods = _methods(job)
    held_out = nested_cv.choices(job.scored, len(methods))
    members = _chosen(job, held_out)
    nest = nested_cv.NestedCv(job.scored, list(members.values()), methods, job.settings.greedy_rounds)
    outcome = nest.outcome()
    table = _members_table(job, nest, outcome)
    summary = _summary(job, nest, outcome)
    _write_singles(job, nest)
    _write(job, outcome, members, _with_leaked(job, _test_probs(job, members, outcome.recipe)), table)
    tables.write_json(summary, job.root / "metrics/summary.json")
    _show(table, outcome, summary)


def load(root: Path) -> EnsembleInputs:
    """Read settings, folds and the list of test images."""
    values = params.read(root)
    facts = tables.read(root / "data/prepare/test/facts.csv", contracts.FACTS)
    return EnsembleInputs(
        root=root,
        contest=params.parse(params.section(values, "contest"), "contest", ContestSettings),
        settings=params.parse(params.section(values, "ensemble"), "ensemble", EnsembleSettings),
        members=member_predictions.members_of(values),
        sources=member_predictions.blend_members(values, root),
        fold_names=params.parse({"folds": params.section(values, "folds")}, "", FoldList).folds,
        folds=tables.read(root / "data/split/folds.csv", tables.FOLDS).sort_values("image_id", ignore_index=True),
        test=facts.sort_values("image_id", ignore_index=True),
    )


def _methods(job: EnsembleInputs) -> list[str]:
    """Return the method that is asked for, or all between which the gate chooses.

    Raises:
        InputError: the method cannot be used here.
    """
    method = job.settings.method
    sizes = BlendSizes(len(job.sources), len(job.classes), job.metric.of_ranks)
    if method != "auto":
        if why := METHODS[method].unusable(sizes):
            raise InputError(f"params.yaml: ensemble.method: {why}; take auto or equal")
        return [method]
    if len(job.sources) == 1:
        return [BASELINE]
    return [name for name, each in METHODS.items() if not each.unusable(sizes)]


def _chosen(job: EnsembleInputs, held_out: Sequence[nested_cv.HeldOut]) -> dict[str, nested_cv.ChosenMember]:
    """Decide every member's tta, several members at a time where there is much to read and to decide.

    What processes decide is small; the predictions that a blend needs are then read again.
    """
    cells = len(job.targets) * len(job.classes)
    ttas = sum(1 + len(source.others) for source in job.sources.values())
    large = len(job.targets) * max(len(job.classes), intervals.DRAWS) > LARGE
    workers = parallel.worker_count() if ttas * cells >= MANY and not large else 1
    bar = partial(tqdm, desc="members", total=len(job.sources), disable=not progress.shown(), leave=False)
    if min(workers, len(job.sources)) < 2:
        return {name: nested_cv.chosen(member(job, job.sources[name]), held_out) for name in bar(job.sources)}
    decide = partial(_decided, job, held_out)
    found = parallel.in_order(decide, list(job.sources), workers=workers, name=str, preload=WORKERS_NEED)
    return {
        name: nested_cv.keep(member(job, source, _singles(source, decisions)), decisions)
        for (name, source), decisions in zip(job.sources.items(), bar(found), strict=True)
    }


def _decided(
    job: EnsembleInputs, held_out: Sequence[nested_cv.HeldOut], name: str
) -> dict[nested_cv.HeldOut, tta_selection.TtaChoice]:
    return nested_cv.decided(member(job, job.sources[name]), held_out)


def _singles(
    source: member_predictions.MemberPredictions, decisions: Mapping[nested_cv.HeldOut, tta_selection.TtaChoice]
) -> list[Tta]:
    """Return the ttas of one size that make up those that were taken."""
    return sorted({one for tta in nested_cv.taken(source.usual, decisions) for one in singles(tta)})


def member(
    job: EnsembleInputs, source: member_predictions.MemberPredictions, ttas: Sequence[Tta] = ()
) -> tta_selection.OofByTta:
    """Read a source's predictions of the scored images in these ttas, or in each that may be taken."""
    shifts = {phase: rows[job.scored.folds] for phase, rows in _shifts(job, source).items()}
    logs = dict(member_predictions.logs(source, ttas or (source.usual, *source.others), job.folds, job.classes, shifts))
    return tta_selection.OofByTta(source.usual, source.others, logs, job.scored)


def _shifts(job: EnsembleInputs, source: member_predictions.MemberPredictions) -> dict[str, prediction_files.Probs]:
    """Return what puts back the classes' priors: phase -> (folds, classes)."""
    return member_predictions.shifts(source, job.targets, job.scored.folds, len(job.classes))


def _held_out_score(job: EnsembleInputs, name: str, phase: str) -> float:
    """Score a phase at the training size in one transform; NaN where it has 0 epochs, or for predictions made elsewhere."""
    member = job.members.get(name)
    if member is None or getattr(member, phase).epochs == 0:
        return float("nan")
    probs = prediction_files.read_train(
        [job.root / f"data/{phase}/{name}/{fold}.parquet" for fold in job.fold_names],
        image_ids=list(job.used["image_id"]),
        folds=list(job.used["fold"]),
        classes=job.classes,
        image_sizes=[member.model.image_size],
        transforms=["identity"],
    )
    return job.metric.function(job.targets, probs[0, 0])


def _test_probs(
    job: EnsembleInputs, members: dict[str, nested_cv.ChosenMember], recipe: nested_cv.Recipe
) -> prediction_files.Probs:
    """Do with each fold's models what was scored out of fold, then average over the folds: (images, classes)."""
    total = np.zeros((len(job.readable), len(job.classes)))
    for index in range(len(job.fold_names) if job.readable else 0):
        of_fold = (
            _test_of_fold(job, name, member.decisions[nested_cv.NONE_HELD_OUT], index)
            for name, member in members.items()
        )
        total += recipe.apply(of_fold, np.full(len(total), index))
    return (total / len(job.fold_names)).astype(np.float32)


def _with_leaked(job: EnsembleInputs, test: prediction_files.Probs) -> prediction_files.Probs:
    """Put in the labels that duplicates leak, where the settings say so."""
    if job.settings.leaked_labels == "ignore":
        return test
    leaks = tables.read(job.root / "data/analyze/leaks.csv", contracts.LEAKS)
    labels, untold = leakage.known(leaks, job.folds, exact_only=job.settings.leaked_labels == "exact")
    test, count = leakage.apply(test, job.readable, job.classes, labels)
    print(f"ensemble: WARNING: {count} test images get the label of a duplicate in train (ensemble.leaked_labels)")
    if untold:
        print(f"ensemble: no label for test images whose duplicates disagree or are not used: {some(untold)}")
    return test


def _test_of_fold(
    job: EnsembleInputs, name: str, decision: tta_selection.TtaChoice, index: int
) -> prediction_files.Probs:
    """Return one source's calibrated predictions of the test images by the index-th fold's model: (images, classes)."""
    source = job.sources[name]
    return nested_cv.test_probs(
        source,
        decision,
        image_ids=job.readable,
        fold=job.fold_names[index],
        classes=job.classes,
        shifts={phase: rows[index] for phase, rows in _shifts(job, source).items()},
    )


def _members_table(job: EnsembleInputs, nest: nested_cv.NestedCv, outcome: nested_cv.Outcome) -> pd.DataFrame:
    rows = []
    weights = outcome.recipe.blend.weights
    for index, (name, source) in enumerate(job.sources.items()):
        oof, taken = nested_cv.single(nest, index), nest.members[index].decisions[nested_cv.NONE_HELD_OUT].tta
        usual = nested_cv.oof_at_tta(nest, index, source.usual)
        row = {
            "weight": float("nan") if weights is None else float(weights[index]),
            "train_size_score": job.metric.function(job.targets, usual),
            "score": job.metric.function(job.targets, oof),
            "log_loss": scores.log_loss(job.targets, oof),
            "pretrain_score": _held_out_score(job, name, "pretrain"),
            "finetune_score": _held_out_score(job, name, "finetune"),
        }
        tta = {
            "image_sizes": " ".join(map(str, taken.image_sizes)),
            "transforms": " ".join(taken.transforms),
            "phase": taken.phase,
        }
        rows.append({"member": name, **tta, **{key: round(x, 6) for key, x in row.items()}})
    return pd.DataFrame(rows)[list(contracts.MEMBERS.columns)]


def _summary(job: EnsembleInputs, nest: nested_cv.NestedCv, outcome: nested_cv.Outcome) -> dict[str, Any]:
    """Gather what `dvc exp show` compares; scores are in the contest's metric (log_loss: lower is better)."""
    score, naive = (job.metric.function(job.targets, probs) for probs in (outcome.oof, outcome.naive))
    low, high = intervals.score_interval(job.metric, job.targets, outcome.oof, job.scored.groups)
    best, best_oof = nested_cv.best_member_oof(nest)
    sign = 1 if job.metric.greater_is_better else -1
    return {
        "metric": job.contest.metric,
        "oof_score": tables.rounded(score),
        "oof_score_low": tables.rounded(low),
        "oof_score_high": tables.rounded(high),
        "oof_score_naive": tables.rounded(naive),
        "optimism": tables.rounded(sign * (naive - score)),
        "oof_log_loss": tables.rounded(scores.log_loss(job.targets, outcome.oof)),
        "best_member": list(job.sources)[best],
        "best_member_score": tables.rounded(job.metric.function(job.targets, best_oof)),
        "n_members": len(job.sources),
        "n_train_images": len(job.targets),
        "n_test_images": len(job.test),
    }


def _write(
    job: EnsembleInputs,
    outcome: nested_cv.Outcome,
    members: dict[str, nested_cv.ChosenMember],
    test: prediction_files.Probs,
    members_table: pd.DataFrame,
) -> None:
    folder = job.root / "data/ensemble"
    test_table = tables.with_probs(pd.DataFrame({"image_id": job.readable}, dtype="str"), test, job.classes)
    oof_table = tables.with_probs(job.used[["image_id", "label", "fold"]], outcome.oof, job.classes)
    tables.write(oof_table, folder / "oof.parquet", contracts.OOF)
    tables.write(test_table, folder / "test.parquet", contracts.TEST)
    tables.write(members_table, folder / "members.csv", contracts.MEMBERS)
    tables.write(evidence_tables.sizes(members), folder / "tta.csv", contracts.TTA)
    tables.write(evidence_tables.methods(outcome), folder / "methods.csv", contracts.METHODS)
    curves.write(curves.gather(_trainings(job), job.root), folder / "curves.csv")
    _write_submission(job, test_table, folder / "submission.csv")


def _write_singles(job: EnsembleInputs, nest: nested_cv.NestedCv) -> None:
    """Write each member's predictions, and those of picking the best one, with all about them chosen on other outer_folds."""
    folder, rows = job.root / "data/ensemble", job.used[["image_id", "label", "fold"]]
    for index, name in enumerate(job.sources):
        table = tables.with_probs(rows, nested_cv.single(nest, index), job.classes)
        tables.write(table, folder / f"members/{name}.parquet", contracts.OOF)
    _, best = nested_cv.best_member_oof(nest)
    tables.write(tables.with_probs(rows, best, job.classes), folder / "best_member.parquet", contracts.OOF)


def _write_submission(job: EnsembleInputs, test_probs: pd.DataFrame, path: Path) -> None:
    contest, test_ids = job.contest, list(job.test["image_id"])
    shares = job.used["label"].value_counts(normalize=True)
    messages = submission.write(
        path,
        test_probs=test_probs,
        prior={name: float(shares[name]) for name in job.classes},
        template=submission.read_template(job.root / contest.template, test_ids, job.classes),
        test_ids=test_ids,
        id_column=contest.columns.id,
        label_column=contest.columns.label,
        values=contest.submission.values,
        header=contest.submission.header,
        labels=contest.submission.labels,
        positive=contest.submission.positive,
    )
    for message in messages:
        print(f"ensemble: {message}")


def _show(members: pd.DataFrame, outcome: nested_cv.Outcome, summary: dict[str, Any]) -> None:
    print(members.to_string(index=False, na_rep="-", float_format="{:.4f}".format))
    print(
        f"ensemble: blend ({outcome.gated.method}) out of fold: {summary['metric']} {summary['oof_score']:.4f}"
        f" [{summary['oof_score_low']:.4f}, {summary['oof_score_high']:.4f}], nothing chosen on the images that score;"
        f" optimism of the naive score {summary['optimism']:+.4f}; log loss {summary['oof_log_loss']:.4f};"
        f" picking the best member {summary['best_member_score']:.4f} ({summary['best_member']})"
    )


def _trainings(job: EnsembleInputs) -> list[tuple[str, str, str]]:
    """Name the trainings that have epochs: (member, fold, phase)."""
    trained = []
    for name, member in job.members.items():
        trained += [(name, phase) for phase in ("pretrain", "finetune") if getattr(member, phase).epochs > 0]
        trained += [(name, tta.phase) for tta in job.sources[name].others if tta.phase == FIXRES]
    return [(name, fold, phase) for name, phase in trained for fold in job.fold_names]


if __name__ == "__main__":
    cli.run(main)
