"""Stage `review`: the members' out-of-fold predictions of the train images -> data/review/, suspected wrong labels.

Writes suspects.csv, pairs.csv (counts by given and suggested label), overrides_to_consider.csv, summary.json and
suspects.png. `review` changes no label: the user copies rows into the overrides. Images that an override decides are
not suspected again. External predictions cover no skipped images. If no member is better than chance,
overrides_to_consider.csv is empty.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from podium import contracts
from podium.core import cli, params, pixels, tables
from podium.core import targets as label_targets
from podium.pictures import drawing
from podium.reports import chance, label_errors, member_votes, review_summary, set_errors, suspect_sheet


def main(*, root: Path = Path()) -> None:
    """Rank the labels by how strongly the members' predictions contradict them."""
    folds = tables.read(root / "data/split/folds.csv", tables.FOLDS).sort_values("image_id", ignore_index=True)
    overrides = tables.read(root / "data/label/overrides_applied.csv", contracts.OVERRIDES_APPLIED)
    clusters = tables.read(root / "data/analyze/clusters.csv", contracts.CLUSTERS)
    classes = label_targets.class_names(folds.loc[folds["use"] == "train", "label"])
    state = label_errors.review_state(folds, overrides, classes)
    reviewed = folds[state == label_errors.REVIEWED]
    targets = label_targets.as_rows(label_targets.of_labels(reviewed["label"], classes))
    predictions = member_votes.read(root, params.read(root), folds, reviewed, classes)
    listed = set_errors.suspect_table if label_targets.are_sets(classes) else label_errors.suspect_table
    suspects = listed(
        reviewed,
        label_errors.find_issues(targets, predictions.probs),
        probs=predictions.probs,
        votes=predictions.votes,
        classes=classes,
        others=label_errors.other_duplicates(folds[state != label_errors.DROPPED], clusters),
    )
    decided = suspects["image_id"].isin(overrides["image_id"])
    undecided = suspects[~decided].reset_index(drop=True)
    summary = review_summary.summarise(
        state,
        reviewed,
        undecided,
        members=list(predictions.votes),
        at_chance=member_votes.members_at_chance(targets, predictions.votes, label_targets.rows_per_image(classes)),
        n_decided=int(decided.sum()),
    )
    _write(root, undecided, reviewed["label"], summary)
    for line in review_summary.lines(undecided, summary):
        print(f"review: {line}")


def _write(root: Path, suspects: pd.DataFrame, labels: pd.Series, summary: dict[str, Any]) -> None:
    folder = root / "data/review"
    tables.write(suspects, folder / "suspects.csv", contracts.SUSPECTS)
    tables.write(label_errors.label_pairs(suspects, labels), folder / "pairs.csv", contracts.LABEL_PAIRS)
    at_chance = chance.all_at_chance(summary)
    rows = label_errors.overrides_to_consider(suspects[:0] if at_chance else suspects)
    tables.write(rows, folder / "overrides_to_consider.csv", contracts.OVERRIDES)
    tables.write_json(summary, folder / "summary.json")
    pack = pixels.open_rgb(root / "data/prepare/train/pixels.arrow")
    warning = "no member is better than chance at these labels: this means nothing" if at_chance else ""
    drawing.write(suspect_sheet.draw(suspects, pack, warning), folder / "suspects.png")


if __name__ == "__main__":
    cli.run(main)
