"""What the pictures of the train images show: which tiles, under which headings, in which order."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

import pandas as pd

from podium.pictures import drawing
from podium.pictures.drawing import Pixels, SheetSection, Tile

MAX_OWN_SHEETS, OWN_TILES = 24, 48  # classes that have a sheet each, and its images
PAGE_TILES, ALL_TILES = 160, 4000  # where more classes share pages: images of a page, and of all pages together
CLUSTERS, CLUSTER_TILES = 60, 8  # clusters shown, and images of each; of test images with twins in train likewise
CHECK_TILES = 16  # shown of each check of findings
FIRST, LAST = ("unusable",), ("near_duplicate", "same_pixels", "same_file", "note")  # checks; others by name between


class Pack(Protocol):
    """What is needed of a pack of pixels (podium.core.pixels.PixelPack)."""

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
    sections = []
    for label, image_ids in page.items():
        shown = drawing.spread(image_ids, limit)
        heading = f"{label}: {_of(len(shown), len(image_ids), 'image')}"
        sections.append(SheetSection(heading, [Tile(pack[i], (i,)) for i in shown]))
    if len(sections) == 1:
        return drawing.sheet(sections[0].heading, [SheetSection("", sections[0].tiles)])
    title = f"{min(page)} to {max(page)}: {len(page)} classes"
    return drawing.sheet(title, sections, flow=limit < drawing.COLUMNS)


def _tiles(n_classes: int) -> int:
    """Return how many images are drawn of each class: whole rows of a sheet, or half or a quarter of one."""
    if n_classes <= MAX_OWN_SHEETS:
        return OWN_TILES
    return next((n for n in (drawing.COLUMNS, drawing.COLUMNS // 2) if n * n_classes <= ALL_TILES), 2)


def conflicts(clusters: pd.DataFrame, label_of: Mapping[str, str], unused: Collection[str]) -> list[str]:
    """Return the clusters whose members bear different labels (images that are not used aside), in order."""
    labels = clusters.assign(label=clusters["image_id"].map(label_of))
    labels = labels[~labels["image_id"].isin(list(unused))]
    kinds = labels.groupby("cluster")["label"].nunique()
    return sorted(kinds.index[kinds > 1])


def cluster_sheet(
    clusters: pd.DataFrame, label_of: Mapping[str, str], unused: Collection[str], pack: Pack
) -> drawing.Canvas:
    """Draw clusters of duplicates side by side with their labels; conflicting labels come first, in red.

    Args:
        clusters: contracts.CLUSTERS.
        label_of: image_id -> label, "" where there is none.
        unused: images that overrides drop, or that have no label.
        pack: pixels.
    """
    wrong = set(conflicts(clusters, label_of, unused))
    members = {str(name): list(ids) for name, ids in clusters.groupby("cluster")["image_id"]}
    order = sorted(members, key=lambda name: (name not in wrong, -len(members[name]), name))
    told = {i: _told(label, i in unused) for i, label in label_of.items()}
    sections = [_cluster(members[name], name in wrong, told, pack) for name in order[:CLUSTERS]]
    title = f"Duplicates: {_of(len(sections), len(members), 'cluster')}, {len(wrong)} with conflicting labels"
    return drawing.sheet(title, sections, columns=CLUSTER_TILES, flow=True)


def _cluster(image_ids: list[str], wrong: bool, told: Mapping[str, str], pack: Pack) -> SheetSection:
    shown = _label_by_label(image_ids, told)[:CLUSTER_TILES]
    tiles = [Tile(pack[i], (i, told[i]), marked=wrong) for i in shown]
    heading = _of(len(shown), len(image_ids), "image") + (", LABELS DIFFER" if wrong else "")
    return SheetSection(heading, tiles, marked=wrong)


def _told(label: str, unused: bool) -> str:
    return f"{label}, not used" if label and unused else label or "(no label)"


def _label_by_label(image_ids: Iterable[str], label_of: Mapping[str, str]) -> list[str]:
    """Order images so that the first ones bear as many different labels as possible."""
    table = pd.DataFrame([(i, label_of[i]) for i in sorted(image_ids)], columns=["image_id", "label"])
    table["turn"] = table.groupby("label").cumcount()
    return list(table.sort_values(["turn", "image_id"])["image_id"])


def leak_sheet(leaks: pd.DataFrame, label_of: Mapping[str, str], train: Pack, test: Pack) -> drawing.Canvas:
    """Draw the test images of contracts.LEAKS, each before its duplicates in train, the most similar first."""
    twins = {str(i): rows for i, rows in leaks.groupby("test_image_id")}
    order = sorted(twins, key=lambda i: (-twins[i]["similarity"].max(), i))
    sections = [_leak(i, twins[i], label_of, train, test) for i in order[:CLUSTERS]]
    title = f"{_of(len(sections), len(twins), 'test image')} with a duplicate in train, and the label it leaks"
    return drawing.sheet(title, sections, columns=CLUSTER_TILES, flow=True)


def _leak(image_id: str, rows: pd.DataFrame, label_of: Mapping[str, str], train: Pack, test: Pack) -> SheetSection:
    rows = rows.sort_values(["similarity", "train_image_id"], ascending=[False, True])
    twins = list(zip(rows["train_image_id"], rows["kind"], strict=True))
    tiles = [Tile(train[i], (i, f"train: {label_of[i] or '(no label)'}", kind)) for i, kind in twins]
    shown = [Tile(test[image_id], (image_id, "test")), *tiles[: CLUSTER_TILES - 1]]
    return SheetSection(_of(len(shown) - 1, len(twins), "duplicate"), shown)


def finding_sheet(findings: pd.DataFrame, pack: Pack) -> drawing.Canvas:
    """Draw train images of each check of contracts.FINDINGS with the values found; unusable ones as empty tiles.

    The worst come first: those farthest from the threshold. Where there is none, some are drawn, by chance.
    """
    checks = {str(check): rows for check, rows in findings.groupby("check")}
    order = sorted(checks, key=lambda check: ((check in LAST) - (check in FIRST), check))
    counted = findings["subset"].value_counts()
    on_test = f", {counted['test']} on test images (not drawn)" if "test" in counted else ""
    title = f"Findings: {counted.get('train', 0)} on train images{on_test}; in brackets: the threshold"
    return drawing.sheet(title, [_check(check, checks[check], pack) for check in order])


def _check(check: str, findings: pd.DataFrame, pack: Pack) -> SheetSection:
    rows = findings[findings["subset"] == "train"]
    shown = _worst(rows)
    tiles = [
        Tile(_picture(pack, i), (i, f"{value} ({threshold})" if threshold else value))
        for i, value, threshold in zip(shown["image_id"], shown["value"], shown["threshold"], strict=True)
    ]
    elsewhere = len(findings) - len(rows)
    on_test = f", and {elsewhere} of test" if elsewhere else ""
    return SheetSection(f"{check}: {_of(len(shown), len(rows), 'train image')}{on_test}", tiles)


def _worst(rows: pd.DataFrame) -> pd.DataFrame:
    excess = [_excess(value, threshold) for value, threshold in zip(rows["value"], rows["threshold"], strict=True)]
    if any(math.isnan(e) for e in excess):  # facts, in words
        return rows[rows["image_id"].isin(drawing.spread(list(rows["image_id"]), CHECK_TILES))].sort_values("image_id")
    return rows.assign(excess=excess).sort_values(["excess", "image_id"], ascending=[False, True]).head(CHECK_TILES)


def _excess(value: str, threshold: str) -> float:
    """Return how far a value is from its threshold, or from the nearer end of a range, `1 to 2`; nan for words."""
    try:
        return min(abs(float(value) - float(end)) for end in threshold.split(" to "))
    except ValueError:
        return math.nan


def _picture(pack: Pack, image_id: str) -> Pixels | None:
    if image_id not in pack:
        return None
    return pack[image_id]


def _of(shown: int, there: int, what: str) -> str:
    counted = f"{there} {what}" + ("" if there == 1 else "s")
    return counted if shown == there else f"{shown} of {counted}"
