"""Stage `label`: join labels (of a table, folders or names) and overrides to the train images, into data/label/.

Reads data/prepare/train/facts.csv. Writes labels.csv (contracts.LABELS: one row per image, unreadable ones too),
overrides_applied.csv (the effect of each override), cases.csv (contracts.CASES), problems.csv and summary.json. Checks
that the classes that have images fit the template and the settings of the submission, because unreadable images are
known only now.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from podium import contracts
from podium.contest import cases, ids, label_sources, labels, lookalikes, lost_images, no_images, submission
from podium.contest.settings import ContestSettings
from podium.core import cli, params, tables, targets
from podium.core.errors import legible, some
from podium.images import image_files

SHOWN = 20  # problems printed; problems.csv has all


def main(*, root: Path = Path()) -> None:
    """Join labels and overrides to the train images, and report problems."""
    settings = params.load("contest", ContestSettings, root)
    facts = tables.read(root / "data/prepare/train/facts.csv", contracts.FACTS)
    given, joined = _read(facts, settings, root)
    broken = frozenset(facts.loc[facts["problem"] != "", "image_id"])
    n_labels = lost_images.require_enough(given, broken, settings.max_missing, root / settings.images.train)
    lost = lost_images.classes(given, joined, broken)
    of_image = cases.read(joined.labels["image_id"], settings, root)
    cases.require_one_label(joined.labels, of_image)
    summary = labels.summary(joined) | {"labels_without_image": sum(given.without_image.values()), "lost_classes": lost}
    summary["warnings"] = [
        *lost_images.warnings(given, joined, n_labels, lost),
        *_empty_folders(facts, settings, root),
        *lookalikes.warnings(targets.names_in([*given.table["label"], *given.without_image])),
        *_check_submission(joined, settings, root),
    ]
    tables.write(joined.overrides_applied, root / "data/label/overrides_applied.csv", contracts.OVERRIDES_APPLIED)
    table = pd.DataFrame({"image_id": list(of_image), "case": list(of_image.values())}, dtype="str")
    tables.write(table.sort_values("image_id"), root / "data/label/cases.csv", contracts.CASES)
    _write(joined.labels, sorted(given.problems + joined.problems), summary, root / "data/label")


def _read(facts: pd.DataFrame, settings: ContestSettings, root: Path) -> tuple[labels.GivenLabels, labels.JoinedLabels]:
    """Read labels and overrides, and join them to the images, and to files that are no images if they name them."""
    images, others = no_images.split_files(facts)
    given = label_sources.read(
        label_sources.TrainFiles(images, others, _left_out(facts, settings, root)), settings, root
    )
    overrides = labels.read_overrides(
        root / settings.overrides,
        images=ids.ImageIndex(images, others),
        classes=label_sources.class_names(given),
        label_type=settings.label_type,
    )
    named = {*images, *given.table["image_id"], *overrides["image_id"]}
    return given, labels.join(facts[facts["image_id"].isin(named)], given.table, overrides)


def _left_out(facts: pd.DataFrame, settings: ContestSettings, root: Path) -> list[str]:
    """Return the files of the folder of train images that `contest.lists` leaves out."""
    if not settings.lists.selects("train"):
        return []
    files, _ = image_files.walk(root / settings.images.train)
    return sorted({file.image_id for file in files}.difference(facts["image_id"]))


def _empty_folders(facts: pd.DataFrame, settings: ContestSettings, root: Path) -> list[str]:
    """Warn of class folders without an image; there are none with other labels, and `contest.lists` leaves some out."""
    if settings.layout != "folders" or settings.lists.selects("train"):
        return []
    folders = image_files.class_folders(root / settings.images.train)
    return lost_images.empty_folders(folders, no_images.split_files(facts)[0])


def _check_submission(joined: labels.JoinedLabels, settings: ContestSettings, root: Path) -> list[str]:
    """Return warnings; raise an error where a class that the submission needs has no images."""
    classes = targets.class_names(joined.labels.loc[joined.labels["use"] == "train", "label"])
    form = settings.submission
    return submission.check_classes(
        root / settings.template,
        classes,
        labels=form.labels,
        values=form.values,
        positive=form.positive,
        names=form.names,
        absent=form.absent,
        settings=form,
        id_column=settings.columns.id,
    )


def _write(table: pd.DataFrame, problems: list[labels.Problem], summary: dict[str, Any], folder: Path) -> None:
    tables.write(table, folder / "labels.csv", contracts.LABELS)
    rows = pd.DataFrame(problems, columns=list(contracts.PROBLEMS.columns), dtype="str")
    tables.write(rows, folder / "problems.csv", contracts.PROBLEMS)
    tables.write_json(summary, folder / "summary.json")
    classes = some([f"{name} {count}" for name, count in summary["classes"].items()], SHOWN)
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
    for warning in summary["warnings"]:
        print(f"label: WARNING: {warning}")
    print(  # last, because `make` shows a stage's last line; extra images are among them
        f"label: {summary['used']} of {summary['images']} train images have a label and can be used;"
        f" {len(summary['classes'])} classes: {classes}"
    )


if __name__ == "__main__":
    cli.run(main)
