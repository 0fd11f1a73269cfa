"""The counts of `review` and the lines that it prints."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from podium.reports import chance, label_errors

SHOWN = 10  # suspects printed; suspects.csv has all


def summarise(
    state: pd.Series,
    reviewed: pd.DataFrame,
    suspects: pd.DataFrame,
    *,
    members: Sequence[str],
    at_chance: Sequence[str],
    n_decided: int,
) -> dict[str, Any]:
    """Count what was reviewed and suspected.

    Args:
        state: of every labelled image, from label_errors.review_state.
        reviewed: rows of tables.FOLDS that were reviewed.
        suspects: contracts.SUSPECTS.
        members: names.
        at_chance: the members that are not better than chance.
        n_decided: number of suspects left out because an override decides them.
    """
    counts = Counter(state)
    return {
        "members": list(members),
        "reviewed": counts.pop(label_errors.REVIEWED),
        "not_reviewed": dict(counts),
        "suspects": len(suspects),
        "flagged": int((suspects["flagged"] == "yes").sum()),
        "skipped_images_reviewed": int((reviewed["use"] == "skip").sum()),
        "suspects_decided_by_overrides": n_decided,
        "members_at_chance": list(at_chance),
    }


def lines(suspects: pd.DataFrame, summary: Mapping[str, Any]) -> list[str]:
    """Describe the outcome, with the first SHOWN suspects; list none if all members are at chance."""
    counts = (
        f"{summary['suspects']} of {summary['reviewed']} labels are suspect: the members predict another class;"
        f" confident learning flags {summary['flagged']} of them;"
        f" left out, because overrides decide them: {summary['suspects_decided_by_overrides']}"
    )
    skipped = [f"not reviewed, {reason}: {n}" for reason, n in summary["not_reviewed"].items()]
    if chance.all_at_chance(summary):
        warning = (
            "WARNING: no member is shown to be better than chance at these labels, so the suspects mean nothing."
            " None is listed here, and overrides_to_consider.csv is empty"
        )
        return [counts, *skipped, warning]
    warnings = []
    if at_chance := summary["members_at_chance"]:
        names = ", ".join(at_chance)
        warnings = [f"WARNING: not shown to be better than chance at these labels: {names}; ignore their votes"]
    listed = [
        f"{s.image_id}: label {s.given} (p {s.p_given:.2f}), suggested {s.suggested} (p {s.p_suggested:.2f});"
        f" {s.members_agreeing} of {s.members_asked} members agree"
        for s in suspects.head(SHOWN).itertuples()
    ]
    advice = (
        "no label was changed. Look at data/review/suspects.png. Copy the rows you agree with from"
        " data/review/overrides_to_consider.csv into the overrides. To confirm a label, add an override with the"
        " image's own class as action"
    )
    return [counts, *skipped, *warnings, *listed, *([advice] if listed else [])]
