"""Stage `external@<name>`: CSVs of predictions made elsewhere -> data/external/<name>.parquet, read like a member's.

Every scored train image and every readable test image has one prediction. For the score to hold, a train image's must
come from a model that has seen neither the image nor others of its group: its folds must be those of folds.csv.
"""

from pathlib import Path

from podium import contracts
from podium.contest import external
from podium.contest.settings import ExternalSettings
from podium.core import cli, params, tables
from podium.core.errors import some


def main(name: str, root: Path = Path()) -> None:
    """Check one set of predictions and write it in our words."""
    p = params.load(f"external.{name}", ExternalSettings, root)
    folds = tables.read(root / "data/split/folds.csv", tables.FOLDS)
    facts = tables.read(root / "data/prepare/test/facts.csv", contracts.FACTS)
    scored = folds[folds["use"] == "train"].set_index("image_id")
    readable = facts.loc[facts["problem"] == "", "image_id"]
    classes, oof, test, ours = sorted(scored["label"].unique()), root / p.oof, root / p.test, scored["fold"].to_dict()
    train_rows = external.read(
        oof, image_ids=folds["image_id"], classes=classes, id_column=p.columns.id, fold_column=p.columns.fold
    )
    test_rows = external.read(test, image_ids=facts["image_id"], classes=classes, id_column=p.columns.id)
    train_rows, unscored = external.only(train_rows, ours, oof, "scored train images")
    test_rows, unreadable = external.only(test_rows, set(readable), test, "readable test images")
    if p.columns.fold is not None:
        external.require_same_folds(train_rows, ours, oof)
    table = external.table(train_rows, ours, test_rows)
    tables.write(table, root / f"data/external/{name}.parquet", tables.PREDICTIONS)
    _tell(name, {"train images that are not scored": unscored, "unreadable test images": unreadable}, p)


def _tell(name: str, passed_over: dict[str, list[str]], p: ExternalSettings) -> None:
    for what, image_ids in passed_over.items():
        if image_ids:
            print(f"external@{name}: passes over its rows of {len(image_ids)} {what}: {some(image_ids)}")
    if p.columns.fold is None:
        print(
            f"external@{name}: WARNING: {p.oof} names no folds (external.{name}.columns.fold). If its models were not"
            " kept from the same images together as in data/split/folds.csv, its score and the blend's flatter"
        )


if __name__ == "__main__":
    cli.run(main)
