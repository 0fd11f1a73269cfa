"""Stage `ensemble`: what all members predicted -> data/ensemble/, with the submission, and metrics/summary.json.

oof.parquet and `oof_score` come from blends whose sizes and weights were chosen on the other folds. The blend
that is submitted is chosen on all images; its own score on them, `oof_score_naive`, is a little flattered.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stages.lib import cli, curves, ensembling, params, predictions, scores, submission, tables
from stages.lib.settings.contest import ContestSettings
from stages.lib.settings.data import FoldList
from stages.lib.settings.ensemble import EnsembleSettings
from stages.lib.settings.members import MemberSettings


@dataclass(frozen=True)
class Job:
    """Settings, and the images that are predicted.

    Attributes:
        members: sorted by name, since the order of a map in params.yaml means nothing to DVC.
        folds: folds.csv, sorted by image_id.
        test: facts of the test images, sorted by image_id.
    """

    root: Path
    contest: ContestSettings
    settings: EnsembleSettings
    members: dict[str, MemberSettings]
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
        return np.asarray(pd.Index(self.classes).get_indexer(self.used["label"]), np.int64)

    @property
    def metric(self) -> scores.Metric:
        """Return the contest's metric."""
        return scores.named(self.contest.metric, self.classes)


def main(*, root: Path = Path()) -> None:
    """Blend the members, and say how good they are."""
    job = _load(root)
    sized = [_out_of_fold(job, name) for name in job.members]
    choose = partial(
        ensembling.choose,
        usual_sizes=[_usual(member) for member in job.members.values()],
        utility=job.metric.utility,
        method=job.settings.method,
        rounds=job.settings.greedy_rounds,
    )
    oof, singles = ensembling.nested_oof(sized, job.targets, job.used["fold"].to_numpy(str), choose)
    choice = choose(sized, job.targets)
    members = _members_table(job, sized, singles, choice)
    summary = _summary(job, oof, choice.blend(sized), members)
    _write(job, oof, _test_probs(job, choice), members, summary)
    _show(members, summary)


def _load(root: Path) -> Job:
    values = params.read(root)
    members = sorted(params.section(values, "members").items())
    facts = tables.read(root / "data/prepare/test/facts.csv", tables.FACTS)
    return Job(
        root=root,
        contest=params.parse(params.section(values, "contest"), "contest", ContestSettings),
        settings=params.parse(params.section(values, "ensemble"), "ensemble", EnsembleSettings),
        members={name: params.parse(section, f"members.{name}", MemberSettings) for name, section in members},
        fold_names=params.parse({"folds": params.section(values, "folds")}, "", FoldList).folds,
        folds=tables.read(root / "data/split/folds.csv", tables.FOLDS).sort_values("image_id", ignore_index=True),
        test=facts.sort_values("image_id", ignore_index=True),
    )


def _out_of_fold(job: Job, name: str) -> predictions.Probs:
    """Read what `infer` says of the scored images: (sizes, images, classes); skipped ones have rows as well."""
    predicted = job.folds[job.folds["fold"] != ""]
    infer = job.members[name].infer
    probs = _read_train(job, predicted, [_inferred(job, name)], infer.image_sizes, infer.views)
    return probs[:, (predicted["use"] == "train").to_numpy()]


def _held_out_score(job: Job, name: str, phase: str) -> float:
    """Score a phase at the training size in one view; NaN where it has 0 epochs."""
    member = job.members[name]
    if getattr(member, phase).epochs == 0:
        return float("nan")
    paths = [job.root / f"data/{phase}/{name}/{fold}.parquet" for fold in job.fold_names]
    probs = _read_train(job, job.used, paths, [member.model.image_size], ["identity"])
    return job.metric.function(job.targets, probs[0])


def _read_train(
    job: Job, rows: pd.DataFrame, paths: Sequence[Path], image_sizes: Sequence[int], views: Sequence[str]
) -> predictions.Probs:
    return predictions.read_train(
        paths,
        image_ids=list(rows["image_id"]),
        folds=list(rows["fold"]),
        classes=job.classes,
        image_sizes=image_sizes,
        views=views,
    )


def _test_probs(job: Job, choice: ensembling.Choice) -> predictions.Probs:
    """Blend the test predictions of members that have a weight: (images, classes)."""
    image_ids = list(job.test.loc[job.test["problem"] == "", "image_id"])
    total = np.zeros((len(image_ids), len(job.classes)))
    for (name, member), positions, weight in zip(job.members.items(), choice.sizes, choice.weights, strict=True):
        if weight > 0 and image_ids:
            total += weight * predictions.read_test(
                _inferred(job, name),
                image_ids=image_ids,
                folds=job.fold_names,
                classes=job.classes,
                image_sizes=[member.infer.image_sizes[i] for i in positions],
                views=member.infer.views,
            )
    return total.astype(np.float32)


def _members_table(
    job: Job, sized: Sequence[predictions.Probs], singles: Sequence[predictions.Probs], choice: ensembling.Choice
) -> pd.DataFrame:
    rows = []
    for i, (name, member) in enumerate(job.members.items()):
        row = {
            "weight": float(choice.weights[i]),
            "train_size_score": job.metric.function(job.targets, sized[i][_usual(member)]),
            "score": job.metric.function(job.targets, singles[i]),
            "log_loss": scores.log_loss(job.targets, singles[i]),
            "pretrain_score": _held_out_score(job, name, "pretrain"),
            "finetune_score": _held_out_score(job, name, "finetune"),
        }
        image_sizes = " ".join(str(member.infer.image_sizes[i]) for i in choice.sizes[i])
        rows.append({"member": name, "image_sizes": image_sizes, **{key: round(x, 6) for key, x in row.items()}})
    return pd.DataFrame(rows)[list(tables.MEMBERS.columns)]


def _summary(job: Job, oof: predictions.Probs, naive: predictions.Probs, members: pd.DataFrame) -> dict[str, Any]:
    """Gather what `dvc exp show` compares; scores are in the contest's metric (log_loss: lower is better)."""
    score = job.metric.function(job.targets, oof)
    n_images = len(job.targets)
    is_accuracy = job.contest.metric == "accuracy"
    sign = 1 if job.metric.greater_is_better else -1
    best = members.loc[(sign * members["score"]).idxmax()]
    return {
        "metric": job.contest.metric,
        "oof_score": tables.rounded(score),
        "oof_score_se": tables.rounded(scores.accuracy_standard_error(score, n_images)) if is_accuracy else None,
        "oof_score_naive": tables.rounded(job.metric.function(job.targets, naive)),
        "oof_log_loss": tables.rounded(scores.log_loss(job.targets, oof)),
        "best_member": best["member"],
        "best_member_score": tables.rounded(best["score"]),
        "n_members": len(members),
        "n_folds": len(job.fold_names),
        "n_train_images": n_images,
        "n_skipped_images": len(job.folds) - n_images,
        "n_test_images": len(job.test),
    }


def _write(
    job: Job, oof: predictions.Probs, test: predictions.Probs, members: pd.DataFrame, summary: dict[str, Any]
) -> None:
    folder = job.root / "data/ensemble"
    readable = job.test.loc[job.test["problem"] == "", ["image_id"]]
    test_table = _with_probs(readable, test, job.classes)
    tables.write(
        _with_probs(job.used[["image_id", "label", "fold"]], oof, job.classes), folder / "oof.parquet", tables.OOF
    )
    tables.write(test_table, folder / "test.parquet", tables.TEST)
    tables.write(members, folder / "members.csv", tables.MEMBERS)
    curves.write(curves.gather(_trainings(job), job.root), folder / "curves.csv")
    _write_submission(job, test_table, folder / "submission.csv")
    tables.write_json(summary, job.root / "metrics/summary.json")


def _write_submission(job: Job, test_probs: pd.DataFrame, path: Path) -> None:
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


def _show(members: pd.DataFrame, summary: dict[str, Any]) -> None:
    print(members.to_string(index=False, na_rep="-", float_format="{:.4f}".format))
    print(
        f"ensemble: blend's out-of-fold {summary['metric']} {summary['oof_score']:.4f}, chosen on other folds"
        f" (naive {summary['oof_score_naive']:.4f}), log loss {summary['oof_log_loss']:.4f};"
        f" best member {summary['best_member']} {summary['best_member_score']:.4f}"
    )


def _trainings(job: Job) -> list[tuple[str, str, str]]:
    """Name the trainings that have epochs: (member, fold, phase)."""
    phases = [(name, phase) for name in job.members for phase in ("pretrain", "finetune")]
    trained = [(name, phase) for name, phase in phases if getattr(job.members[name], phase).epochs > 0]
    return [(name, fold, phase) for name, phase in trained for fold in job.fold_names]


def _usual(member: MemberSettings) -> int:
    """Return the position of the training size among the inferred ones, or the first where it is not."""
    sizes = member.infer.image_sizes
    return sizes.index(member.model.image_size) if member.model.image_size in sizes else 0


def _inferred(job: Job, name: str) -> Path:
    return job.root / f"data/infer/{name}.parquet"


def _with_probs(rows: pd.DataFrame, probs: predictions.Probs, classes: Sequence[str]) -> pd.DataFrame:
    columns = {tables.PROBABILITY + name: probs[:, i] for i, name in enumerate(classes)}
    return rows.reset_index(drop=True).assign(**columns)


if __name__ == "__main__":
    cli.run(main)
