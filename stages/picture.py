"""Stage `picture`: labels, facts, findings, clusters and pixels of the train images -> data/picture/.

Tables for plots (class_counts.csv, sizes.csv) and pictures: a contact sheet per class (classes/), clusters of
duplicates with their labels, and what `analyze` found. `dvc plots show` displays them all.
"""

from pathlib import Path

from stages.lib import cli, drawing, gallery, pixels, tables
from stages.lib.errors import some


def main(*, root: Path = Path()) -> None:
    """Write the tables and draw the sheets."""
    facts = tables.read(root / "data/prepare/train/facts.csv", tables.FACTS)
    labels = tables.read(root / "data/label/labels.csv", tables.LABELS)
    findings = tables.read(root / "data/analyze/findings.csv", tables.FINDINGS)
    clusters = tables.read(root / "data/analyze/clusters.csv", tables.CLUSTERS)
    pack = pixels.open_pack(root / "data/prepare/train/pixels.arrow")
    folder = root / "data/picture"
    used = labels[labels["use"] == "train"]
    counts = gallery.class_counts(labels)
    tables.write(counts, folder / "class_counts.csv", gallery.CLASS_COUNTS)
    tables.write(gallery.sizes(used, facts), folder / "sizes.csv", gallery.SIZES)
    for label, sheet in zip(counts["label"], counts["sheet"], strict=True):
        if sheet:
            ids = list(used.loc[used["label"] == label, "image_id"])
            drawing.write(gallery.class_sheet(label, ids, pack, len(counts)), folder / "classes" / sheet)
    label_of = dict(zip(labels["image_id"], labels["label"], strict=True))
    drawing.write(gallery.cluster_sheet(clusters, label_of, pack), folder / "clusters.png")
    drawing.write(gallery.finding_sheet(findings[findings["part"] == "train"], pack), folder / "findings.png")
    print(
        f"picture: {(counts['sheet'] != '').sum()} contact sheets and more in {folder}: `dvc plots show` displays them"
    )
    conflicts = gallery.conflicts(clusters, label_of)
    if conflicts:
        print(f"picture: duplicates with conflicting labels: {some(conflicts)}; see {folder}/clusters.png")


if __name__ == "__main__":
    cli.run(main)
