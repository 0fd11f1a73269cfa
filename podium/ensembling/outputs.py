"""What `ensemble` writes beside its tables of evidence: predictions, the submission, the summary."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from podium import contracts
from podium.contest import contest_submission
from podium.core import scratch, tables
from podium.core import targets as label_targets
from podium.core.errors import some
from podium.ensembling import curves, leakage, nested_cv
from podium.ensembling.evidence_tables import tta_cells
from podium.ensembling.inputs import EnsembleInputs
from podium.ensembling.nested_cv import NONE_HELD_OUT, ChosenMember, NestedCv, Outcome
from podium.predictions import case_means, prediction_files
from podium.predictions.calibration import Probs
from podium.predictions.tta import FIXRES, PSEUDO
from podium.scoring import intervals, scores
from podium.scoring.comparison import BETTER


def members_table(
    inputs: EnsembleInputs,
    nested: NestedCv,
    outcome: Outcome,
    members: Mapping[str, ChosenMember],
    oof: dict[str, Probs],
) -> pd.DataFrame:
    """List the blend's members (contracts.MEMBERS)."""
    rows = []
    weights, targets = outcome.recipe.blend.weights, inputs.images.targets
    for index, name in enumerate(inputs.predictions):
        default = nested_cv.at_default(nested, index, inputs.predictions[name].default)
        numbers = {
            "weight": float("nan") if weights is None else float(weights[index]),
            "train_size_score": inputs.metric.function(targets, default),
            "score": inputs.metric.function(targets, oof[name]),
            "log_loss": scores.log_loss(targets, oof[name]),
            "pretrain_score": _held_out_score(inputs, name, "pretrain"),
            "finetune_score": _held_out_score(inputs, name, "finetune"),
        }
        chosen = tta_cells(members[name].choices[NONE_HELD_OUT].tta)
        scratch.release(oof[name])
        rows.append({"member": name, **chosen, **{key: round(number, 6) for key, number in numbers.items()}})
    return pd.DataFrame(rows)[list(contracts.MEMBERS.columns)]


def summary(inputs: EnsembleInputs, outcome: Outcome, members: pd.DataFrame, blend: pd.DataFrame) -> dict[str, Any]:
    """Return what `dvc exp show` compares; scores are in the contest's metric (of log_loss lower is better)."""
    images, metric = inputs.images, inputs.metric
    score, naive = (metric.function(images.targets, probs) for probs in (outcome.oof, outcome.naive))
    low, high = intervals.score_interval(metric, images.targets, outcome.oof, images.groups)
    sign = 1 if metric.greater_is_better else -1
    best = members.loc[(sign * members["score"]).idxmax()]
    return {
        "metric": inputs.contest.metric,
        "oof_score": tables.rounded(score),
        "oof_score_low": tables.rounded(low),
        "oof_score_high": tables.rounded(high),
        "oof_score_naive": tables.rounded(naive),
        "optimism": tables.rounded(sign * (naive - score)),
        "oof_log_loss": tables.rounded(scores.log_loss(images.targets, outcome.oof)),
        "best_member": best["member"],
        "best_member_score": tables.rounded(best["score"]),
        "members_below_blend": int((blend["verdict"] == BETTER).sum()),
        "n_members": len(inputs.predictions),
        "n_train_images": len(inputs.used),
        "n_test_images": len(inputs.test_files[0]),
    }


def with_leaked_labels(inputs: EnsembleInputs, test: Probs) -> Probs:
    """Put in the labels that duplicates in train give away, where `ensemble.leaked_labels` says so."""
    rule = inputs.settings.leaked_labels
    if rule == "ignore":
        return test
    leaks = tables.read(inputs.root / "data/analyze/leaks.csv", contracts.LEAKS)
    labels, unknown = leakage.known(leaks, inputs.folds, exact_only=rule == "exact")
    test, count = leakage.apply(test, inputs.readable, inputs.classes, labels)
    print(f"ensemble: WARNING: {count} test images get the label of a duplicate in train (ensemble.leaked_labels)")
    if unknown:
        print(f"ensemble: test images whose duplicates disagree or are not used get no label: {some(unknown)}")
    return test


def write_predictions(inputs: EnsembleInputs, outcome: Outcome, oof: Mapping[str, Probs], test: Probs) -> None:
    """Write the out-of-fold predictions of the blend and of each member, the test predictions and the submission."""
    folder, rows = inputs.root / "data/ensemble", inputs.used[["image_id", "label", "fold"]]

    def with_probs(images: pd.DataFrame, probs: Probs) -> pd.DataFrame:
        return tables.with_probs(images, label_targets.probs_of_images(probs, inputs.classes), inputs.classes)

    tables.write(with_probs(rows, outcome.oof), folder / "oof.parquet", contracts.OOF)
    for name, probs in oof.items():
        table = with_probs(rows, probs)
        tables.write(table, folder / f"members/{name}.parquet", contracts.OOF)
        scratch.release(probs)
    test_table = with_probs(pd.DataFrame({"image_id": inputs.readable}, dtype="str"), test)
    tables.write(test_table, folder / "test.parquet", contracts.TEST)
    curves.write(curves.gather(_trainings(inputs), inputs.root), folder / "curves.csv")
    _write_submission(inputs, test_table, folder / "submission.csv")


def _write_submission(inputs: EnsembleInputs, test_probs: pd.DataFrame, path: Path) -> None:
    images, template = inputs.submitted_images, inputs.template
    for message in contest_submission.write(
        path, inputs.contest, images, template, test_probs=test_probs, used=inputs.used
    ):
        print(f"ensemble: {message}")


def _held_out_score(inputs: EnsembleInputs, name: str, phase: str) -> float:
    """Score a phase at the training size in one transform; NaN where it has 0 epochs or the member is not trained."""
    member = inputs.members.get(name)
    if member is None or getattr(member, phase).epochs == 0:
        return float("nan")
    probs = prediction_files.read_train(
        [inputs.root / f"data/{phase}/{name}/{fold}.parquet" for fold in inputs.fold_names],
        image_ids=list(inputs.used["image_id"]),
        folds=list(inputs.used["fold"]),
        classes=inputs.classes,
        image_sizes=[member.pretrain_size if phase == "pretrain" else member.model.image_size],
        transforms=["identity"],
    )
    return inputs.metric.function(inputs.images.targets, case_means.averaged(probs[0, 0], inputs.used))


def _trainings(inputs: EnsembleInputs) -> list[tuple[str, str, str]]:
    """Name the trainings that have epochs: (member, fold, phase)."""
    trained = []
    for name, member in inputs.members.items():
        trained += [(name, phase) for phase in ("pretrain", "finetune") if getattr(member, phase).epochs > 0]
        found = {phase for tta in inputs.predictions[name].alternatives for phase in tta.phases}
        trained += [(name, phase) for phase in (FIXRES, PSEUDO) if phase in found]
    return [(name, fold, phase) for name, phase in trained for fold in inputs.fold_names]
