"""What the pictures of the train images show: which tiles, under which headings, in which order."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import pandas as pd

from stages.lib import drawing, tables
from stages.lib.drawing import Pixels, Section, Tile

CLASS_COUNTS = tables.Contract(
    {
        "label": "text",
        "images": "int",  # that are used
        "skipped": "int",  # labelled, and not used
        "sheet": "text",  # its contact sheet in classes/; "" where no image is used
    },
    key=("label",),
)
SIZES = tables.Contract(  # of every used image
    {
        "image_id": "text",
        "label": "text",
        "width": "int",  # pixels, upright
        "height": "int",
        "aspect_ratio": "float",  # width / height
        "megapixels": "float",
        "bytes": "int",
    }
)
CLASS_TILES, MIN_CLASS_TILES, ALL_CLASS_TILES = 48, 12, 2400  # a class, at least, and in all where classes are many
CLUSTERS, CLUSTER_TILES = 60, 8  # shown
CHECK_TILES = 16  # shown of each check of findings


class Pack(Protocol):
    """What is needed of a pack of pixels (stages.lib.pixels.Packed)."""

    def __getitem__(self, image_id: str) -> Pixels:
        """Return the image, (height, width, 3)."""
        ...

    def __contains__(self, image_id: object) -> bool:
        """Say whether the image is there: unreadable ones are not."""
        ...


def class_counts(labels: pd.DataFrame) -> pd.DataFrame:
    """Count the images of tables.LABELS by class, and name each class's sheet; in the order of labels."""
    labelled = labels[labels["label"] != ""]
    counts = pd.crosstab(labelled["label"], labelled["use"]).reindex(columns=["train", "skip"], fill_value=0)
    counts = counts.sort_index().reset_index().rename(columns={"train": "images", "skip": "skipped"})
    width = len(str(max(len(counts) - 1, 0)))
    counts["sheet"] = [
        f"{k:0{width}}_{drawing.slug(label)}.png" if images else ""
        for k, (label, images) in enumerate(zip(counts["label"], counts["images"], strict=True))
    ]
    return counts.rename_axis(columns=None)


def sizes(used: pd.DataFrame, facts: pd.DataFrame) -> pd.DataFrame:
    """Join labels to the images' sizes, by image_id."""
    table = used[["image_id", "label"]].merge(facts, on="image_id", how="left", validate="one_to_one")
    table["aspect_ratio"] = (table["width"] / table["height"]).round(4)
    table["megapixels"] = (table["width"] * table["height"] / 1e6).round(4)
    return table[list(SIZES.columns)].sort_values("image_id")


def class_sheet(label: str, image_ids: Sequence[str], pack: Pack, n_classes: int) -> drawing.Canvas:
    """Draw some of a class's images, spread over the class; fewer of each where classes are many."""
    limit = max(MIN_CLASS_TILES, min(CLASS_TILES, ALL_CLASS_TILES // n_classes))
    shown = drawing.spread(image_ids, limit)
    title = f"{label}: {_of(len(shown), len(image_ids), 'image')}"
    return drawing.sheet(title, [Section("", [Tile(pack[i], (i,)) for i in shown])])


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
    """Draw some images of each check of tables.FINDINGS with the values found; unusable ones as empty tiles."""
    sections = []
    for check, rows in findings.groupby("check"):
        shown = rows[rows["image_id"].isin(drawing.spread(list(rows["image_id"]), CHECK_TILES))]
        tiles = [
            Tile(_picture(pack, i), (i, f"{value} ({threshold})" if threshold else value))
            for i, value, threshold in zip(shown["image_id"], shown["value"], shown["threshold"], strict=True)
        ]
        sections.append(Section(f"{check}: {_of(len(shown), len(rows), 'image')}", tiles))
    return drawing.sheet(f"Findings on train images: {len(findings)}; in brackets: the threshold", sections)


def _picture(pack: Pack, image_id: str) -> Pixels | None:
    if image_id not in pack:
        return None
    return pack[image_id]


def _of(shown: int, there: int, what: str) -> str:
    counted = f"{there} {what}" + ("" if there == 1 else "s")
    return counted if shown == there else f"{shown} of {counted}"
