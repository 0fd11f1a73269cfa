"""Find the table of labels, and which of its columns hold ids, labels and groups."""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from podium.contest.ids import as_number
from podium.contest.labels import FLAGS
from podium.core import targets
from podium.discovery.image_names import LEAST_SHARE, ImageNames, spread
from podium.discovery.inventory import Inventory

SEPARATORS = ("|", ";", ",", " ")  # of the labels in a cell; blanks last, as they surround others too
REPEATS = "the only column whose values repeat"
FEW = 20  # one-hot columns need no template up to this many
LABEL_NAMES = tuple(  # best first; whole words of a header
    re.compile(rf"(^|_)({word})s?($|_)", re.IGNORECASE)
    for word in (
        "label",
        "class",
        "category",
        "target",
        "species",
        "breed",
        "diagnosis",
        "y",
        "answer",
        "score",
        "type",
    )
)
GROUP_NAMES = tuple(  # best first: the coarsest that images share more than their label
    re.compile(rf"(^|_)({word})(_?(id|name|no|number|code))?$", re.IGNORECASE)
    for word in (
        *("patient", "subject", "person|participant|volunteer", "individual", "case", "study", "lesion|slide"),
        *("location", "site", "hospital|center|centre|institution", "camera|cam", "farm|field|plot|plant", "place"),
        *("series", "sequence|seq", "burst", "session", "video|clip", "scene", "group"),
    )
)
Distinct = Mapping[str, set[str]]  # column -> its distinct cells, without empty ones
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True)
class LabelTable:
    """The table of labels.

    Attributes:
        path: relative to the contest's folder.
        id, label, group: names of columns; several labels are columns of 0 and 1; group is None if there is none.
        why_label, why_group: why these columns.
        other_groups: other columns that look like groups.
        labels: the label of each row, or its set of labels as podium.core.targets writes it; "" where there is none.
        ids: the id of each row.
        ids_read: share of ids that name a train image, or a folder of them.
        by_folder: ids name folders.
        separator: between the labels of a cell; None if a cell is one label.
    """

    path: str
    id: str
    label: str | tuple[str, ...]
    group: str | None
    why_label: str
    why_group: str
    other_groups: tuple[str, ...]
    labels: tuple[str, ...]
    ids: tuple[str, ...]
    ids_read: float
    by_folder: bool = False
    separator: str | None = None

    @property
    def classes(self) -> list[str]:
        """Return the distinct labels, sorted; those of sets one by one."""
        return sorted(targets.names_in(self.labels))

    @property
    def is_weak(self) -> bool:
        """Say whether only its repeated values tell the column of labels."""
        return self.why_label == REPEATS

    @property
    def has_sets(self) -> bool:
        """Say whether an image may have several labels."""
        return any(map(targets.is_cell, self.labels))


def find(
    found: Inventory, train: ImageNames, template: str | None, values: Sequence[str], cells: Collection[str]
) -> LabelTable | None:
    """Return the table that names most train images and has a column of labels; None if there is none.

    A column of labels by its name or by the template comes before one whose values repeat.

    Args:
        found: the contest's folder.
        train: the train images; all images while they are not known.
        template: path of the template, which is none.
        values: names of the template's columns of values.
        cells: of its one column of values.
    """
    tables = []
    for path in found.tables:
        if path == template or (own := id_column(found, path, train)) is None:
            continue
        if (table := of_ids(found, path, own, values, cells)) is not None:
            tables.append((not table.is_weak, len(train.named(table.ids)), -len(path), path, table))
    if not tables:
        return None
    table = max(tables)[-1]
    return replace(table, ids_read=train.share(table.ids))


def of_ids(found: Inventory, path: str, own: str, values: Sequence[str], cells: Collection[str]) -> LabelTable | None:
    """Return the table with this column of ids; None if no other column looks like labels."""
    chosen = label_column(found, path, own, values, cells)
    if chosen is None:
        return None
    label, why = chosen
    columns = {name: found.columns[path, name] for name in found.tables[path].header}
    group, why_group, others = group_column(found, path, {own, *([label] if isinstance(label, str) else label)})
    mark = _separator(columns[label]) if isinstance(label, str) else None
    return LabelTable(
        path=path,
        id=own,
        label=label,
        group=group,
        why_label=why,
        why_group=why_group,
        other_groups=others,
        labels=tuple(_labels(columns, label, mark)),
        ids=tuple(columns[own]),
        ids_read=1.0,
        separator=mark,
    )


def id_column(found: Inventory, path: str, images: ImageNames) -> str | None:
    """Return the column whose cells name images, each row another one; None if no column does."""
    scores = {}
    for name in found.tables[path].header:
        sample = spread(found.columns[path, name])
        share = images.share(sample)
        if share >= LEAST_SHARE:
            scores[name] = share * len(set(sample)) / len(sample)
    return max(scores, key=lambda name: scores[name]) if scores else None


def label_column(
    found: Inventory, path: str, own: str, values: Sequence[str], cells: Collection[str]
) -> tuple[str | tuple[str, ...], str] | None:
    """Return the column of labels, or one-hot columns, and why; None if no column looks like labels."""
    columns = {name: found.columns[path, name] for name in found.tables[path].header if name != own}
    distinct = {name: set(column) - {""} for name, column in columns.items()}
    distinct = {name: texts for name, texts in distinct.items() if len(texts) > 1}
    by_template = _by_columns(distinct, values) if len(values) > 1 else _by_column(distinct, values, cells)
    return by_template or _by_itself(columns, distinct)


def _by_columns(distinct: Distinct, values: Sequence[str]) -> tuple[str | tuple[str, ...], str] | None:
    """Compare columns with those of a template that has a column per class."""
    if len(hot := tuple(name for name in values if _is_hot(distinct.get(name, set())))) > 1:
        return hot, "the template has the same columns, and they hold 0 and 1"
    shares = {name: len(texts & set(values)) / len(values) for name, texts in distinct.items()}
    alike = {name: len(texts & set(values)) / len(texts | set(values)) for name, texts in distinct.items()}
    best = max((name for name in shares if shares[name] >= 0.5), key=lambda name: alike[name], default="")
    return (best, "it holds the names of the template's columns") if best else None


def _by_column(
    distinct: Distinct, values: Sequence[str], cells: Collection[str]
) -> tuple[str | tuple[str, ...], str] | None:
    """Compare columns with the name and the cells of a template's one column of values."""
    names = [name for name, texts in distinct.items() if cells and set(cells) <= texts and not _all_numbers(texts)]
    if len(names) == 1:
        return names[0], "it holds the labels of the template's cells"
    for value in values:
        if value in distinct:
            return value, "the template has a column of this name"
        if alike := [name for name in distinct if _are_alike(name, value)]:
            return alike[0], f"the template's column is called {value}"
    hot = tuple(name for name, texts in distinct.items() if _is_hot(texts))
    if len(hot) > 1 and cells and separator_of(cells, hot) is not None:
        return hot, "the template's cells hold names of these columns, which hold 0 and 1"
    tokens = {token for cell in cells for token in cell.split()}
    holding = [name for name, texts in distinct.items() if tokens and tokens <= texts and not _all_numbers(texts)]
    if len(holding) == 1 or (holding and len(tokens) > 1):
        return holding[0], "it holds the labels of the template's cells"
    return None


def _by_itself(columns: Mapping[str, Sequence[str]], distinct: Distinct) -> tuple[str | tuple[str, ...], str] | None:
    """Look at the columns' own names and values."""
    for pattern in LABEL_NAMES:
        if named := [name for name in distinct if pattern.search(_snake(name))]:
            return min(named, key=lambda name: (group_rank(name) is not None, len(name))), "its name says so"
    hot = tuple(name for name, texts in distinct.items() if _is_hot(texts))
    if 1 < len(hot) <= FEW and all(row.count("1") == 1 for row in _rows(columns, hot)):
        return hot, "each row has a 1 in one of these columns"
    few = [n for n, texts in distinct.items() if 2 * len(texts) <= len(columns[n]) and group_rank(n) is None]
    return (few[0], REPEATS) if len(few) == 1 else None


def group_column(found: Inventory, path: str, taken: Collection[str]) -> tuple[str | None, str, tuple[str, ...]]:
    """Return the column that looks most like patients or sites, why, and other such columns."""
    ranked = []
    for name in found.tables[path].header:
        n_values = len(set(found.columns[path, name]) - {""})
        if name not in taken and n_values > 1 and (rank := group_rank(name)) is not None:
            ranked.append((rank, name, n_values))
    if not ranked:
        return None, "no column looks like patients or sites", ()
    (_, name, n_values), *others = sorted(ranked)
    n_rows = len(found.columns[path, name])
    return (
        name,
        f"{n_values} values in {n_rows} rows: one value's images stay in one fold",
        tuple(n for _, n, _ in others),
    )


def is_group_of_one_class(found: Inventory, table: LabelTable) -> bool:
    """Say whether each class has one value of the group column: then no class can be in two folds."""
    if table.group is None:
        return False
    groups: dict[str, set[str]] = {}
    for label, group in zip(table.labels, found.columns[table.path, table.group], strict=True):
        for name in targets.names_in([label]):
            groups.setdefault(name, set()).add(group)
    return bool(groups) and all(len(values) == 1 and "" not in values for values in groups.values())


def group_rank(name: str) -> int | None:
    """Return the place of a header among GROUP_NAMES; None if it is not like one of them."""
    return next((at for at, pattern in enumerate(GROUP_NAMES) if pattern.search(_snake(name))), None)


def repeats(table: LabelTable) -> tuple[int, list[str]]:
    """Return the number of ids that stand in several rows, and those of them whose labels differ."""
    n_labels = Counter(own for own, _ in set(zip(table.ids, table.labels, strict=True)))
    double = [own for own, n in Counter(table.ids).items() if n > 1]
    return len(double), [own for own in double if n_labels[own] > 1]


def are_spelled_unlike(labels: Collection[str]) -> bool:
    """Say whether labels are numbers of which one is spelled in several ways, e.g. 1 and 1.0."""
    numbers = [as_number(label) for label in labels]
    return bool(numbers) and None not in numbers and len(set(numbers)) < len(set(labels))


def _labels(columns: Mapping[str, Sequence[str]], label: str | tuple[str, ...], mark: str | None) -> list[str]:
    if isinstance(label, str):
        return [targets.as_cell(_parts(cell, mark)) if mark and cell else cell for cell in columns[label]]
    rows = _rows(columns, label)
    if any(row.count("1") > 1 for row in rows):
        return [targets.as_cell(name for name, one in zip(label, row, strict=True) if one == "1") for row in rows]
    return [label[row.index("1")] if "1" in row else "" for row in rows]


def separator_of(cells: Collection[str], names: Collection[str]) -> str | None:
    """Return what separates these names in cells, a blank where each cell is one; None if they hold others."""
    known = set(names)
    return next((mark for mark in (" ", *SEPARATORS) if all(set(_parts(cell, mark)) <= known for cell in cells)), None)


def _separator(cells: Sequence[str]) -> str | None:
    """Return what separates the labels of cells that hold sets of them; None if each cell is one label.

    Names of classes have blanks, too. In sets most of the parts stand in other cells as well, and half of the sets or
    more have a part that stands alone in a cell.
    """
    distinct = set(cells) - {""}
    for mark in SEPARATORS:
        sets = [frozenset(_parts(cell, mark)) for cell in distinct]
        several = [names for names in sets if len(names) > 1]
        alone = {name for names in sets if len(names) == 1 for name in names}
        counts = Counter(name for names in sets for name in names)
        parts = [name for names in several for name in names]
        again = sum(counts[name] > 1 for name in parts)
        if len(several) > 1 and again >= 0.8 * len(parts) and 2 * sum(bool(s & alone) for s in several) >= len(several):
            return mark
    return None


def _parts(cell: str, mark: str) -> list[str]:
    """Return the labels in a cell."""
    return [part for text in cell.split(mark) if (part := text.strip())]


def _rows(columns: Mapping[str, Sequence[str]], hot: Sequence[str]) -> list[tuple[str, ...]]:
    return [tuple(map(_as_flag, row)) for row in zip(*(columns[name] for name in hot), strict=True)]


def _is_hot(texts: Collection[str]) -> bool:
    return bool(texts) and set(map(_as_flag, texts)) == {"0", "1"}


def _as_flag(cell: str) -> str:
    """Return 0 and 1 in one spelling, and other cells as they are."""
    return FLAGS.get(cell.lower(), cell.removesuffix(".0"))


def _all_numbers(texts: Collection[str]) -> bool:
    return all(as_number(text) is not None for text in texts)


def _are_alike(name: str, value: str) -> bool:
    a, b = (re.sub(r"[^a-z0-9]", "", text.lower()) for text in (name, value))
    return min(len(a), len(b)) >= 4 and (a in b or b in a)


def _snake(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", _CAMEL.sub("_", name))
