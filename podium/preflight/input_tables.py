"""The user's tables, read as later stages read them, so that a mistake in one is reported before any training."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from podium.contest import external, ids, image_lists, label_sources, labels, records, submission
from podium.contest.settings import ContestSettings
from podium.core.errors import InputError, some
from podium.folds import rare_classes
from podium.images import image_files
from podium.preflight import folder_checks
from podium.preflight.settings import Podium
from podium.scoring import scores


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
    found = {subset: _selection(c, subset, root) for subset in ("train", "test")}
    train, test = (list(selection.ids) for selection in found.values())
    folder_checks.require_images(train, "contest.images.train", c.images.train)
    folder_checks.require_images(test, "contest.images.test", c.images.test)
    labelled = label_sources.read(train, c, root)[0]
    classes = _check_labels(c, labelled, train, root)
    folder_checks.require_two_classes(classes, train, c)
    messages = [
        *_notes(c, root),
        *folder_checks.messages(train, c, root),
        *_rare_classes(labelled, len(p.folds)),
        *_selection_messages(c, found),
        *_check_template(c, found["test"], classes, root),
    ]
    # `check` cannot know yet whether a scored image lacks its row: the stage `external` refuses that
    for given in p.external.values():
        columns = given.columns
        external.read(
            root / given.oof, image_ids=train, classes=classes, id_column=columns.id, fold_column=columns.fold
        )
        external.read(root / given.test, image_ids=test, classes=classes, id_column=columns.id)
    return messages


def _selection(c: ContestSettings, subset: str, root: Path) -> image_lists.ImageSelection:
    """Return the images of a subset, without opening one."""
    folder = str(getattr(c.images, subset))
    files = [file.image_id for file in image_files.walk(root / folder)[0]]
    return image_lists.select(files, c.lists, subset, root, folder)


def _notes(c: ContestSettings, root: Path) -> list[str]:
    """Say how the label table is read where that is not obvious."""
    return [] if c.layout != "csv" else list(records.read(root / c.labels).notes)


def _selection_messages(c: ContestSettings, found: Mapping[str, image_lists.ImageSelection]) -> list[str]:
    messages = []
    for subset, selection in found.items():
        if c.lists.selects(subset):
            messages.append(f"contest.lists names {len(selection.ids)} {subset} images")
        if selection.missing:
            messages.append(
                f"WARNING: contest.lists.{subset}: {len(selection.missing)} entries name no file:"
                f" {some(list(selection.missing))}"
            )
    if c.lists.selects("train") and c.lists.selects("test") and c.images.train == c.images.test:
        both = sorted(set(found["train"].ids) & set(found["test"].ids))
        if both:
            raise InputError(
                f"params.yaml: contest.lists: {len(both)} files are named as train and as test images: {some(both)};"
                " correct the lists or patterns"
            )
    return messages


def _rare_classes(given: pd.DataFrame, n_folds: int) -> list[str]:
    """Warn of classes with fewer groups than folds; duplicates, which join groups, are not known yet."""
    used = given[given["label"] != ""]
    if (used["fold"] != "").any():
        return []
    groups = used["group"].mask(used["group"] == "", used["image_id"])
    return [f"WARNING: {warning}" for warning in rare_classes.warnings(used.assign(group=groups), n_folds)]


def _check_labels(c: ContestSettings, given: pd.DataFrame, train: list[str], root: Path) -> list[str]:
    """Read overrides; return the classes, sorted."""
    classes = sorted(set(given["label"]) - {""})
    images = ids.ImageIndex(train)
    labels.read_overrides(root / c.overrides, images=images, classes=classes, label_type=c.label_type)
    return classes


def _check_template(c: ContestSettings, test: image_lists.ImageSelection, classes: list[str], root: Path) -> list[str]:
    values = c.submission.values if "values" in c.submission.model_fields_set else None
    template = submission.check(
        root / c.template,
        list(test.ids),
        classes=classes,
        values=values,
        labels=c.submission.labels,
        positive=c.submission.positive,
        settings=c.submission,
        by_id=test.by_id,
    )
    messages = list(template.messages) if template is not None else []
    holds_labels = c.submission.values == "label" and not (
        template is not None and (template.class_columns or template.is_long)
    )
    metric = scores.named(c.metric, classes)
    if holds_labels and not metric.judges_labels and not metric.labels_read:
        messages.append(
            f"WARNING: contest.metric {c.metric} scores probabilities, but the submission will hold labels; see"
            " contest.submission.values and contest.submission.positive"
        )
    if metric.labels_read > 1 and holds_labels and c.submission.top != metric.labels_read:
        messages.append(
            f"WARNING: contest.metric {c.metric} reads {metric.labels_read} labels an image, but"
            f" contest.submission.top writes {c.submission.top}"
        )
    return messages
