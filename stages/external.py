"""Stage `external@<name>`: convert CSVs of predictions made elsewhere to data/external/<name>.parquet.

Later stages read that file like a member's predictions. Every scored train image and every readable test image needs
one prediction. The score is honest only if each train image is predicted out of fold, by a model that was trained
neither on the image nor on others of its group: so the folds must be those of data/split/folds.csv.
"""

from pathlib import Path

from podium import contracts
from podium.contest import external
from podium.contest.ids import ImageIndex
from podium.contest.no_images import split_files
from podium.contest.settings import ExternalSettings
from podium.core import cli, params, tables, targets
from podium.core.errors import some


def main(name: str, root: Path = Path()) -> None:
    """Check one set of predictions, and write it as tables.PREDICTIONS."""
    p = params.load(f"external.{name}", ExternalSettings, root)
    folds = tables.read(root / "data/split/folds.csv", tables.FOLDS)
    facts = tables.read(root / "data/prepare/test/facts.csv", contracts.FACTS)
    scored = folds[folds["use"] == "train"].set_index("image_id")
    readable = facts.loc[facts["problem"] == "", "image_id"]
    images, others = split_files(facts)
    lost = tables.read_json(root / "data/label/summary.json")["lost_classes"]
    classes, oof, test, ours = (
        targets.class_names(scored["label"]),
        root / p.oof,
        root / p.test,
        scored["fold"].to_dict(),
    )
    train_rows = external.read(
        oof,
        images=ImageIndex(folds["image_id"]),
        classes=classes,
        id_column=p.columns.id,
        fold_column=p.columns.fold,
        lost=lost,
    )
    test_rows = external.read(
        test, images=ImageIndex(images, others), classes=classes, id_column=p.columns.id, lost=lost
    )
    train_rows, unscored = external.only(train_rows, ours, oof, "scored train images")
    test_rows, unreadable = external.only(test_rows, set(readable), test, "readable test images")
    if p.columns.fold is not None:
        external.require_same_folds(train_rows, ours, oof)
    table = external.table(train_rows, ours, test_rows)
    tables.write(table, root / f"data/external/{name}.parquet", tables.PREDICTIONS)
    _report(name, {"train images that are not scored": unscored, "unreadable test images": unreadable}, p)


def _report(name: str, ignored: dict[str, list[str]], p: ExternalSettings) -> None:
    for kind, image_ids in ignored.items():
        if image_ids:
            print(f"external@{name}: ignores the rows of {len(image_ids)} {kind}: {some(image_ids)}")
    if p.columns.fold is None:
        print(
            f"external@{name}: WARNING: {p.oof} names no folds (external.{name}.columns.fold). If they are not those of"
            " data/split/folds.csv, its score and the blend's score are optimistic"
        )


if __name__ == "__main__":
    cli.run(main)
