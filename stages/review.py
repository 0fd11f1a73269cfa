"""Stage `review`: what all members say of the train images out of fold -> data/review/, suspected wrong labels.

Writes suspects.csv, pairs.csv (counts of given -> suggested), overrides_to_consider.csv, summary.json, and the
picture suspects.png. Relabels nothing: a person copies rows into the overrides. What these decided is not asked again.
Sizes, transforms and members count alike, since choosing among them by the labels would trust the labels. Predictions made
elsewhere say nothing of skipped images. Where no member is better than chance, no override is suggested.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from podium import contracts
from podium.core import cli, params, pixels, tables
from podium.pictures import drawing
from podium.predictions import member_predictions
from podium.reports import label_errors, suspect_sheet

SHOWN = 10  # suspects printed; suspects.csv has all


@dataclass(frozen=True)
class MemberOpinions:
    """What the members say of images.

    Attributes:
        probs: (images, classes), the mean of those that say something.
        votes: by member; NOTHING_SAID of images it knows nothing of.
    """

    probs: NDArray[np.float64]
    votes: dict[str, label_errors.Vote]


def main(*, root: Path = Path()) -> None:
    """Rank the labels by how much the members doubt them."""
    folds = tables.read(root / "data/split/folds.csv", tables.FOLDS).sort_values("image_id", ignore_index=True)
    decisions = tables.read(root / "data/label/overrides_applied.csv", contracts.OVERRIDES_APPLIED)
    clusters = tables.read(root / "data/analyze/clusters.csv", contracts.CLUSTERS)
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
        others=label_errors.other_duplicates(folds[state != label_errors.DROPPED], clusters),
    )
    decided = doubted["image_id"].isin(decisions["image_id"])
    suspects = doubted[~decided].reset_index(drop=True)
    summary = _summary(state, reviewed, suspects, list(said.votes)) | {
        "suspects_decided_by_overrides": int(decided.sum()),
        "members_at_chance": [n for n, v in said.votes.items() if label_errors.at_chance(targets, v.likeliest)],
    }
    _write(root, suspects, reviewed["label"], summary)
    _show(suspects, summary)


def _said(root: Path, folds: pd.DataFrame, reviewed: pd.DataFrame, classes: list[str]) -> MemberOpinions:
    """Read every member's predictions, one member in memory at a time, and keep those of the reviewed images."""
    total, said, votes = np.zeros((len(reviewed), len(classes))), np.zeros(len(reviewed), np.int64), {}
    for name, source in member_predictions.blend_members(params.read(root), root).items():
        rows, probs = member_predictions.predicted(source, folds), np.full(total.shape, np.nan)
        known = reviewed["image_id"].isin(rows["image_id"]).to_numpy()
        kept = rows["image_id"].isin(reviewed["image_id"]).to_numpy()
        probs[known] = _mean(source, rows, classes)[kept]
        votes[name] = label_errors.vote(probs)
        total[known] += probs[known]
        said += known
    return MemberOpinions(total / said[:, None], votes)


def _mean(source: member_predictions.MemberPredictions, rows: pd.DataFrame, classes: list[str]) -> NDArray[np.float64]:
    """Average what a source says in all sizes and transforms, of all phases: (rows, classes)."""
    total, count = np.zeros((len(rows), len(classes))), 0
    for tta in (source.usual, *source.others):
        if tta.transforms == source.usual.transforms:  # the identity transform alone is among these
            probs = member_predictions.read_predicted(source, tta, rows, classes)
            total += probs.sum(axis=(0, 1), dtype=np.float64)
            count += probs.shape[0] * probs.shape[1]
    return total / count


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
    tables.write(suspects, folder / "suspects.csv", contracts.SUSPECTS)
    tables.write(label_errors.label_pairs(suspects, labels), folder / "pairs.csv", contracts.LABEL_PAIRS)
    nothing = _mean_nothing(summary)
    rows = label_errors.overrides_to_consider(suspects[:0] if nothing else suspects)
    tables.write(rows, folder / "overrides_to_consider.csv", contracts.OVERRIDES)
    tables.write_json(summary, folder / "summary.json")
    pack = pixels.open_pack(root / "data/prepare/train/pixels.arrow")
    warning = "no member is better than chance at these labels: this means nothing" if nothing else ""
    drawing.write(suspect_sheet.draw(suspects, pack, warning), folder / "suspects.png")


def _mean_nothing(summary: dict[str, Any]) -> bool:
    """Say whether all members are at chance, whose doubts are then noise."""
    return len(summary["members_at_chance"]) == len(summary["members"])


def _show(suspects: pd.DataFrame, summary: dict[str, Any]) -> None:
    print(
        f"review: {summary['suspects']} of {summary['reviewed']} labels are not what the members say,"
        f" {summary['flagged']} of them flagged by confident learning;"
        f" {summary['suspects_decided_by_overrides']} more are decided by overrides"
    )
    for kind, n in summary["not_reviewed"].items():
        print(f"review: not reviewed, {kind}: {n}")
    if _mean_nothing(summary):
        print(
            "review: WARNING: no member is shown to be better than chance at these labels, so these suspects mean"
            " nothing: none is listed here, and overrides_to_consider.csv is empty"
        )
        return
    if at_chance := summary["members_at_chance"]:
        print(
            f"review: WARNING: {', '.join(at_chance)}: not shown to be better than chance at these labels, so their"
            " votes mean nothing"
        )
    for s in suspects.head(SHOWN).itertuples():
        rather = f"given {s.given} (p {s.p_given:.2f}), rather {s.suggested} (p {s.p_suggested:.2f})"
        print(f"review: {s.image_id}: {rather}; {s.members_agreeing} of {s.members_asked} members say so")
    if len(suspects):
        print(
            "review: nothing is relabelled. Tta at data/review/suspects.png; copy the rows you agree with from"
            " data/review/overrides_to_consider.csv into the overrides, or confirm a label with its own class as action"
        )


if __name__ == "__main__":
    cli.run(main)
