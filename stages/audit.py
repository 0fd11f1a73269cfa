"""Stage `audit`: facts, pixels, folds, leaks -> data/audit/summary.json, importances.csv, leaked_labels.csv.

Two checks, both by gradient boosting on held-out folds. Leakage: does metadata predict the label (a WARNING), or do
mean colours (which are content: no warning)? Adversarial validation: do metadata or mean colours predict whether an
image is a test image? The stage also lists the labels that leak to test images through their duplicates in train.
"""

from pathlib import Path

import pandas as pd

from podium import contracts
from podium.audit import auditing, metadata
from podium.core import cli, params, pixels, tables

SUBSETS = ("train", "test")
SEED = 0
QUESTIONS = {
    "label_from_metadata": "leakage, label from metadata",
    "label_from_colours": "label from mean colours (content: no warning)",
    "test_from_metadata": "adversarial validation, test against train by metadata",
    "test_from_colours": "adversarial validation, test against train by mean colours",
}


def main(*, root: Path = Path()) -> None:
    """Measure leakage, run adversarial validation, and list the labels of test images' duplicates."""
    layout = params.section(params.read(root), "contest.layout")
    folds = tables.read(root / "data/split/folds.csv", tables.FOLDS)
    leaks = tables.read(root / "data/analyze/leaks.csv", contracts.LEAKS)
    groups = _groups(folds, leaks)
    features = {
        subset: _features(root / "data/prepare" / subset, groups[subset], layout == "folders") for subset in SUBSETS
    }
    of_files = [*metadata.FILE, *(() if layout == "names" else metadata.NAME)]  # the label stands in these names
    verdicts = {
        "label_from_metadata": auditing.label_leakage(features["train"], folds, of_files, SEED),
        "label_from_colours": auditing.label_leakage(features["train"], folds, list(metadata.COLOURS), SEED),
        "test_from_metadata": auditing.adversarial_validation(
            features["train"], features["test"], list(metadata.FILE), SEED
        ),
        "test_from_colours": auditing.adversarial_validation(
            features["train"], features["test"], list(metadata.COLOURS), SEED
        ),
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
    tables.write(auditing.importance_table(verdicts), folder / "importances.csv", contracts.IMPORTANCES)
    tables.write_json({name: auditing.report(verdict) for name, verdict in verdicts.items()}, folder / "summary.json")
    _print(verdicts, leaked)


def _groups(folds: pd.DataFrame, leaks: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Return each subset's image_id -> group; test images are included only if they have a duplicate in train."""
    train = dict(zip(folds["image_id"], folds["group"], strict=True))
    first = leaks.sort_values(["test_image_id", "train_image_id"]).drop_duplicates("test_image_id")
    test = {i: train[duplicate] for i, duplicate in zip(first["test_image_id"], first["train_image_id"], strict=True)}
    return {"train": train, "test": test}


def _features(folder: Path, groups: dict[str, str], class_folders: bool) -> pd.DataFrame:
    """Return features and `group` of a subset's readable images, indexed by image_id; a sample above MAX_IMAGES."""
    facts = tables.read(folder / "facts.csv", contracts.FACTS).query("problem == ''").sort_values("image_id")
    # test images have no clusters, so here only identical files form a group
    facts["group"] = [groups.get(i, f"file {sha}") for i, sha in zip(facts["image_id"], facts["sha256"], strict=True)]
    facts = auditing.sample(facts, SEED)
    ids = list(facts["image_id"])
    colours = metadata.of_colours(pixels.open_rgb(folder / "pixels.arrow"), ids)
    table = metadata.of_files(facts).join([metadata.of_names(ids, class_folders), colours], validate="one_to_one")
    return table.join(facts.set_index("image_id")["group"], validate="one_to_one")


def _print(verdicts: dict[str, auditing.Verdict | str], leaked: pd.DataFrame) -> None:
    for name, question in QUESTIONS.items():
        print(f"audit: {question}: {auditing.sentence(verdicts[name])}")
    leakage = verdicts["label_from_metadata"]
    if isinstance(leakage, auditing.Verdict) and leakage.well_above_chance:
        print(
            "audit: WARNING: leakage: metadata predicts the label above chance, by"
            f" {', '.join(leakage.leading_features)}. A model may learn sizes, shapes and compression instead of what"
            " is shown, and fail on test images that were made differently (bytes also depend on texture, which is"
            " content); see data/audit/importances.csv"
        )
    if not leaked.empty:
        n = leaked["test_image_id"].nunique()
        print(f"audit: test images with a duplicate in train: {n}; data/audit/leaked_labels.csv lists their labels")


if __name__ == "__main__":
    cli.run(main)
