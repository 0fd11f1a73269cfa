"""The user's tables, read as later stages read them, so that a mistake in one is reported before any training."""

from pathlib import Path

import pandas as pd

from podium.contest import external, ids, labels, lost_images, submission
from podium.contest.settings import ContestSettings
from podium.folds import assignment
from podium.images import image_files
from podium.preflight.settings import Podium
from podium.scoring import scores

Files = tuple[list[str], list[str]]  # ids of a folder's images, and of its other files


def check(p: Podium, root: Path) -> list[str]:
    """Read labels, overrides, template and external predictions; return messages for the user.

    Returns:
        messages; none where images or tables do not exist yet, because a stage of the graph makes them (the demo, also
        after it was stopped while it drew). `input_paths.require` refuses others that do not exist.

    Raises:
        InputError: names the file and what is wrong in it.
    """
    c = p.contest
    if not all((root / path).exists() for path in (c.images.train, c.images.test, c.labels, c.template)):
        return []
    train, test = (image_files.split(image_files.walk(root / path)[0]) for path in (c.images.train, c.images.test))
    classes, lost = _check_labels(p, train, root)
    messages = _check_template(c, test, classes, root)
    # `check` cannot know yet whether a scored image lacks its row: the stage `external` refuses that
    for given in p.external.values():
        columns = given.columns
        external.read(
            root / given.oof,
            images=ids.ImageIndex(*train),
            classes=classes,
            id_column=columns.id,
            fold_column=columns.fold,
            lost=lost,
        )
        external.read(root / given.test, images=ids.ImageIndex(*test), classes=classes, id_column=columns.id, lost=lost)
    return messages


def _check_labels(p: Podium, train: Files, root: Path) -> tuple[list[str], set[str]]:
    """Read labels and overrides; return the classes that have images if all can be read, sorted, and the others."""
    c, (images, others) = p.contest, train
    given = labels.read_contest(images, others, c, root)
    lost_images.require_enough(given, (), c.max_missing, root / c.images.train)
    overrides = labels.read_overrides(
        root / c.overrides,
        images=ids.ImageIndex(images, others),
        classes=sorted(set(given.table["label"]) - {""}),
        label_type=c.label_type,
    )
    every = sorted({*images, *given.table["image_id"], *overrides["image_id"]})
    facts = pd.DataFrame({"image_id": every, "problem": ""}, dtype="str")
    joined = labels.join(facts, given.table, overrides)
    classes = list(labels.require_classes(joined.labels))
    if c.columns.fold is None:
        _require_groups(joined.labels, len(p.folds))
    return classes, {*given.table["label"], *given.without_image}.difference(["", *classes])


def _require_groups(table: pd.DataFrame, n_folds: int) -> None:
    """Refuse what `split` refuses, as far as it is known without duplicates: a class with too few groups."""
    used = table[table["use"] == "train"]
    own = used["group"].where(used["group"] != "", "image " + used["image_id"])
    assignment.require_enough(used.assign(group=own), n_folds)


def _check_template(c: ContestSettings, test: Files, classes: list[str], root: Path) -> list[str]:
    values = c.submission.values if "values" in c.submission.model_fields_set else None
    template = submission.check(
        root / c.template,
        test[0],
        others=test[1],
        classes=classes,
        values=values,
        labels=c.submission.labels,
        positive=c.submission.positive,
        names=c.submission.names,
        absent=c.submission.absent,
        id_column=c.columns.id,
    )
    messages = list(template.messages) if template is not None else []
    holds_labels = c.submission.values == "label" and not (template is not None and template.class_columns)
    if holds_labels and not scores.named(c.metric, classes).judges_labels:
        messages.append(
            f"WARNING: contest.metric {c.metric} scores probabilities, but the submission will hold labels; see"
            " contest.submission.values and contest.submission.positive"
        )
    return messages
