"""Several images of one case: ids that name folders, and the columns that say what a row of the template averages."""

from collections.abc import Sequence
from itertools import combinations

from podium.contest import cases
from podium.discovery.image_names import spread
from podium.discovery.inventory import Inventory
from podium.discovery.label_table import LabelTable
from podium.discovery.subsets import ImageSet
from podium.discovery.template_guess import IdMeaning, TemplateGuess

LEAST_SHARE = 0.9  # of ids that name a folder
CaseColumns = str | list[str] | None

MOST_COLUMNS = 2  # that identify a case together


def folder_column(found: Inventory, path: str, train: ImageSet) -> str | None:
    """Return the column of a table whose cells name folders of train images; None if there is none."""
    folders = cases.of_folders(train.ids)
    for name in found.tables[path].header:
        cells = spread(found.columns[path, name])
        n_named = sum(cell in folders for cell in cells)
        if cells and len(set(cells)) > 1 and n_named >= LEAST_SHARE * len(cells) and len(set(cells)) == len(cells):
            return name
    return None


def folder_pattern(ids: Sequence[str], test: ImageSet) -> tuple[str, str] | None:
    """Return a pattern whose group `id` is the folder that ids name, and the first image; None if they name none."""
    known = set(ids)
    for image in test.ids:
        for depth, folder in enumerate(image.split("/")[:-1]):
            if folder in known:
                deeper = f"(?:[^/]+/){{{depth}}}" if depth else ""
                return f"^{deeper}(?P<id>[^/]+)/", image
    return None


def averaged(found: Inventory, table: LabelTable, meaning: IdMeaning, template: TemplateGuess) -> CaseColumns:
    """Return the label table's columns that identify what a row of the template means, where it means several images.

    They stand in the list of test images too, and there they change with the template's id and only with it.
    """
    if not meaning.table or not template.ids:
        return None
    ids = found.columns[meaning.table, meaning.id]
    if len(set(ids)) == len(ids):
        return None
    header = [name for name in found.tables[meaning.table].header if name not in (meaning.id, meaning.file)]
    shared = [name for name in header if name in found.tables[table.path].header and name != table.id]
    for size in range(1, MOST_COLUMNS + 1):
        for names in combinations(shared, size):
            rows = list(zip(*(found.columns[meaning.table, name] for name in names), strict=True))
            if len(set(rows)) == len(set(ids)) == len(set(zip(ids, rows, strict=True))):
                return names[0] if size == 1 else list(names)
    return None
