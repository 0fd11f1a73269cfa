"""Stage `picture`: facts, pixels, labels and the tables of `analyze` -> data/picture/, tables and PNG files to look at.

`dvc plots show` draws the tables (podium/pictures/plot_tables.py). The PNG files are contact sheets of the classes
(classes/), duplicates in train (clusters.png), test images with duplicates in train (leaks.png) and findings.png.
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from podium import contracts
from podium.core import cli, pixels, progress, tables, targets
from podium.core.errors import some
from podium.pictures import drawing, gallery, measures, plot_tables

SUBSETS = ("train", "test")
SIZE_COLOUR = "#0072b2"  # of marks that do not take the image's mean colour
SPREADS = {  # measure -> colour of its marks
    "aspect_ratio": SIZE_COLOUR,
    "megapixels": SIZE_COLOUR,
    "kilobytes": SIZE_COLOUR,
    "brightness": None,
    "red_minus_blue": None,
}


def main(*, root: Path = Path()) -> None:
    """Write the tables and draw the sheets."""
    facts = {subset: tables.read(root / f"data/prepare/{subset}/facts.csv", contracts.FACTS) for subset in SUBSETS}
    packs = {subset: pixels.open_rgb(root / f"data/prepare/{subset}/pixels.arrow") for subset in SUBSETS}
    labels = tables.read(root / "data/label/labels.csv", contracts.LABELS)
    used = labels.loc[labels["use"] == "train", ["image_id", "label"]]
    folder = root / "data/picture"
    by_label = targets.one_label_a_row(used)
    pages = gallery.class_pages(by_label["label"].unique())
    counts = plot_tables.class_counts(labels, {label: name for name, page in pages.items() for label in page})
    tables.write(counts, folder / "class_counts.csv", plot_tables.CLASS_COUNTS)
    tables.write(plot_tables.file_sizes(facts), folder / "file_sizes.csv", plot_tables.FILE_SIZES)
    train = _measured(facts["train"], packs["train"], list(used["image_id"]), "train")
    test = _measured(facts["test"], packs["test"], packs["test"].image_ids, "test")
    _write_spreads(used.merge(train, on="image_id", validate="one_to_one"), test, folder)
    _draw_classes(by_label, packs["train"], pages, folder / "classes")
    label_of = dict(zip(labels["image_id"], labels["label"], strict=True))
    unused = set(labels.loc[labels["use"] != "train", "image_id"])
    _draw_findings(label_of, unused, packs, root / "data/analyze", folder)
    print(f"picture: {len(pages)} contact sheets, plot tables and findings in {folder}; see `dvc plots show`")


def _write_spreads(train: pd.DataFrame, test: pd.DataFrame, folder: Path) -> None:
    tables.write(plot_tables.sizes(train), folder / "sizes.csv", plot_tables.SIZES)
    stacked = plot_tables.stack(train, test)
    for measure, colour in SPREADS.items():
        spread = plot_tables.spread(stacked, measure, colour)
        tables.write(spread, folder / f"{measure}.csv", plot_tables.SPREAD)


def _measured(facts: pd.DataFrame, pack: pixels.PixelPack, image_ids: list[str], subset: str) -> pd.DataFrame:
    shown = tqdm(image_ids, f"picture {subset}", disable=not progress.shown())
    return measures.of_images(facts, pack, shown)


def _draw_classes(used: pd.DataFrame, pack: pixels.PixelPack, pages: dict[str, list[str]], folder: Path) -> None:
    of_class = {str(label): list(image_ids) for label, image_ids in used.groupby("label")["image_id"]}
    for name, page in pages.items():
        sheet = gallery.class_page({label: of_class[label] for label in page}, pack, len(of_class))
        drawing.write(sheet, folder / name)


def _draw_findings(
    label_of: dict[str, str], unused: set[str], packs: Mapping[str, pixels.PixelPack], analysis: Path, folder: Path
) -> None:
    findings = tables.read(analysis / "findings.csv", contracts.FINDINGS)
    clusters = tables.read(analysis / "clusters.csv", contracts.CLUSTERS)
    leaks = tables.read(analysis / "leaks.csv", contracts.LEAKS)
    drawing.write(gallery.cluster_sheet(clusters, label_of, unused, packs["train"]), folder / "clusters.png")
    drawing.write(gallery.leak_sheet(leaks, label_of, packs["train"], packs["test"]), folder / "leaks.png")
    drawing.write(gallery.finding_sheet(findings, packs["train"]), folder / "findings.png")
    conflicts = gallery.conflicts(clusters, label_of, unused)
    if conflicts:
        print(f"picture: duplicates with conflicting labels: {some(conflicts)}; see {folder}/clusters.png")


if __name__ == "__main__":
    cli.run(main)
