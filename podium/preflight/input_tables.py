"""The user's tables, read as later stages read them, so that a mistake in one is reported before any training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from podium.contest import cases, external, ids, image_lists, label_sources, labels, lost_images, records, submission
from podium.contest.image_lists import ImageSelection
from podium.contest.label_sources import TrainFiles
from podium.contest.settings import ContestSettings
from podium.core import targets
from podium.core.errors import InputError, some
from podium.folds import assignment, extra, rare_classes
from podium.images import image_files
from podium.preflight import folder_checks, memory
from podium.preflight.settings import Podium
from podium.scoring import own_metric, scores


@dataclass(frozen=True)
class SubsetFiles:
    """The files in the folder of a subset, none of them decoded.

    Attributes:
        images: ids of the images, broken ones too.
        others: ids of the other files.
        left_out: ids of files that `contest.lists` leaves out.
        selection: what `contest.lists` says of images and others.
    """

    images: list[str]
    others: list[str]
    left_out: list[str]
    selection: ImageSelection


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
    found = {subset: subset_files(c, subset, root) for subset in ("train", "test")}
    train, test = found["train"], found["test"]
    for subset, files in found.items():
        folder_checks.require_images(
            files.images, files.others, f"contest.images.{subset}", str(getattr(c.images, subset))
        )
        folder_checks.require_channels(
            files.images, f"contest.images.{subset}", root / str(getattr(c.images, subset)), p.prepare
        )
    joined, lost = _check_labels(c, train, root)
    own, _ = extra.set_aside(joined.labels, p.extra)
    used = own[own["use"] == "train"]
    classes = targets.class_names(used["label"])
    messages = [
        *_notes(c, root),
        *folder_checks.messages(train.images, c, root),
        *folder_checks.value_range_warnings(train.images, p.prepare),
        *folder_checks.heic_warnings(train.images, "contest.images.train", str(c.images.train)),
        *folder_checks.heic_warnings(test.images, "contest.images.test", str(c.images.test)),
        *_check_folds(own, p.folds),
        *_case_warnings(c, test.selection),
        *_selection_messages(c, {subset: files.selection for subset, files in found.items()}),
        *_check_template(c, test, classes, root),
        *memory.check(p, len(used), len(test.images), classes),
    ]
    # `check` cannot know yet whether a scored image lacks its row: the stage `external` refuses that
    for given in p.external.values():
        columns = given.columns
        external.read(
            root / given.oof,
            images=ids.ImageIndex(train.images, train.others),
            classes=classes,
            id_column=columns.id,
            fold_column=columns.fold,
            lost=lost,
        )
        external.read(
            root / given.test,
            images=ids.ImageIndex(test.images, test.others),
            classes=classes,
            id_column=columns.id,
            lost=lost,
        )
    return messages


def subset_files(c: ContestSettings, subset: str, root: Path) -> SubsetFiles:
    """Return the files of a subset.

    Raises:
        InputError: as podium.contest.image_lists.select.
    """
    folder = str(getattr(c.images, subset))
    files = image_files.walk(root / folder)[0]
    selection = image_lists.select([file.image_id for file in files], c.lists, subset, root, folder)
    images, others = image_files.split([file for file in files if file.image_id in selection.ids])
    left_out = sorted({file.image_id for file in files}.difference(selection.ids))
    return SubsetFiles(images, others, left_out, selection)


def _notes(c: ContestSettings, root: Path) -> list[str]:
    """Say how the label table is read where that is not obvious."""
    return [] if c.layout != "csv" else list(records.read(root / c.labels).notes)


def _case_warnings(c: ContestSettings, test: ImageSelection) -> list[str]:
    """Warn where the estimate averages the images of a case, and the submission does not."""
    if not cases.has_cases(c) or not test.ids or any(len(images) > 1 for images in test.by_id.values()):
        return []
    return [
        "WARNING: contest.columns.case: scores are of means over the images of a case, but no id of a test image has"
        " several images, so each is predicted by itself: scores may be optimistic; give test images the ids of cases"
        " by contest.lists, or remove case"
    ]


def _selection_messages(c: ContestSettings, found: Mapping[str, ImageSelection]) -> list[str]:
    messages = []
    for subset, selection in found.items():
        if c.lists.selects(subset):
            by = "names" if getattr(c.lists, f"{subset}_pattern") is None else f"{subset}_pattern picks"
            messages.append(f"contest.lists: {by} {len(selection.ids)} {subset} images")
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


def _check_folds(given: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Refuse and warn as `split` does, as far as it is known without duplicates, which join groups."""
    if (given["fold"] != "").any():
        assignment.check_own(given, names)
        return []
    used = given[given["use"] == "train"]
    groups = used["group"].where(used["group"] != "", "image " + used["image_id"])
    try:
        assignment.require_enough(used.assign(group=groups), len(names))
    except InputError as error:
        distinct = used["label"].unique()
        are_numbers = 2 * len(distinct) > len(used) and all(ids.as_number(label) is not None for label in distinct)
        hint = "; each number is a class, because Podium has no regression: round them, e.g. to 100 distinct values"
        raise InputError(f"{error}{hint if are_numbers else ''}") from None
    return [f"WARNING: {warning}" for warning in rare_classes.warnings(used.assign(group=groups), len(names))]


def _check_labels(c: ContestSettings, train: SubsetFiles, root: Path) -> tuple[labels.JoinedLabels, set[str]]:
    """Read labels and overrides; join them as if all images could be read, and name the classes without images."""
    given = label_sources.read(TrainFiles(train.images, train.others, train.left_out), c, root)
    lost_images.require_enough(given, (), c.max_missing, root / c.images.train)
    overrides = labels.read_overrides(
        root / c.overrides,
        images=ids.ImageIndex(train.images, train.others),
        classes=label_sources.class_names(given),
        label_type=c.label_type,
    )
    every = sorted({*train.images, *given.table["image_id"], *overrides["image_id"]})
    facts = pd.DataFrame({"image_id": every, "problem": ""}, dtype="str")
    joined = labels.join(facts, given.table, overrides)
    cases.require_one_label(joined.labels, cases.read(every, c, root))
    classes = targets.class_names(joined.labels.loc[joined.labels["use"] == "train", "label"])
    folder_checks.require_two_classes(classes, train.images, c)
    return joined, targets.names_in([*given.table["label"], *given.without_image]).difference(classes)


def _check_template(c: ContestSettings, test: SubsetFiles, classes: list[str], root: Path) -> list[str]:
    values = c.submission.values if "values" in c.submission.model_fields_set else None
    template = submission.check(
        root / c.template,
        test.images,
        others=test.others,
        classes=classes,
        values=values,
        labels=c.submission.labels,
        positive=c.submission.positive,
        names=c.submission.names,
        absent=c.submission.absent,
        id_column=c.columns.id,
        settings=c.submission,
        by_id=test.selection.by_id,
        folder=Path(c.images.test).name,
    )
    messages = list(template.messages) if template is not None else []
    holds_labels = c.submission.values in ("label", "labels") and not (
        template is not None and (template.class_columns or template.is_long)
    )
    metric = scores.named(c.metric, classes)
    if own_metric.is_own(c.metric):
        own_metric.try_out(metric, classes)
    if holds_labels and not metric.judges_labels and not metric.labels_read and metric.of_errors is None:
        messages.append(
            f"WARNING: contest.metric {c.metric} scores probabilities, but the submission will hold labels; see"
            " contest.submission.values and contest.submission.positive"
        )
    if metric.of_errors is not None and c.submission.values != "number":
        messages.append(
            f"WARNING: contest.metric {c.metric} scores numbers, but the submission will hold none; see"
            " contest.submission.values: number"
        )
    if metric.labels_read > 1 and holds_labels and c.submission.top != metric.labels_read:
        messages.append(
            f"WARNING: contest.metric {c.metric} reads {metric.labels_read} labels an image, but"
            f" contest.submission.top writes {c.submission.top}"
        )
    return messages
