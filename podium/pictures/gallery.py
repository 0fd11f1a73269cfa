"""Choose and arrange the images of the sheets: classes, duplicates, test images with duplicates in train, findings."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence

import pandas as pd

from podium.core.wording import counted_of
from podium.pictures import drawing
from podium.pictures.drawing import Pixels, SheetSection, Tile
from podium.pictures.pack import ImagePack

MAX_OWN_SHEETS, OWN_TILES = 24, 48  # most classes with a sheet each; images on such a sheet
PAGE_TILES, ALL_TILES = 160, 4000  # where classes share pages: images on a page; images on all pages together
CLUSTERS, CLUSTER_TILES = 60, 8  # clusters (or test images with duplicates in train) on a sheet; images of each
CHECK_TILES = 16  # images of each check of findings
FIRST, LAST = ("unusable",), ("near_duplicate", "same_pixels", "same_file", "note")  # checks; others by name between


def class_pages(labels: Iterable[str]) -> dict[str, list[str]]:
    """Assign classes to sheets: file name -> classes, in order. Up to MAX_OWN_SHEETS classes get a sheet each."""
    classes = sorted(labels)
    if len(classes) <= MAX_OWN_SHEETS:
        width = len(str(max(len(classes) - 1, 0)))
        return {f"{k:0{width}}_{drawing.slug(label)}.png": [label] for k, label in enumerate(classes)}
    on_page = PAGE_TILES // _tiles(len(classes))
    pages = [classes[k : k + on_page] for k in range(0, len(classes), on_page)]
    width = len(str(len(pages)))
    return {f"page_{k:0{width}}.png": page for k, page in enumerate(pages, start=1)}


def class_page(page: Mapping[str, Sequence[str]], pack: ImagePack, n_classes: int) -> drawing.Canvas:
    """Draw a sample of the images of each class of a page.

    Args:
        page: class -> all its images.
        pack: their pixels.
        n_classes: number of classes on all pages; the more, the fewer images of each.
    """
    limit = _tiles(n_classes)
    sections = []
    for label, image_ids in page.items():
        shown = drawing.spread(image_ids, limit)
        heading = f"{label}: {counted_of(len(shown), len(image_ids), 'image')}"
        sections.append(SheetSection(heading, [Tile(pack[i], (i,)) for i in shown]))
    if len(sections) == 1:
        return drawing.sheet(sections[0].heading, [SheetSection("", sections[0].tiles)])
    title = f"{min(page)} to {max(page)}: {len(page)} classes"
    return drawing.sheet(title, sections, flow=limit < drawing.COLUMNS)


def _tiles(n_classes: int) -> int:
    """Return the number of images of each class: whole rows of a sheet, or a half or a quarter of a row."""
    if n_classes <= MAX_OWN_SHEETS:
        return OWN_TILES
    return next((n for n in (drawing.COLUMNS, drawing.COLUMNS // 2) if n * n_classes <= ALL_TILES), 2)


def conflicts(clusters: pd.DataFrame, label_of: Mapping[str, str], unused: Collection[str]) -> list[str]:
    """Return the clusters whose used images have different labels, sorted."""
    labels = clusters.assign(label=clusters["image_id"].map(label_of))
    labels = labels[~labels["image_id"].isin(list(unused))]
    kinds = labels.groupby("cluster")["label"].nunique()
    return sorted(kinds.index[kinds > 1])


def cluster_sheet(
    clusters: pd.DataFrame, label_of: Mapping[str, str], unused: Collection[str], pack: ImagePack
) -> drawing.Canvas:
    """Draw clusters of duplicates with their labels; clusters with conflicting labels come first, in red.

    Args:
        clusters: contracts.CLUSTERS.
        label_of: image_id -> label, "" for none.
        unused: images without a label, and images that overrides drop.
        pack: their pixels.
    """
    conflicting = set(conflicts(clusters, label_of, unused))
    members = {str(name): list(ids) for name, ids in clusters.groupby("cluster")["image_id"]}
    order = sorted(members, key=lambda name: (name not in conflicting, -len(members[name]), name))
    captions = {i: _caption(label, i in unused) for i, label in label_of.items()}
    sections = [_cluster(members[name], name in conflicting, captions, pack) for name in order[:CLUSTERS]]
    drawn = counted_of(len(sections), len(members), "cluster")
    title = f"Duplicates: {drawn}, {len(conflicting)} with conflicting labels"
    return drawing.sheet(title, sections, columns=CLUSTER_TILES, flow=True)


def _cluster(image_ids: list[str], conflicting: bool, captions: Mapping[str, str], pack: ImagePack) -> SheetSection:
    shown = _label_by_label(image_ids, captions)[:CLUSTER_TILES]
    tiles = [Tile(pack[i], (i, captions[i]), marked=conflicting) for i in shown]
    heading = counted_of(len(shown), len(image_ids), "image") + (", LABELS DIFFER" if conflicting else "")
    return SheetSection(heading, tiles, marked=conflicting)


def _caption(label: str, unused: bool) -> str:
    return f"{label}, not used" if label and unused else label or "(no label)"


def _label_by_label(image_ids: Iterable[str], label_of: Mapping[str, str]) -> list[str]:
    """Order images so that the first ones have as many different labels as possible."""
    table = pd.DataFrame([(i, label_of[i]) for i in sorted(image_ids)], columns=["image_id", "label"])
    table["turn"] = table.groupby("label").cumcount()
    return list(table.sort_values(["turn", "image_id"])["image_id"])


def leak_sheet(leaks: pd.DataFrame, label_of: Mapping[str, str], train: ImagePack, test: ImagePack) -> drawing.Canvas:
    """Draw each test image of contracts.LEAKS before its duplicates in train, the most similar ones first."""
    duplicates = {str(i): rows for i, rows in leaks.groupby("test_image_id")}
    order = sorted(duplicates, key=lambda i: (-duplicates[i]["similarity"].max(), i))
    sections = [_leak(i, duplicates[i], label_of, train, test) for i in order[:CLUSTERS]]
    drawn = counted_of(len(sections), len(duplicates), "test image")
    title = f"{drawn} with a duplicate in train, and the label it leaks"
    return drawing.sheet(title, sections, columns=CLUSTER_TILES, flow=True)


def _leak(
    image_id: str, rows: pd.DataFrame, label_of: Mapping[str, str], train: ImagePack, test: ImagePack
) -> SheetSection:
    rows = rows.sort_values(["similarity", "train_image_id"], ascending=[False, True])
    duplicates = list(zip(rows["train_image_id"], rows["kind"], strict=True))
    tiles = [Tile(train[i], (i, f"train: {label_of[i] or '(no label)'}", kind)) for i, kind in duplicates]
    shown = [Tile(test[image_id], (image_id, "test")), *tiles[: CLUSTER_TILES - 1]]
    return SheetSection(counted_of(len(shown) - 1, len(duplicates), "duplicate"), shown)


def finding_sheet(findings: pd.DataFrame, pack: ImagePack) -> drawing.Canvas:
    """Draw train images of each check of contracts.FINDINGS with their values; unusable images are empty tiles.

    Images farthest from the threshold come first. A check without a threshold shows a random sample.
    """
    checks = {str(check): rows for check, rows in findings.groupby("check")}
    order = sorted(checks, key=lambda check: ((check in LAST) - (check in FIRST), check))
    by_subset = findings["subset"].value_counts()
    on_test = f", {by_subset['test']} on test images (not drawn)" if "test" in by_subset else ""
    title = f"Findings: {by_subset.get('train', 0)} on train images{on_test}; in brackets: the threshold"
    return drawing.sheet(title, [_check(check, checks[check], pack) for check in order])


def _check(check: str, findings: pd.DataFrame, pack: ImagePack) -> SheetSection:
    rows = findings[findings["subset"] == "train"]
    shown = _worst(rows)
    tiles = [
        Tile(_picture(pack, i), (i, f"{value} ({threshold})" if threshold else value))
        for i, value, threshold in zip(shown["image_id"], shown["value"], shown["threshold"], strict=True)
    ]
    n_test = len(findings) - len(rows)
    on_test = f", and {n_test} of test" if n_test else ""
    return SheetSection(f"{check}: {counted_of(len(shown), len(rows), 'train image')}{on_test}", tiles)


def _worst(rows: pd.DataFrame) -> pd.DataFrame:
    excess = [_excess(value, threshold) for value, threshold in zip(rows["value"], rows["threshold"], strict=True)]
    if any(math.isnan(e) for e in excess):  # values in words
        return rows[rows["image_id"].isin(drawing.spread(list(rows["image_id"]), CHECK_TILES))].sort_values("image_id")
    return rows.assign(excess=excess).sort_values(["excess", "image_id"], ascending=[False, True]).head(CHECK_TILES)


def _excess(value: str, threshold: str) -> float:
    """Return the distance from a threshold, or from the nearer end of a range such as "1 to 2"; NaN for words."""
    try:
        return min(abs(float(value) - float(end)) for end in threshold.split(" to "))
    except ValueError:
        return math.nan


def _picture(pack: ImagePack, image_id: str) -> Pixels | None:
    if image_id not in pack:
        return None
    return pack[image_id]
