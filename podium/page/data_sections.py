"""The sections on data: duplicates, odd images, leakage, shift, and folds."""

from typing import Any

from podium.core import targets
from podium.page import charts, galleries
from podium.page.page_inputs import PageInputs

MOST_CLASSES = 20  # rows of the chart of classes, half from either end
FOLD_CLASSES = 12  # rows of the table of folds
QUESTIONS = {
    "label_from_metadata": "label from file metadata",
    "label_from_colours": "label from mean colours (content: no warning)",
    "test_from_metadata": "test or train, from file metadata",
    "test_from_colours": "test or train, from mean colours",
}


def data(inputs: PageInputs) -> dict[str, Any]:
    """Return what is wrong with the data."""
    analysis = inputs.summary("data/analyze/summary.json")
    return {
        "summary": analysis,
        "leaks": galleries.leaked(inputs),
        "duplicates": galleries.duplicates(inputs),
        "odd": galleries.odd_images(inputs),
        "n_conflicts": inputs.table("data/split/conflicts.csv")["cluster"].nunique(),
        "questions": _questions(inputs.summary("data/audit/summary.json")),
    }


def folds(inputs: PageInputs) -> dict[str, Any]:
    """Return the classes and how the folds share them."""
    balance = inputs.summary("data/split/balance.json")
    counts = targets.one_label_a_row(inputs.used)["label"].value_counts()
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    half = MOST_CLASSES // 2
    shown = ordered if len(ordered) <= MOST_CLASSES else [*ordered[:half], *ordered[-half:]]
    rows = [{"name": name, "value": int(value)} for name, value in shown]
    title = "Images by class"
    if len(shown) < len(ordered):
        title += f": the {half} largest and the {half} smallest of {len(ordered):,} classes"
    name = f"{title}: from {rows[0]['value']:,} ({rows[0]['name']}) to {rows[-1]['value']:,} ({rows[-1]['name']})"
    by_class = sorted(balance["images_per_class_per_fold"].items())
    return {
        "balance": balance,
        "chart": charts.in_two_widths(title, name, charts.bars(rows, "images in use")),
        "names": list(balance["images_per_fold"]),
        "by_class": by_class[:FOLD_CLASSES],
        "n_classes": len(by_class),
    }


def _questions(audit: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"question": words, **audit[key]} for key, words in QUESTIONS.items() if key in audit]
