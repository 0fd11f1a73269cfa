"""Stage `extra@<name>`: labels, clusters, leaks, folds -> data/extra/<name>.csv, extra images that are trained on.

For entries of the top-level map `extra`. An extra image is left out of the trainings of the folds that hold out one of
its duplicates or of its group, and of all trainings where a test image is its duplicate.
"""

from pathlib import Path

from podium import contracts
from podium.core import cli, params, tables
from podium.core.errors import InputError
from podium.folds import extra


def main(name: str, root: Path = Path()) -> None:
    """Write the images of one entry, with the folds that they are left out of."""
    settings = extra.entries(params.read(root))
    labels = tables.read(root / "data/label/labels.csv", contracts.LABELS)
    facts = tables.read(root / "data/prepare/train/facts.csv", contracts.FACTS)
    leaks = tables.read(root / "data/analyze/leaks.csv", contracts.LEAKS)
    found = extra.trained_on(
        labels,
        name,
        settings,
        folds=tables.read(root / "data/split/folds.csv", tables.FOLDS),
        clusters=tables.read(root / "data/analyze/clusters.csv", contracts.CLUSTERS),
        copied=list(leaks["train_image_id"].unique()),
        unreadable=list(facts.loc[facts["problem"] != "", "image_id"]),
    )
    if found.empty:
        raise InputError(
            f"params.yaml: extra.{name}: all of its images are skipped, unreadable or duplicates of test images;"
            " remove the entry"
        )
    owners = extra.owners(labels["image_id"], settings)
    tables.write(found, root / f"data/extra/{name}.csv", tables.EXTRA)
    n_all, n_partly = (int(chosen.sum()) for chosen in (owners == name, found["without"] != ""))
    print(
        f"extra@{name}: {len(found)} of {n_all} images are trained on, {n_partly} of them not in"
        f" every fold, because of duplicates there; an epoch draws a share of {settings[name].share:g}; the others are"
        " skipped, unreadable or duplicates of test images"
    )


if __name__ == "__main__":
    cli.run(main)
