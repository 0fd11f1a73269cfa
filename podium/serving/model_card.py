"""The model card and the licences of a bundle, from what the run found."""

from pathlib import Path
from typing import Any

from podium.core import tables
from podium.ensembling.recipe_schema import RecipeFile
from podium.models import backbones
from podium.models.settings import ModelSettings
from podium.reports import chance
from podium.scoring import scores

USE = """
## Use

```
pip install numpy pillow onnxruntime
python predict.py <folder or file> predictions.csv
```

`predict.py` first checks the SHA-256 of every file. It writes the columns image_id, label, unlike_training (yes: do not
trust the label), novelty (above 1 is yes), problem (why a file could not be read) and one probability per class.
"""
CASES = """
Several images of one case are predicted by their mean, as for the score. {} `none` in its place predicts each image by
itself. The column `case` says which case an image is of.
"""
LIMITS = """
## What it cannot do

- It names one of its classes for any picture. `unlike_training` finds pictures that are far from all training images,
  not all that belong to no class.
- The score holds for images like the training images. A test set that differs from them has another score.
- It scores blends of one network per member; this bundle averages those of all folds, which is usually a little better.
- Probabilities were calibrated on the training images' class frequencies.
- onnxruntime computes in another order than torch, so a probability may differ from Podium's in the fifth digit.
"""


def text(recipe: RecipeFile, select: str, root: Path) -> str:
    """Return the model card (Markdown)."""
    score = recipe.score
    better = "lower" if scores.is_loss(score.metric) else "higher"
    lines = [
        "# Model card",
        f"\nAn image classifier made with Podium. Selected: {select}. Classes: {', '.join(recipe.classes)}.",
        "\n## Honest score",
        f"\n{score.metric} {score.oof_score} (95% interval {score.oof_score_low} to {score.oof_score_high}; {better} is"
        f" better), log loss {score.oof_log_loss}, out of fold on {score.n_train_images} training images by nested"
        " cross-validation: everything was chosen on other images than those it was scored on.",
        "\n## Training",
        f"\n{score.n_train_images} labelled images in {len(recipe.folds)} folds; a trained network per member and fold,"
        " and one frozen backbone per probe, whose classifiers are those of each fold.",
        *_class_counts(root),
        "\n| member | backbone | first weights | image sizes | transforms | phases | weight |",
        "|---|---|---|---|---|---|---|",
        *_members(recipe),
        f"\nBlend: {recipe.method}.",
        "\n## What was found in the images",
        "",
        *_findings(root),
        *_novelty(recipe),
    ]
    return "\n".join(lines) + "\n" + USE + _cases(recipe) + LIMITS


def licences(recipe: RecipeFile) -> str:
    """Return the licences of the weights and of the code (Markdown)."""
    rows = [f"| {name} | {_licence(network.model)} |" for name, network in sorted(recipe.networks.items())]
    return "\n".join(
        [
            "# Licences",
            "\n| first weights of member | licence |",
            "|---|---|",
            *rows,
            "\nThe training images have a licence of their own, which may bind the networks too.",
            "\n| code | licence |",
            "|---|---|",
            "| networks' definitions: timm | Apache-2.0 |",
            "| onnxruntime | MIT |",
            "| numpy | BSD-3-Clause |",
            "| pillow | MIT-CMU |",
            "| resize.py follows OpenCV | Apache-2.0 |",
            "| predict.py, blend.py, cases.py, ids.py, decode.py, heic.py, errors.py | Podium's |",
            "",
        ]
    )


def _cases(recipe: RecipeFile) -> str:
    if recipe.cases is None:
        return ""
    if recipe.cases.pattern is not None:
        return CASES.format("The pattern of recipe.json finds them by their paths; a CSV as third argument does too.")
    columns = f"{recipe.cases.file} (files) and {recipe.cases.id or 'the first one'} (cases), or image_id and case"
    return CASES.format(
        f"predict.py takes a CSV as third argument that says which these are, with the columns {columns}."
    )


def _licence(model: ModelSettings) -> str:
    if model.weights == "none":
        return "none: trained from random weights"
    if model.weights == "file":
        return f"that of the file {model.weights_file}, which Podium does not know: ask whoever gave it to you"
    return backbones.licence(model.backbone) or "not stated by timm: look it up on the model's page of the hub"


def _class_counts(root: Path) -> list[str]:
    folds = tables.read(root / "data/split/folds.csv", tables.FOLDS)
    counts = folds.loc[folds["use"] == "train", "label"].value_counts().sort_index()
    return [f"\nImages by class: {', '.join(f'{label} {count}' for label, count in counts.items())}."]


def _members(recipe: RecipeFile) -> list[str]:
    rows = []
    for index, member in enumerate(recipe.members):
        if not recipe.contributes(index):
            continue
        model = recipe.networks[member.name].model if member.source == "network" else None
        weight = f"{recipe.blend.weights[index]:.2f}" if recipe.blend.weights else "-"
        cells = [member.name, model.backbone if model else "all members'", model.weights if model else "-"]
        cells += [" ".join(map(str, member.image_sizes)) if model else "all members'", " ".join(member.transforms)]
        rows.append(f"| {' | '.join([*cells, ' '.join(member.phases), weight])} |")
    return rows


def _findings(root: Path) -> list[str]:
    """Summarise what `analyze` and `review` found, where they ran."""
    lines = []
    found: dict[str, Any] = _json(root / "data/analyze/summary.json")
    for subset, counts in sorted(found.get("findings", {}).items()):
        lines.append(
            f"- {subset}, images with each finding (duplicates of the other subset count too): "
            + ", ".join(f"{count} {check}" for check, count in sorted(counts.items()))
        )
    if "test_images_with_a_train_duplicate" in found:
        lines.append(f"- test images with a duplicate in train: {found['test_images_with_a_train_duplicate']}")
    if "flagged" in (suspects := _json(root / "data/review/summary.json")):
        lines.append(
            "- labels that are probably wrong: not known, because no member is better than chance"
            if chance.all_at_chance(suspects)
            else f"- labels that are probably wrong: {suspects['flagged']} of {suspects['reviewed']}"
        )
    return lines or ["- nothing is known: the stages `analyze` and `review` have not run"]


def _json(path: Path) -> dict[str, Any]:
    return dict(tables.read_json(path)) if path.is_file() else {}


def _novelty(recipe: RecipeFile) -> list[str]:
    known = recipe.novelty
    if known is None or known.false_alarms is None:
        return []
    return [f"\nOf the contest's own test images, {known.false_alarms:.1%} are called unlike the training images."]
