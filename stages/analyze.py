"""Stage `analyze`: find duplicates, leaks between train and test, and odd images, into data/analyze/.

Reads facts and pixels of both subsets, and no labels. Writes findings.csv, clusters.csv (train images only, so that a
new test image changes no fold), leaks.csv (test images with a duplicate in train, and their most similar train images)
and summary.json.
"""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from podium import contracts
from podium.analysis import duplicates, findings, fingerprints, image_checks, search_summary
from podium.analysis.settings import AnalyzeSettings
from podium.core import cli, parallel, params, pixels, progress, tables
from podium.core.errors import InputError, some

SUBSETS = ("train", "test")


def main(*, root: Path = Path()) -> None:
    """Search both subsets for odd images and for duplicates."""
    settings = params.load("analyze", AnalyzeSettings, root)
    facts = {subset: _images(root / f"data/prepare/{subset}/facts.csv") for subset in SUBSETS}
    prints = {subset: _prints(facts[subset], root / f"data/prepare/{subset}/pixels.arrow") for subset in SUBSETS}
    result = duplicates.search(
        prints["train"],
        prints["test"],
        max_hash_distance=settings.max_hash_distance,
        min_similarity=settings.min_similarity,
        workers=parallel.worker_count(),
    )
    sha256 = {
        (subset, i): s
        for subset in SUBSETS
        for i, s in zip(facts[subset]["image_id"], facts[subset]["sha256"], strict=True)
    }
    rows = [row for subset in SUBSETS for row in findings.of_facts(facts[subset], subset)]
    for subset in SUBSETS:
        measured = _measured(facts[subset], root / f"data/prepare/{subset}/pixels.arrow")
        rows += image_checks.find(measured, facts[subset], subset, settings.thresholds.model_dump())
    for subset, p in prints.items():
        rows += findings.of_contrast(
            p.image_ids, fingerprints.contrasts(p.thumbs[:, 0]), subset, fingerprints.MIN_CONTRAST
        )
    rows += findings.of_files(sha256) + findings.of_pixels(result.exact, sha256)
    rows += findings.of_nearness(result.nearest, settings.min_similarity)
    _write(findings.table(rows), result, prints, root / "data/analyze")


def _images(path: Path) -> pd.DataFrame:
    """Read the facts of images, unusable ones too, without files that are no images."""
    facts = tables.read(path, contracts.FACTS)
    return facts[~facts["problem"].str.startswith(contracts.NOT_AN_IMAGE)]


def _prints(facts: pd.DataFrame, path: Path) -> fingerprints.Prints:
    """Fingerprint the usable images; facts.csv and the pack must have the same images."""
    pack = pixels.open_rgb(path)
    usable = facts.loc[facts["problem"] == "", "image_id"]
    differing = sorted(set(usable) ^ set(pack.image_ids))
    if differing:
        raise InputError(f"{path}: does not fit facts.csv beside it: {some(differing)}; run `dvc repro -f prepare`")

    def bar(done: Iterable[fingerprints.Print]) -> Iterable[fingerprints.Print]:
        return tqdm(done, f"analyze {path.parent.name}", total=len(usable), disable=not progress.shown())

    return fingerprints.prints(pack, sorted(usable), workers=parallel.worker_count(), bar=bar)


def _measured(facts: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Measure the usable images for the image checks, with a progress bar on stderr."""
    usable = sorted(facts.loc[facts["problem"] == "", "image_id"])
    shown = tqdm(usable, f"check {path.parent.name}", unit="img", disable=not progress.shown())
    return image_checks.measure(pixels.open_rgb(path), shown)


def _write(
    table: pd.DataFrame, result: duplicates.Duplicates, prints: dict[str, fingerprints.Prints], folder: Path
) -> None:
    clusters = pd.DataFrame(sorted(result.clusters.items()), columns=list(contracts.CLUSTERS.columns), dtype="str")
    leaks = pd.DataFrame(result.leaks, columns=list(contracts.LEAKS.columns)).round({"similarity": 6})
    usable = {subset: len(p.image_ids) for subset, p in prints.items()}
    summary = search_summary.summarise(usable, table, clusters, leaks, result)
    tables.write(table, folder / "findings.csv", contracts.FINDINGS)
    tables.write(clusters, folder / "clusters.csv", contracts.CLUSTERS)
    tables.write(leaks, folder / "leaks.csv", contracts.LEAKS)
    tables.write_json(summary, folder / "summary.json")
    for message in search_summary.messages(summary):
        print(f"analyze: {message}")


if __name__ == "__main__":
    cli.run(main)
