"""Stage `label`: join the label CSV (or class folders) and the overrides to the train images, into data/label/.

Reads data/prepare/train/facts.csv. Writes labels.csv (contracts.LABELS: one row per image, unreadable ones too),
overrides_applied.csv (the effect of each override), problems.csv and summary.json.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from podium import contracts
from podium.contest import ids, labels
from podium.contest.settings import ContestSettings
from podium.core import cli, params, tables
from podium.core.errors import legible, some

SHOWN = 20  # problems printed; problems.csv has all


def main(*, root: Path = Path()) -> None:
    """Join labels and overrides to the train images, and report problems."""
    settings = params.load("contest", ContestSettings, root)
    facts = tables.read(root / "data/prepare/train/facts.csv", contracts.FACTS)
    given, problems = labels.read_contest(facts["image_id"], settings, root)
    overrides = labels.read_overrides(
        root / settings.overrides,
        images=ids.ImageIndex(facts["image_id"]),
        classes=sorted(set(given["label"]) - {""}),
        label_type=settings.label_type,
    )
    joined = labels.join(facts, given, overrides)
    summary = _summary(joined)
    tables.write(joined.overrides_applied, root / "data/label/overrides_applied.csv", contracts.OVERRIDES_APPLIED)
    _write(joined.labels, sorted(problems + joined.problems), summary, root / "data/label")


def _summary(joined: labels.JoinedLabels) -> dict[str, Any]:
    classes = labels.require_classes(joined.labels)
    return {
        "images": len(joined.labels),
        "labelled": int((joined.labels["label"] != "").sum()),
        "used": sum(classes.values()),
        "skipped": joined.skipped,
        "overrides": joined.overrides,
        "classes": classes,
    }


def _write(table: pd.DataFrame, problems: list[labels.Problem], summary: dict[str, Any], folder: Path) -> None:
    tables.write(table, folder / "labels.csv", contracts.LABELS)
    rows = pd.DataFrame(problems, columns=list(contracts.PROBLEMS.columns), dtype="str")
    tables.write(rows, folder / "problems.csv", contracts.PROBLEMS)
    tables.write_json(summary, folder / "summary.json")
    classes = some([f"{name} {count}" for name, count in summary["classes"].items()], SHOWN)
    print(
        f"label: {summary['used']} of {summary['images']} images are used; {len(summary['classes'])} classes: {classes}"
    )
    for key in ("skipped", "overrides"):
        print(f"label: {key}: {', '.join(f'{kind} {n}' for kind, n in summary[key].items()) or 'none'}")
    if formulas := tables.formulas(summary["classes"]):
        print(
            f"label: WARNING: classes start like a formula: {some(formulas)}; import Podium's CSVs into a spreadsheet"
            " as text"
        )
    for image_id, problem in problems[:SHOWN]:
        print(f"label: {legible(image_id)}: {legible(problem)}")
    if len(problems) > SHOWN:
        print(f"label: {len(problems) - SHOWN} more in data/label/problems.csv")


if __name__ == "__main__":
    cli.run(main)
