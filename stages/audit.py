"""Stage `audit`: facts, pixels, folds, leaks -> data/audit/summary.json, importances.csv, leaked_labels.csv.

Could a model cheat, and does the test set differ? Four questions, each put to gradient boosting and scored on held-out
folds: can the label be told from metadata (a WARNING), or from mean colours (which are content), and can test images be
told from train images by either? And which labels do test images' duplicates in train give away?
"""

from pathlib import Path

import pandas as pd

from podium import contracts
from podium.audit import auditing, metadata
from podium.core import cli, params, pixels, tables

SUBSETS = ("train", "test")
SEED = 0
ASKED = {
    "label_from_metadata": "label from metadata",
    "label_from_colours": "label from mean colours (content: no warning)",
    "test_from_metadata": "test against train by metadata",
    "test_from_colours": "test against train by mean colours",
}


def main(*, root: Path = Path()) -> None:
    """Ask the four questions, and list what duplicates give away."""
    class_folders = params.section(params.read(root), "contest.layout") == "folders"
    folds = tables.read(root / "data/split/folds.csv", tables.FOLDS)
    leaks = tables.read(root / "data/analyze/leaks.csv", contracts.LEAKS)
    groups = _groups(folds, leaks)
    known = {subset: _known(root / "data/prepare" / subset, groups[subset], class_folders) for subset in SUBSETS}
    verdicts = {
        "label_from_metadata": auditing.label(known["train"], folds, [*metadata.FILE, *metadata.NAME], SEED),
        "label_from_colours": auditing.label(known["train"], folds, list(metadata.COLOURS), SEED),
        "test_from_metadata": auditing.shift(known["train"], known["test"], list(metadata.FILE), SEED),
        "test_from_colours": auditing.shift(known["train"], known["test"], list(metadata.COLOURS), SEED),
    }
    leaked = leaks[["test_image_id", "train_image_id", "kind"]].merge(
        folds[["image_id", "label", "use"]].rename(columns={"image_id": "train_image_id"}),
        how="left",
        on="train_image_id",
        validate="many_to_one",
    )
    folder = root / "data/audit"
    tables.write(
        leaked.sort_values(["test_image_id", "train_image_id"]), folder / "leaked_labels.csv", contracts.LEAKED
    )
    tables.write(auditing.importances(verdicts), folder / "importances.csv", contracts.IMPORTANCES)
    tables.write_json({name: auditing.report(verdict) for name, verdict in verdicts.items()}, folder / "summary.json")
    _tell(verdicts, leaked)


def _groups(folds: pd.DataFrame, leaks: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Return each subset's image_id -> group; of the test images, those alone that have a duplicate in train."""
    train = dict(zip(folds["image_id"], folds["group"], strict=True))
    first = leaks.sort_values(["test_image_id", "train_image_id"]).drop_duplicates("test_image_id")
    test = {i: train[twin] for i, twin in zip(first["test_image_id"], first["train_image_id"], strict=True)}
    return {"train": train, "test": test}


def _known(folder: Path, groups: dict[str, str], class_folders: bool) -> pd.DataFrame:
    """Describe a subset's readable images, at most auditing.MAX_IMAGES; index image_id, `group` and the features."""
    facts = tables.read(folder / "facts.csv", contracts.FACTS).query("problem == ''").sort_values("image_id")
    # Test images know no clusters: at least the same file is one group.
    facts["group"] = [groups.get(i, f"file {sha}") for i, sha in zip(facts["image_id"], facts["sha256"], strict=True)]
    facts = auditing.sample(facts, SEED)
    ids = list(facts["image_id"])
    colours = metadata.of_colours(pixels.open_pack(folder / "pixels.arrow"), ids)
    table = metadata.of_files(facts).join([metadata.of_names(ids, class_folders), colours], validate="one_to_one")
    return table.join(facts.set_index("image_id")["group"], validate="one_to_one")


def _tell(verdicts: dict[str, auditing.Verdict | str], leaked: pd.DataFrame) -> None:
    for name, words in ASKED.items():
        print(f"audit: {words}: {auditing.sentence(verdicts[name])}")
    cheat = verdicts["label_from_metadata"]
    if isinstance(cheat, auditing.Verdict) and cheat.well_above_chance:
        print(
            f"audit: WARNING: {', '.join(cheat.telling)} tell the label above chance: a model may learn sizes, shapes"
            " and compression instead of what is shown, and fail where test images were made otherwise (bytes follow"
            " texture too, which is content); see data/audit/importances.csv"
        )
    if not leaked.empty:
        n = leaked["test_image_id"].nunique()
        print(f"audit: {n} test images have a duplicate in train; data/audit/leaked_labels.csv says with which label")


if __name__ == "__main__":
    cli.run(main)
