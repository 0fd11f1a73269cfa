"""Stage `split`: labels, overrides, clusters, facts -> data/split/: folds, conflicts and balance (CSV), balance.json.

All later stages read labels and folds from folds.csv (tables.FOLDS) only.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from podium import contracts
from podium.core import cli, params, tables
from podium.folds import assignment, balance, conflicts, extra
from podium.folds.settings import FoldList, SplitSettings


def main(*, root: Path = Path()) -> None:
    """Resolve conflicting labels of duplicates, and give every readable train image a fold."""
    values = params.read(root)
    names = params.parse({"folds": params.section(values, "folds")}, "", FoldList).folds
    p = params.parse(params.section(values, "split"), "split", SplitSettings)
    facts = tables.read(root / "data/prepare/train/facts.csv", contracts.FACTS)
    clusters = tables.read(root / "data/analyze/clusters.csv", contracts.CLUSTERS)
    labels = tables.read(root / "data/label/labels.csv", contracts.LABELS)
    labels, others = extra.set_aside(labels, extra.entries(values))
    overrides = tables.read(root / "data/label/overrides_applied.csv", contracts.OVERRIDES_APPLIED)
    confirmed = overrides.loc[overrides["effect"] == "confirmed", "image_id"]
    resolved = conflicts.resolve(labels, clusters, p.conflicting_duplicates, list(confirmed))
    _print_conflicts(resolved.conflicts, p.conflicting_duplicates)
    assigned = assignment.assign(
        resolved.labels,
        clusters=clusters,
        unreadable=list(facts.loc[facts["problem"] != "", "image_id"]),
        names=names,
        seed=p.seed,
    )
    summary = balance.summary(assigned.table)
    every = pd.concat([assigned.table, extra.as_skipped(others)]).sort_values("image_id")
    tables.write(every, root / "data/split/folds.csv", tables.FOLDS)
    tables.write(resolved.conflicts, root / "data/split/conflicts.csv", contracts.CONFLICTS)
    tables.write(balance.counts(assigned.table), root / "data/split/balance.csv", contracts.BALANCE)
    tables.write_json(summary, root / "data/split/balance.json")
    _print_balance(summary)
    for warning in assigned.warnings:
        print(f"split: WARNING: {warning}")


def _print_conflicts(table: pd.DataFrame, rule: str) -> None:
    """Warn before folds are drawn: the draw may fail because images were dropped."""
    if not table.empty:
        done = ", ".join(f"{word} {n}" for word, n in conflicts.counts(table).items())
        print(
            f"split: WARNING: {table['cluster'].nunique()} clusters of duplicates have labels that differ; of their"
            f" images: {done} (split.conflicting_duplicates: {rule}); see data/split/conflicts.csv"
        )


def _print_balance(summary: dict[str, Any]) -> None:
    worst = summary["worst"]
    uneven = (
        f"least even: class {worst['label']!r} has {worst['images']} images in fold {worst['fold']},"
        f" {worst['even_share']:.1f} would be even"
    )
    even = abs(worst["images"] - worst["even_share"]) < 1  # a smaller difference is rounding
    print(
        f"split: images per fold {summary['images_per_fold']}, {summary['groups_of_several']} groups of several images;"
        f" {'classes are even' if even else uneven}"
    )


if __name__ == "__main__":
    cli.run(main)
