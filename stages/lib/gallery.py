"""What the pictures of the train images show: which tiles, under which headings, in which order."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import pandas as pd

from stages.lib import drawing
from stages.lib.drawing import Pixels, Section, Tile

MAX_OWN_SHEETS, OWN_TILES = 24, 48  # classes that have a sheet each, and its images
PAGE_TILES, ALL_TILES = 160, 4000  # where more classes share pages: images of a page, and of all pages together
CLUSTERS, CLUSTER_TILES = 60, 8  # shown
CHECK_TILES = 16  # shown of each check of findings
FIRST, LAST = ("unusable",), ("near_duplicate", "same_pixels", "same_file", "note")  # checks; others by name between


class Pack(Protocol):
    """What is needed of a pack of pixels (stages.lib.pixels.Packed)."""

    def __getitem__(self, image_id: str) -> Pixels:
        """Return the image, (height, width, 3)."""
        ...

    def __contains__(self, image_id: object) -> bool:
        """Say whether the image is there: unreadable ones are not."""
        ...


def class_pages(labels: Iterable[str]) -> dict[str, list[str]]:
    """Share classes out among sheets: file name -> its classes, in their order; few classes have a sheet each."""
    classes = sorted(labels)
    if len(classes) <= MAX_OWN_SHEETS:
        width = len(str(max(len(classes) - 1, 0)))
        return {f"{k:0{width}}_{drawing.slug(label)}.png": [label] for k, label in enumerate(classes)}
    on_page = PAGE_TILES // _tiles(len(classes))
    pages = [classes[k : k + on_page] for k in range(0, len(classes), on_page)]
    width = len(str(len(pages)))
    return {f"page_{k:0{width}}.png": page for k, page in enumerate(pages, start=1)}


def class_page(page: Mapping[str, Sequence[str]], pack: Pack, n_classes: int) -> drawing.Canvas:
    """Draw some images of each class of a page, spread over the class.

    Args:
        page: class -> all of its images.
        pack: their pixels.
        n_classes: on all pages; the more there are, the fewer images are drawn of each.
    """
    limit = _tiles(n_classes)
    shown = {label: drawing.spread(image_ids, limit) for label, image_ids in page.items()}
    headings = {label: f"{label}: {_of(len(shown[label]), len(page[label]), 'image')}" for label in page}
    sections = [Section(headings[label], [Tile(pack[i], (i,)) for i in shown[label]]) for label in page]
    title = next(iter(headings.values())) if len(page) == 1 else f"{min(page)} to {max(page)}: {len(page)} classes"
    if len(page) == 1:
        sections = [Section("", sections[0].tiles)]
    return drawing.sheet(title, sections, flow=limit < drawing.COLUMNS)


def _tiles(n_classes: int) -> int:
    """Return how many images are drawn of each class: whole rows of a sheet, or half or a quarter of one."""
    if n_classes <= MAX_OWN_SHEETS:
        return OWN_TILES
    return next((n for n in (drawing.COLUMNS, drawing.COLUMNS // 2) if n * n_classes <= ALL_TILES), 2)


def conflicts(clusters: pd.DataFrame, label_of: Mapping[str, str]) -> list[str]:
    """Return the clusters whose members bear different labels (images without a label aside), in order."""
    labels = clusters.assign(label=clusters["image_id"].map(label_of))
    kinds = labels[labels["label"] != ""].groupby("cluster")["label"].nunique()
    return sorted(kinds.index[kinds > 1])


def cluster_sheet(clusters: pd.DataFrame, label_of: Mapping[str, str], pack: Pack) -> drawing.Canvas:
    """Draw clusters of duplicates side by side with their labels; conflicting labels come first, in red."""
    wrong = set(conflicts(clusters, label_of))
    members = {str(name): list(ids) for name, ids in clusters.groupby("cluster")["image_id"]}
    order = sorted(members, key=lambda name: (name not in wrong, -len(members[name]), name))
    sections = [_cluster(members[name], name in wrong, label_of, pack) for name in order[:CLUSTERS]]
    title = f"Duplicates: {_of(len(sections), len(members), 'cluster')}, {len(wrong)} with conflicting labels"
    return drawing.sheet(title, sections, columns=CLUSTER_TILES, flow=True)


def _cluster(image_ids: list[str], wrong: bool, label_of: Mapping[str, str], pack: Pack) -> Section:
    shown = image_ids[:CLUSTER_TILES]
    tiles = [Tile(pack[i], (i, label_of[i] or "(no label)"), marked=wrong) for i in shown]
    heading = _of(len(shown), len(image_ids), "image") + (", LABELS DIFFER" if wrong else "")
    return Section(heading, tiles, marked=wrong)


def finding_sheet(findings: pd.DataFrame, pack: Pack) -> drawing.Canvas:
    """Draw train images of each check of tables.FINDINGS with the values found; unusable ones as empty tiles.

    The worst come first: those farthest from the threshold. Where there is none, some are drawn, by chance.
    """
    checks = {str(check): rows for check, rows in findings.groupby("check")}
    order = sorted(checks, key=lambda check: ((check in LAST) - (check in FIRST), check))
    counted = findings["part"].value_counts()
    title = f"Findings: {counted.get('train', 0)} on train images, {counted.get('test', 0)} on test images, not drawn"
    sections = [_check(check, checks[check], pack) for check in order]
    return drawing.sheet(f"{title}; in brackets: the threshold", sections)


def _check(check: str, findings: pd.DataFrame, pack: Pack) -> Section:
    rows = findings[findings["part"] == "train"]
    shown = _worst(rows)
    tiles = [
        Tile(_picture(pack, i), (i, f"{value} ({threshold})" if threshold else value))
        for i, value, threshold in zip(shown["image_id"], shown["value"], shown["threshold"], strict=True)
    ]
    elsewhere = len(findings) - len(rows)
    on_test = f", and {elsewhere} of test" if elsewhere else ""
    return Section(f"{check}: {_of(len(shown), len(rows), 'train image')}{on_test}", tiles)


def _worst(rows: pd.DataFrame) -> pd.DataFrame:
    value, threshold = (pd.to_numeric(rows[column], errors="coerce") for column in ("value", "threshold"))
    if (value - threshold).isna().any():  # facts, in words
        return rows[rows["image_id"].isin(drawing.spread(list(rows["image_id"]), CHECK_TILES))].sort_values("image_id")
    excess = (value - threshold).abs()
    return rows.assign(excess=excess).sort_values(["excess", "image_id"], ascending=[False, True]).head(CHECK_TILES)


def _picture(pack: Pack, image_id: str) -> Pixels | None:
    if image_id not in pack:
        return None
    return pack[image_id]


def _of(shown: int, there: int, what: str) -> str:
    counted = f"{there} {what}" + ("" if there == 1 else "s")
    return counted if shown == there else f"{shown} of {counted}"
