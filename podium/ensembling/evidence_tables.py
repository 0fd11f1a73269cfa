"""What was chosen and why, as tables."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from podium import contracts
from podium.ensembling.nested_cv import NONE_HELD_OUT, ChosenMember, Outcome
from podium.ensembling.selection import DECIDED
from podium.ensembling.tta_selection import DEFAULT
from podium.scoring.intervals import Evidence


def sizes(members: Mapping[str, ChosenMember]) -> pd.DataFrame:
    """List every member's ttas with their evidence (contracts.TTA)."""
    rows = []
    for name, chosen in members.items():
        taken = [decision.tta for held_out, decision in chosen.decisions.items() if len(held_out) == 1]
        for candidate in chosen.decisions[NONE_HELD_OUT].candidates:
            row = {
                "member": name,
                "image_sizes": " ".join(map(str, candidate.tta.image_sizes)),
                "transforms": " ".join(candidate.tta.transforms),
                "phase": candidate.tta.phase,
                "temperature": round(candidate.temperature, 6),
                "log_loss": round(candidate.loss, 6),
                **_evidence(candidate.evidence, candidate.p, candidate.verdict),
                "chosen_in_outer_folds": taken.count(candidate.tta),
            }
            rows.append(row)
    return pd.DataFrame(rows, columns=list(contracts.TTA.columns))


def methods(outcome: Outcome) -> pd.DataFrame:
    """List the methods that were held against the equal mean (contracts.METHODS); none where one was asked for."""
    rows = [
        {
            "method": contender.method,
            "score": round(contender.score, 6),
            **_evidence(contender.evidence, contender.p, contender.verdict),
            "chosen_in_outer_folds": _chosen_in_outer_folds(outcome, contender.method),
        }
        for contender in outcome.gated.contenders
    ]
    return pd.DataFrame(rows, columns=list(contracts.METHODS.columns))


def _chosen_in_outer_folds(outcome: Outcome, method: str) -> int:
    return sum(gate.decided if method == DECIDED else gate.method == method for gate in outcome.gates)


def _evidence(evidence: Evidence, p: float, verdict: str) -> dict[str, Any]:
    """Cells of a comparison; the one with itself has none."""
    numbers = {"gain": evidence.difference, "low": evidence.low, "high": evidence.high, "p": p}
    empty = verdict == DEFAULT
    return {**{key: float("nan") if empty else round(value, 6) for key, value in numbers.items()}, "verdict": verdict}
