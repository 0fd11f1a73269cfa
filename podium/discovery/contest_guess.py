"""The whole `contest` section of a folder, with a reason for each value, and a table of what was found."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from podium.contest import class_names
from podium.contest.ids import as_number
from podium.core import targets
from podium.core.errors import some
from podium.core.placeholders import NO_FILE, NO_FOLDER
from podium.discovery import case_columns, class_labels, inventory, label_table, subsets, template_guess
from podium.discovery.class_labels import NamedLabels
from podium.discovery.image_names import ImageNames, inside
from podium.discovery.inventory import Inventory
from podium.discovery.label_table import LabelTable
from podium.discovery.subsets import NO_IMAGES, ImageSet
from podium.discovery.template_guess import IdMeaning, SubmissionGuess, TemplateGuess

Ask = Callable[[str, bool], bool]  # (question, default answer) -> answer
Section = dict[str, Any]
DIRECT = IdMeaning(1.0)
OVERRIDES = "data/contest/overrides.csv"  # where the docs put them


def take_defaults(question: str, default: bool) -> bool:  # noqa: ARG001
    """Answer no question."""
    return default


@dataclass(frozen=True)
class ContestGuess:
    """What a folder was found to be.

    Attributes:
        section: `contest` of params.yaml, with the paths as params.yaml needs them.
        why: dotted key within the section -> reason.
        rows: of a table for the user: what, where, an example or number.
        warnings: what looks wrong.
        classes: the distinct labels.
        groups: number of images, or groups, of each class, in no order.
        n_train, n_test: images.
        channels: of each image: 3 unless they are arrays of others.
    """

    section: Section
    why: dict[str, str]
    rows: list[tuple[str, str, str]]
    warnings: list[str]
    classes: list[str]
    groups: list[int]
    n_train: int
    n_test: int
    channels: int


@dataclass
class Parts:
    """What was found so far; the functions below fill it in this order."""

    found: Inventory
    train: ImageSet
    test: ImageSet
    template: TemplateGuess | None = None
    table: LabelTable | None = None
    named: NamedLabels | None = None
    meaning: IdMeaning = DIRECT
    folder_pattern: str | None = None
    left_out_group: str | None = None
    why: dict[str, str] = field(default_factory=dict)

    @cached_property
    def train_names(self) -> ImageNames:
        """Return the train images by name; to be asked for when they are known."""
        return ImageNames(self.train.images)

    @property
    def classes(self) -> list[str]:
        """Return the distinct labels."""
        return self.table.classes if self.table else self.named.names if self.named else []


def guess(folder: Path, root: Path, ask: Ask = take_defaults) -> ContestGuess:
    """Look at a contest's folder.

    Args:
        folder: of the contest.
        root: of the project; paths below it become relative.
        ask: puts a question that no file answers.

    Raises:
        InputError: the folder does not exist or holds no image.
    """
    found = inventory.take(folder)
    parts = Parts(found, *subsets.find(found))
    _find_tables(parts)
    _divide(parts)
    _find_cases(parts)
    if (parts.table is None or parts.table.is_weak) and parts.train.folder is not None:
        values, cells = (parts.template.values, parts.template.cells) if parts.template else ([], [])
        parts.named = class_labels.find(parts.train, values, cells)
        parts.table = None if parts.named is not None and parts.named.layout == "folders" else parts.table
        parts.named = None if parts.table is not None else parts.named
    if parts.template is not None and parts.folder_pattern is None:
        label_path = parts.table.path if parts.table else None
        parts.meaning = template_guess.meaning(parts.template, found, ImageNames(parts.test.images), label_path)
    form = _form_of_sets(parts) or template_guess.submission(parts.template, parts.classes, parts.meaning)
    if form.question and form.other is not None and ask(form.question, False):
        form = form.other
    section = _section(parts, form, root)
    return ContestGuess(
        section=section,
        why=parts.why,
        rows=_rows(parts),
        warnings=_warnings(parts, form),
        classes=parts.classes,
        groups=_group_counts(parts),
        n_train=len(parts.train.images),
        n_test=len(parts.test.images),
        channels=inventory.channels(found),
    )


def _form_of_sets(parts: Parts) -> SubmissionGuess | None:
    if parts.table is None or not parts.table.has_sets:
        return None
    mark, cells = parts.table.separator, parts.template.cells if parts.template is not None else []
    if mark is None and cells:
        mark = label_table.separator_of(cells, parts.classes)
    return template_guess.of_sets(parts.template, parts.meaning, mark)


def _find_tables(parts: Parts) -> None:
    """Find template and label table among the images that are known, or among all."""
    found = parts.found
    known = parts.train.folder is not None
    train = ImageNames(parts.train.images if known else found.images)
    test = ImageNames(parts.test.images if parts.test.folder is not None else () if known else found.images)
    parts.template = template_guess.find(found, test)
    path, values, cells = None, [], []
    if parts.template is not None:
        path, values, cells = parts.template.path, parts.template.values, parts.template.cells
        values = template_guess.row_classes(parts.template, test) or values
    parts.table = label_table.find(found, train, path, values, cells)
    if parts.table is not None and label_table.is_group_of_one_class(found, parts.table):
        parts.left_out_group = parts.table.group
        parts.table = replace(parts.table, group=None, why_group=f"not {parts.table.group}: one value a class")


def _find_cases(parts: Parts) -> None:
    """Look for ids that name folders of images, where none names an image."""
    found, template = parts.found, parts.template
    if parts.table is not None or template is None:
        return
    for path in found.tables:
        own = None if path == template.path else case_columns.folder_column(found, path, parts.train)
        table = None if own is None else label_table.of_ids(found, path, own, template.values, template.cells)
        pattern = case_columns.folder_pattern(template.ids, parts.test)
        if table is not None:
            parts.table = replace(table, by_folder=True)
            if pattern is not None:
                parts.folder_pattern, image = pattern
                example = next(folder for folder in image.split("/") if folder in set(template.ids))
                parts.meaning = IdMeaning(1.0, example=(example, image))
            return


def _divide(parts: Parts) -> None:
    """Take the images that tables name, where names of folders and files do not tell train from test."""
    every = parts.found.images
    names = ImageNames(every)
    if parts.train.folder is None and parts.table is not None:
        chosen = names.named(parts.table.ids)
        parts.train = subsets.picked(chosen, every, f"{parts.table.path} names them")
    if parts.train.folder is None:
        rest = [image for image in every if image not in set(parts.test.images)]
        parts.train = subsets.picked(rest, every, "all images") if rest else parts.train
    if parts.test.folder is None and parts.template is not None:
        left = ImageNames([image for image in every if image not in set(parts.train.images)])
        label_path = parts.table.path if parts.table else None
        by = template_guess.meaning(parts.template, parts.found, left, label_path)
        path, ids = (by.table, parts.found.columns[by.table, by.file]) if by.table else ("", parts.template.ids)
        if chosen := left.named(ids):
            parts.test = subsets.picked(chosen, every, f"{path or parts.template.path} names them")


def _section(parts: Parts, form: SubmissionGuess, root: Path) -> Section:
    place = _Places(parts.found.folder, root)
    why, table, named = parts.why, parts.table, parts.named
    why["images.train"] = f"{len(parts.train.images)} images; {parts.train.why}"
    why["images.test"] = f"{len(parts.test.images)} images; {parts.test.why}"
    if table is None:
        no_table = "no table has a column of ids of train images and one of labels"
        why |= {"layout": named.why if named else f"set this: {no_table}", "labels": no_table}
    else:
        why["layout"] = "labels are in a table"
        why["labels"] = f"{table.ids_read:.0%} of {len(table.ids)} ids name a train image"
    spelled = table is not None and label_table.are_spelled_unlike(table.classes)
    why["label_type"] = "one number is spelled in several ways" if spelled else "labels stay as they are written"
    overrides = OVERRIDES if (root / OVERRIDES).is_file() else NO_FILE
    why["overrides"] = "your corrections of labels; see docs/contest.md"
    why["template"] = parts.template.why if parts.template else "no table looks like a template"
    why["metric"] = form.why["metric"]
    return {
        "images": {"train": place(parts.train.folder), "test": place(parts.test.folder) or NO_FOLDER},
        "lists": _lists(parts, place),
        **({"task": "labels"} if table and table.has_sets else {}),
        "layout": "csv" if table else named.layout if named else "folders",
        "labels": place(table.path) if table else NO_FILE,
        "columns": _columns(parts),
        "label_type": "number" if spelled else "text",
        "overrides": overrides,
        "template": place(parts.template.path) if parts.template else NO_FILE,
        "submission": _submission(parts, form),
        "metric": form.metric,
    }


@dataclass(frozen=True)
class _Places:
    """Converts paths to those that params.yaml needs."""

    folder: Path
    root: Path

    def __call__(self, path: str | None) -> str:
        if path is None:
            return ""
        whole = (self.folder / path).absolute()
        top = self.root.absolute()
        return (whole.relative_to(top) if whole.is_relative_to(top) else whole).as_posix()


def _lists(parts: Parts, place: _Places) -> Section:
    lists: Section = {"train": NO_FILE, "test": NO_FILE}
    why = {"train": "all files of the folder", "test": "all files of the folder"}
    for subset, images in (("train", parts.train), ("test", parts.test)):
        if images.pattern is not None:
            lists[f"{subset}_pattern"], why[f"{subset}_pattern"] = images.pattern, images.why
            why[subset] = "a pattern picks the files"
    table, template, meaning = parts.table, parts.template, parts.meaning
    if parts.folder_pattern is not None:
        lists["test_pattern"], why["test_pattern"] = parts.folder_pattern, "the template's ids name folders"
    if meaning.table:
        lists |= {"test": place(meaning.table), "id": meaning.id, "file": meaning.file}
        why["test"] = "the template's ids are no file names; this table has both"
        why |= {"id": f"id {_example(meaning)}", "file": "the column of files"}
    elif parts.test.by_list and template is not None:
        lists["test"], why["test"] = place(template.path), "the folder holds other images too; the template names them"
        if template.id > 0 and template.header is not None:
            lists["id"], why["id"] = template.header[template.id], "the template's column of ids"
    if parts.train.by_list and table is not None:
        lists["train"], why["train"] = place(table.path), "the folder holds other images too; this table names them"
        if "id" in lists or parts.found.tables[table.path].header[0] != table.id:
            lists["train_id"], why["train_id"] = table.id, "the column of ids"
    parts.why |= {f"lists.{key}": reason for key, reason in why.items()}
    return lists


def _columns(parts: Parts) -> Section:
    table, named = parts.table, parts.named
    if table is not None:
        example = next((own for own in table.ids if parts.train_names.find(own)), "")
        by = "folders of train images" if table.by_folder else "train images"
        parts.why["columns.id"] = f"{example} is an image" if example else f"its cells name {by}"
        parts.why["columns.label"] = f"{table.why_label}; {len(table.classes)} {_kind(table)}"
        parts.why["task"] = "an image may have several labels"
        parts.why["columns.separator"] = "between the labels of a cell"
        case = _case(parts, table)
        parts.why["columns.group"] = table.why_group + "".join(f"; or {name}?" for name in table.other_groups[:2])
        return {"id": table.id, "label": table.label if isinstance(table.label, str) else list(table.label),
                "group": table.group} | ({} if case is None else {"case": case}) | (
                    {"separator": table.separator} if table.separator else {})  # fmt: skip
    if named is None or named.pattern is None:
        parts.why["columns"] = "no table, so no columns"
        return {}
    parts.why["columns.pattern"] = "; ".join(filter(None, [named.why, named.why_group]))
    parts.why["columns.classes"] = "one column of numbers in the template, and one folder sounds like the absence"
    return {"pattern": named.pattern} | ({"classes": named.classes} if named.classes else {})


def _case(parts: Parts, table: LabelTable) -> str | list[str] | None:
    """Return the column, or columns, of cases."""
    if table.by_folder:
        parts.why["columns.case"] = "ids name folders, whose images are predicted by their mean"
        return table.id
    if parts.template is None:
        return None
    found = case_columns.averaged(parts.found, table, parts.meaning, parts.template)
    if found is not None:
        parts.why["columns.case"] = "a row of the template means several images: they are predicted by their mean"
    return found


def _submission(parts: Parts, form: SubmissionGuess) -> Section:
    template, settings = parts.template, dict(form.settings)
    why = dict(form.why)
    if template is not None and template.id > 0 and template.header is not None:
        settings["id"], why["id"] = template.header[template.id], "a column stands before it"
    if template is not None and template.has_other_columns and len(template.values) == 1:
        settings["value"], why["value"] = template.values[0], "the only other column"
    if parts.meaning.pattern is not None:
        settings["id_pattern"], why["id_pattern"] = parts.meaning.pattern, "a row per image and class"
    if template is not None and len(template.values) > 1 and parts.classes and "class_column" not in settings:
        missing = [name for name in parts.classes if name not in template.values]
        unknown = [name for name in template.values if name not in parts.classes]
        if names := class_names.guessed(missing, unknown):
            settings["names"], why["names"] = names, "how the template spells these classes"
        left = [name for name in unknown if name not in names.values()]
        if left and not set(missing) - names.keys():  # else one of them may be the missing class
            settings["absent"], why["absent"] = left, "no train image has these classes: their probability is 0"
    parts.why |= {f"submission.{key}": reason for key, reason in why.items()}
    return settings


def _example(meaning: IdMeaning) -> str:
    return f"`{meaning.example[0]}` -> {meaning.example[1]}" if meaning.example else "none of the ids names an image"


def _rows(parts: Parts) -> list[tuple[str, str, str]]:
    rows = []
    for what, images in (("train images", parts.train), ("test images", parts.test)):
        example = f"{len(images.images)}, e.g. {images.images[0]}" if images.images else "none"
        rows.append((what, images.folder if images.folder else "-" if images.folder is None else ".", example))
    if (table := parts.table) is not None:
        names = parts.train_names
        own = table.ids[0] if table.by_folder else next((own for own in table.ids if names.find(own)), "")
        image = next(iter(names.find(own)), "all images in the folder of this name")
        rows.append(("ids", f"{table.path}: {table.id}", f"id `{own}` -> {image}"))
        columns = "columns of 0 and 1" if table.has_sets else "one-hot columns"
        label = table.label if isinstance(table.label, str) else f"{len(table.label)} {columns}"
        rows.append(("labels", f"{table.path}: {label}", _classes(parts)))
        if table.group is not None:
            rows.append(("groups", f"{table.path}: {table.group}", table.why_group))
    elif parts.named is not None:
        image, label = next(iter(parts.named.labels.items()))
        rows.append(("labels", parts.named.pattern or "class folders", f"{image} -> {label}; {_classes(parts)}"))
    if parts.template is not None:
        shown = parts.template.header or ["no header"]
        what = _example(parts.meaning) if parts.template.ids else "no rows"
        rows.append(("template", f"{parts.template.path}: {', '.join(map(str, shown[:4]))}", f"id {what}"))
    return rows


def _classes(parts: Parts) -> str:
    classes = parts.classes
    kind = _kind(parts.table)
    return f"{len(classes)} {kind}: {', '.join(classes[:4])}{', ...' if len(classes) > 4 else ''}"


def _kind(table: LabelTable | None) -> str:
    return "labels, of which an image may have several" if table is not None and table.has_sets else "classes"


def _warnings(parts: Parts, form: SubmissionGuess) -> list[str]:
    found = [f"{path} cannot be read: {why}" for path, why in parts.found.unread.items()]
    found += template_guess.unusable(parts.found) if parts.template is None else []
    if parts.table is not None:
        found += _table_warnings(parts, parts.table)
    elif parts.named is None:
        found.append(f"no labels found: set contest.layout and contest.labels in the file{_unlike_names(parts)}")
    is_long = parts.meaning.pattern is not None or "class_column" in form.settings
    if parts.template is not None and not is_long and len(set(parts.template.ids)) < len(parts.template.ids):
        found.append(f"{parts.template.path}: ids stand in several rows")
    if parts.template is not None and parts.meaning.share < 1:
        found.append(f"{parts.template.path}: {1 - parts.meaning.share:.0%} of the ids name no test image")
    if parts.test is NO_IMAGES:
        found.append("there are no test images: the run ends with scores, and the submission is empty")
    used = {*parts.train.images, *parts.test.images}
    if left := [image for image in parts.found.images if image not in used]:
        found.append(f"images that are neither train nor test images: {len(left)}, e.g. {left[0]}")
    return found


def _table_warnings(parts: Parts, table: LabelTable) -> list[str]:
    found = []
    if 2 * len(table.classes) > len(table.ids) and all(as_number(name) is not None for name in table.classes):
        found.append(
            f"{table.path}: {len(table.classes)} different numbers in {len(table.ids)} rows; each is a class,"
            " because Podium has no regression: round them, e.g. to 100 distinct values"
        )
    n_double, unlike = label_table.repeats(table)
    if unlike:
        found.append(f"{table.path}: ids with several labels: {len(unlike)}, e.g. {unlike[0]}")
    elif n_double:
        found.append(f"{table.path}: ids in several rows, with one label each: {n_double}")
    labelled = parts.train_names.named(table.ids)
    bare = [] if table.by_folder else [image for image in parts.train.images if image not in labelled]
    if bare:
        found.append(f"train images without a label: {len(bare)}, e.g. {bare[0]}")
    if table.group is None:
        found += _groups_elsewhere(parts, table)
    if parts.left_out_group is not None:
        found.append(
            f"{table.path}: {parts.left_out_group} has one value for each class, so folds by it could score"
            " nothing: it is not used, and scores say nothing of new values"
        )
    if table.ids_read < 1:
        found.append(f"{table.path}: {1 - table.ids_read:.0%} of the ids name no train image")
    return found


def _groups_elsewhere(parts: Parts, table: LabelTable) -> list[str]:
    """Name tables beside the label table that seem to hold the groups of train images."""
    own = (table.path, "" if parts.template is None else parts.template.path)
    said = []
    for path in parts.found.tables:
        name = label_table.id_column(parts.found, path, parts.train_names) if path not in own else None
        if name is not None and (group := label_table.group_column(parts.found, path, {name})[0]):
            said.append(
                f"{path}: {group} looks like groups, but contest.columns.group is a column of {table.path}: add it"
                " there"
            )
    return said


def _unlike_names(parts: Parts) -> str:
    """Show what stands in tables that name no train image, e.g. because of other endings."""
    own = None if parts.template is None else parts.template.path
    others, without = [], []
    for path, table in parts.found.tables.items():
        cells = parts.found.columns[path, table.header[0]]
        if path == own or len(table.header) < 2 or not cells or not parts.train.images:
            continue
        if label_table.id_column(parts.found, path, parts.train_names) is None:
            others.append(f"{path} has {table.header[0]} {cells[0]!r}")
        else:
            without.append(path)
    found = f"; none of the other columns of {some(without, 3)} looks like labels" if without else ""
    if not others:
        return found
    image = inside(parts.train.folder or "", parts.train.images[0])
    return f"{found}; train images are e.g. {image}, but {some(others, 3)}"


def _group_counts(parts: Parts) -> list[int]:
    """Return the number of groups, or images without groups, of each class."""
    groups: dict[str, set[str]] = {}
    if (table := parts.table) is not None:
        column = parts.found.columns[table.path, table.group] if table.group else table.ids
        for label, group in zip(table.labels, column, strict=True):
            for name in targets.names_in([label]):
                groups.setdefault(name, set()).add(group)
    elif parts.named is not None:
        for image, label in parts.named.labels.items():
            groups.setdefault(parts.named.classes.get(label, label), set()).add(inside("", image))
    return [len(members) for label, members in groups.items() if label]
