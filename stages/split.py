"""Stage `split`: labels, clusters, facts -> data/split/folds.csv, data/split/balance.json.

folds.csv (tables.FOLDS) is the only source of labels and folds for everything after it.
"""

from pathlib import Path

from stages.lib import cli, folds, params, tables
from stages.lib.settings.data import FoldList, SplitSettings


def main(*, root: Path = Path()) -> None:
    """Give every readable train image a fold."""
    values = params.read(root)
    names = params.parse({"folds": params.section(values, "folds")}, "", FoldList).folds
    p = params.parse(params.section(values, "split"), "split", SplitSettings)
    facts = tables.read(root / "data/prepare/train/facts.csv", tables.FACTS)
    assigned = folds.assign(
        tables.read(root / "data/label/labels.csv", tables.LABELS),
        clusters=tables.read(root / "data/analyze/clusters.csv", tables.CLUSTERS),
        unreadable=list(facts.loc[facts["problem"] != "", "image_id"]),
        names=names,
        seed=p.seed,
    )
    balance = folds.balance(assigned.table)
    tables.write(assigned.table, root / "data/split/folds.csv", tables.FOLDS)
    tables.write_json(balance, root / "data/split/balance.json")
    print(f"split: images per fold {balance['images_per_fold']}, {balance['groups_of_several']} groups of several")
    for warning in assigned.warnings:
        print(f"split: WARNING: {warning}")


if __name__ == "__main__":
    cli.run(main)
