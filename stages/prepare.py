"""Stage `prepare`: decode the images of one subset into data/prepare/<subset>/: facts.csv and pixels.arrow.

Each image is decoded once, turned upright, converted to RGB and shrunk to `prepare.short_side`. facts.csv
(contracts.FACTS) has a row for every file, pixels.arrow (podium.core.pixels) the pixels of every readable image.
A run that was interrupted is continued (podium.core.resumable_pack). The stage reads no labels.
"""

from pathlib import Path

import pandas as pd

from podium import contracts
from podium.contest import image_lists
from podium.contest.list_settings import ImageLists
from podium.core import cli, params, tables
from podium.core.errors import InputError, legible, some
from podium.core.resumable_pack import ResumableWriter
from podium.images import bit_depth, decode, image_files, packing
from podium.images.settings import PrepareSettings

SUBSETS = ("train", "test")
NAMING = {"train": "label CSV", "test": "template"}  # where a file that is no image counts as an unreadable one
SHOWN = 20  # problems printed; facts.csv has all


def main(subset: str = "", *, root: Path = Path()) -> None:
    """Decode the images of `subset`, "train" or "test"."""
    settings = params.load("prepare", PrepareSettings, root)
    folder = _folder(subset, root)
    files, ignored = image_files.walk(folder)
    files = _chosen(files, subset, root)
    out = root / "data/prepare" / subset
    with ResumableWriter(
        out / "pixels.arrow",
        encoding=settings.encoding,
        folder=root / ".resume/prepare" / subset,
        key=packing.key(settings),
    ) as writer:
        rows = packing.fill(writer, files, settings, f"prepare: {subset}")
        table = pd.DataFrame(rows, columns=list(contracts.FACTS.columns))
        if subset == "train":
            _require_images(table, folder)
        bits = {row["image_id"]: row["bits"] for row in rows if row["bits"]}
        if settings.bit_depth is None:
            bit_depth.require(bits, folder)
        tables.write(table, out / "facts.csv", contracts.FACTS)
    _report(table, subset, ignored)
    if settings.decoding == "scaled":
        _tell_if_nothing_was_scaled(table, subset, settings.short_side)
    clipped = [image_id for image_id, needed in bits.items() if needed > (settings.bit_depth or decode.FULL_DEPTH)]
    _warn(subset, clipped, "16-bit images hold values above prepare.bit_depth, which become white")
    formulas = tables.formulas(table["image_id"])
    _warn(subset, formulas, "file names start like a formula: import Podium's CSVs into a spreadsheet as text")


def _folder(subset: str, root: Path) -> Path:
    if subset not in SUBSETS:
        raise InputError(f"prepare: {subset!r} is neither train nor test; run `python -m stages.prepare train`")
    folder = root / str(params.section(params.read(root), f"contest.images.{subset}"))
    if not folder.is_dir():
        raise InputError(f"contest.images.{subset}: {folder} is no folder; correct it in params.yaml")
    return folder


def _chosen(files: list[image_files.ImageFile], subset: str, root: Path) -> list[image_files.ImageFile]:
    """Return the files that `contest.lists` names, or all."""
    contest = params.section(params.read(root), "contest")
    lists = params.parse(contest.get("lists", {}), "contest.lists", ImageLists)
    if not lists.selects(subset):
        return files
    image_ids = [file.image_id for file in files]
    chosen = image_lists.select(image_ids, lists, subset, root, str(contest["images"][subset]))
    print(f"prepare: {subset}: contest.lists names {len(chosen.ids)} of {len(files)} files")
    if chosen.missing:
        print(f"prepare: {subset}: {len(chosen.missing)} entries name no file: {some(list(chosen.missing), SHOWN)}")
    return [file for file in files if file.image_id in chosen.ids]


def _require_images(facts: pd.DataFrame, folder: Path) -> None:
    if not (facts["problem"] == "").any():
        problems = [f"{i} ({problem})" for i, problem in zip(facts["image_id"], facts["problem"], strict=True)]
        raise InputError(f"contest.images.train: {folder} holds no readable image: {some(problems) or 'it is empty'}")


def _warn(subset: str, image_ids: list[str], fault: str) -> None:
    if image_ids:
        print(f"prepare: {subset}: WARNING: {len(image_ids)} {fault}: {some(image_ids)}")


def _tell_if_nothing_was_scaled(facts: pd.DataFrame, subset: str, short_side: int) -> None:
    is_jpeg = facts["format"].isin(decode.SCALED) & (facts["problem"] == "")
    if len(facts) and not (is_jpeg & (facts[["width", "height"]].min(axis=1) >= 2 * short_side)).any():
        print(
            f"prepare: {subset}: decoding: scaled has no effect: no JPEG has a short side of at least"
            f" {2 * short_side} pixels, twice prepare.short_side"
        )


def _report(facts: pd.DataFrame, subset: str, ignored: int) -> None:
    bad = facts[(facts["problem"] != "") & (facts["problem"] != image_files.NO_DECODER)]
    others = list(facts.loc[facts["problem"] == image_files.NO_DECODER, "image_id"])
    noted, readable = int((facts["note"] != "").sum()), int((facts["problem"] == "").sum())
    print(f"prepare: {subset}: {readable} of {len(facts)} files are readable images, {noted} with a note")
    if ignored:
        print(f"prepare: {subset}: {ignored} hidden files or folders and system files ignored")
    if others:
        print(
            f"prepare: {subset}: {len(others)} files are no images and are ignored, unless the {NAMING[subset]} names"
            f" them: {some(others)}"
        )
    for image_id, problem in zip(bad["image_id"][:SHOWN], bad["problem"][:SHOWN], strict=True):
        print(f"prepare: {subset}: {legible(image_id)}: {legible(problem)}")
    if len(bad) > SHOWN:
        print(f"prepare: {subset}: {len(bad) - SHOWN} more in data/prepare/{subset}/facts.csv")


if __name__ == "__main__":
    cli.run(main)
