"""What the page's templates show, as plain values: head, contest, score, reproduction; the sections add theirs."""

import hashlib
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from podium.contest.settings import ContestSettings
from podium.page import advice, data_sections, galleries, model_sections, rendering
from podium.page.page_inputs import PageInputs
from podium.scoring import scores

LIBRARIES = (
    "torch",
    "timm",
    "torchvision",
    "scikit-learn",
    "numpy",
    "pandas",
    "opencv-python-headless",
    "albumentations",
    "cleanlab",
    "dvc",
    "vl-convert-python",
)


def page(inputs: PageInputs) -> str:
    """Return the whole page."""
    content = {
        "head": _head(inputs),
        "score": _score(inputs),
        "advice": advice.all_advice(inputs),
        "contest": _contest(inputs),
        "data": data_sections.data(inputs),
        "folds": data_sections.folds(inputs),
        "curves": model_sections.curves(inputs),
        "ablation": model_sections.ablation(inputs),
        "members": model_sections.members(inputs),
        "errors": model_sections.errors(inputs),
        "calibration": model_sections.calibration(inputs),
        "mistakes": galleries.mistakes(inputs),
        "maps": inputs.maps,
        "suspects": model_sections.suspects(inputs),
        "versions": _versions(),
        "digests": _digests(inputs),
    }
    return rendering.render("index.html.j2", content)


def _head(inputs: PageInputs) -> dict[str, Any]:
    return {
        "name": contest_name(inputs.contest.images.train),
        "train": len(inputs.facts["train"]),
        "test": len(inputs.facts["test"]),
        "classes": len(inputs.classes),
    }


def contest_name(folder: str) -> str:
    """Return a name for the contest: the last folder of its train images that is not called train or images."""
    names = [part for part in Path(folder).parts if part.lower() not in ("train", "images", "data", "contest")]
    return names[-1] if names else folder


def _score(inputs: PageInputs) -> dict[str, Any]:
    summary = inputs.summary("metrics/summary.json")
    metric = str(summary["metric"])
    used = inputs.used
    commonest = float(used["label"].value_counts().max() / len(used))
    return {
        **summary,
        "name": metric.replace("_", " "),
        "is_loss": scores.is_loss(metric),
        "is_log_loss": metric == scores.LOG_LOSS,
        "commonest": commonest if metric == "accuracy" else None,
        "n_wrong": len(set(inputs.wrong // inputs.n_labels)),
        "leaks": inputs.summary("data/analyze/summary.json")["test_images_with_a_train_duplicate"],
        "flagged": len(inputs.flagged),
        "unlike_training": _unlike_training(inputs),
    }


def _unlike_training(inputs: PageInputs) -> float | None:
    """Return the share of test images that `make predict` calls unlike the training images; None if it cannot say."""
    novelty = inputs.summary("data/ensemble/recipe.json")["novelty"]
    return None if novelty is None else novelty["false_alarms"]


def _contest(inputs: PageInputs) -> list[tuple[str, str]]:
    contest, label = inputs.contest, inputs.summary("data/label/summary.json")
    submission, n_test = contest.submission, len(inputs.facts["test"])
    written = {"label": "the class", "labels": "the labels"}.get(submission.values, "probabilities")
    task = "assign one of {:,} classes to each test image"
    if contest.task == "labels":
        task = "say of {:,} labels which each test image has: none, one or several"
    return [
        ("Task", task.format(len(inputs.classes))),
        (
            "Metric",
            f"{contest.metric.replace('_', ' ')}{' (lower is better)' if scores.is_loss(contest.metric) else ''}",
        ),
        ("Train images", f"{contest.images.train}: {label['images']:,}, of which {len(inputs.used):,} are scored"),
        ("Test images", f"{contest.images.test}: {n_test:,}" if n_test else "none"),
        ("Labels", label_source(contest)),
        ("Overrides", contest.overrides if inputs.has_overrides else "none"),
        ("Submission", f"data/ensemble/submission.csv with {written} of each test image"),
    ]


def label_source(contest: ContestSettings) -> str:
    """Return where the labels are."""
    if contest.layout == "names":
        return f"in each image's path, where contest.columns.pattern finds it: {contest.columns.pattern}"
    return "one folder per class" if contest.layout == "folders" else contest.labels


def _versions() -> list[tuple[str, str]]:
    found = [("Python", platform.python_version())]
    for library in LIBRARIES:
        try:
            found.append((library, version(library)))
        except PackageNotFoundError:
            found.append((library, "not installed"))
    return found


def _digests(inputs: PageInputs) -> list[tuple[str, str]]:
    """Return what identifies the images and the folds: SHA-256 of their files' digests, and of every image's fold."""
    folds = inputs.table("data/split/folds.csv").sort_values("image_id")
    lines = {f"{subset} images": facts["image_id"] + " " + facts["sha256"] for subset, facts in inputs.facts.items()}
    lines["labels and folds"] = folds[["image_id", "label", "use", "fold"]].agg(" ".join, axis=1)
    return [(name, hashlib.sha256("\n".join(text).encode()).hexdigest()[:16]) for name, text in lines.items()]
