"""Stage `review`: what all members say of the train images out of fold -> data/review/, suspected wrong labels.

Writes suspects.csv, pairs.csv (counts of given -> suggested), overrides_to_consider.csv, summary.json, and the
picture suspects.png. Relabels nothing: a person copies rows into the overrides. What these decided is not asked again.
Sizes, views and members count alike, since choosing among them by the labels would trust the labels.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stages.lib import cli, drawing, label_errors, params, pixels, predictions, suspect_sheet, tables
from stages.lib.settings.members import InferSettings

SHOWN = 10  # suspects printed; suspects.csv has all


@dataclass(frozen=True)
class Said:
    """What the members say of images: the mean of their probabilities (images, classes), and each one's vote."""

    probs: NDArray[np.float64]
    votes: dict[str, label_errors.Vote]


def main(*, root: Path = Path()) -> None:
    """Rank the labels by how much the members doubt them."""
    folds = tables.read(root / "data/split/folds.csv", tables.FOLDS).sort_values("image_id", ignore_index=True)
    decisions = tables.read(root / "data/label/decisions.csv", tables.DECISIONS)
    clusters = tables.read(root / "data/analyze/clusters.csv", tables.CLUSTERS)
    classes = sorted(folds.loc[folds["use"] == "train", "label"].unique())
    state = label_errors.reviewable(folds, decisions, classes)
    reviewed = folds[state == label_errors.REVIEWED]
    said = _said(root, folds, reviewed, classes)
    targets = pd.Index(classes).get_indexer(reviewed["label"])
    found = label_errors.doubts(targets, said.probs)
    doubted = label_errors.suspect_table(
        reviewed,
        found,
        probs=said.probs,
        votes=said.votes,
        classes=classes,
        others=label_errors.other_duplicates(folds, clusters),
    )
    decided = doubted["image_id"].isin(decisions["image_id"])
    suspects = doubted[~decided].reset_index(drop=True)
    summary = _summary(state, reviewed, suspects, list(said.votes)) | {
        "suspects_decided_by_overrides": int(decided.sum()),
        "members_at_chance": [n for n, v in said.votes.items() if label_errors.at_chance(targets, v.likeliest)],
    }
    _write(root, suspects, reviewed["label"], summary)
    _show(suspects, summary)


def _said(root: Path, folds: pd.DataFrame, reviewed: pd.DataFrame, classes: list[str]) -> Said:
    """Read every member's predictions, one member in memory at a time, and keep those of the reviewed images."""
    values = params.read(root)
    predicted = folds[folds["fold"] != ""]
    kept = predicted["image_id"].isin(reviewed["image_id"]).to_numpy()
    total = np.zeros((len(reviewed), len(classes)))
    votes = {}
    for name in sorted(params.section(values, "members")):
        key = f"members.{name}.infer"
        infer = params.parse(params.section(values, key), key, InferSettings)
        looks = predictions.read_train(
            [root / f"data/infer/{name}.parquet"],
            image_ids=list(predicted["image_id"]),
            folds=list(predicted["fold"]),
            classes=classes,
            image_sizes=infer.image_sizes,
            views=infer.views,
        )
        probs = looks[:, :, kept].mean(axis=(0, 1), dtype=np.float64)
        votes[name] = label_errors.vote(probs)
        total += probs
    return Said(total / len(votes), votes)


def _summary(state: pd.Series, reviewed: pd.DataFrame, suspects: pd.DataFrame, members: list[str]) -> dict[str, Any]:
    counts = Counter(state)
    return {
        "members": members,
        "reviewed": counts.pop(label_errors.REVIEWED),
        "not_reviewed": dict(counts),
        "suspects": len(suspects),
        "flagged": int((suspects["flagged"] == "yes").sum()),
        "skipped_images_reviewed": int((reviewed["use"] == "skip").sum()),
    }


def _write(root: Path, suspects: pd.DataFrame, labels: pd.Series, summary: dict[str, Any]) -> None:
    folder = root / "data/review"
    tables.write(suspects, folder / "suspects.csv", tables.SUSPECTS)
    tables.write(label_errors.label_pairs(suspects, labels), folder / "pairs.csv", tables.LABEL_PAIRS)
    rows = label_errors.overrides_to_consider(suspects, len(summary["members"]))
    tables.write(rows, folder / "overrides_to_consider.csv", tables.OVERRIDES)
    tables.write_json(summary, folder / "summary.json")
    pack = pixels.open_pack(root / "data/prepare/train/pixels.arrow")
    drawing.write(suspect_sheet.draw(suspects, pack), folder / "suspects.png")


def _show(suspects: pd.DataFrame, summary: dict[str, Any]) -> None:
    print(
        f"review: {summary['suspects']} of {summary['reviewed']} labels are not what the members say,"
        f" {summary['flagged']} of them flagged by confident learning;"
        f" {summary['suspects_decided_by_overrides']} more are decided by overrides"
    )
    for kind, n in summary["not_reviewed"].items():
        print(f"review: not reviewed, {kind}: {n}")
    n_members, at_chance = len(summary["members"]), summary["members_at_chance"]
    if at_chance:
        of_all = len(at_chance) == n_members
        print(
            f"review: WARNING: {'no member is' if of_all else ', '.join(at_chance) + ': not'} shown to be better than"
            f" chance at these labels, so {'these suspects mean' if of_all else 'their votes mean'} nothing"
        )
    for s in suspects.head(SHOWN).itertuples():
        rather = f"given {s.given} (p {s.p_given:.2f}), rather {s.suggested} (p {s.p_suggested:.2f})"
        print(f"review: {s.image_id}: {rather}; {s.members_agreeing} of {n_members} members say so")
    if len(suspects):
        print(
            "review: nothing is relabelled. Look at data/review/suspects.png; copy the rows you agree with from"
            " data/review/overrides_to_consider.csv into the overrides, or confirm a label with its own class as action"
        )


if __name__ == "__main__":
    cli.run(main)
