"""What was chosen and why, as tables."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from podium import contracts
from podium.ensembling.nested_cv import EVERYTHING, Chosen, Outcome
from podium.ensembling.selection import DECIDED
from podium.ensembling.tta_selection import USUAL
from podium.scoring.intervals import Evidence


def sizes(members: Mapping[str, Chosen]) -> pd.DataFrame:
    """List every member's looks with their evidence (contracts.SIZES)."""
    rows = []
    for name, chosen in members.items():
        taken = [decision.look for without, decision in chosen.decisions.items() if len(without) == 1]
        for candidate in chosen.decisions[EVERYTHING].candidates:
            row = {
                "member": name,
                "image_sizes": " ".join(map(str, candidate.look.image_sizes)),
                "views": " ".join(candidate.look.views),
                "phase": candidate.look.phase,
                "temperature": round(candidate.temperature, 6),
                "log_loss": round(candidate.loss, 6),
                **_evidence(candidate.evidence, candidate.p, candidate.verdict),
                "taken_in_parts": taken.count(candidate.look),
            }
            rows.append(row)
    return pd.DataFrame(rows, columns=list(contracts.SIZES.columns))


def methods(outcome: Outcome) -> pd.DataFrame:
    """List the methods that were held against the equal mean (contracts.METHODS); none where one was asked for."""
    rows = [
        {
            "method": contender.method,
            "score": round(contender.score, 6),
            **_evidence(contender.evidence, contender.p, contender.verdict),
            "taken_in_parts": _taken_in_parts(outcome, contender.method),
        }
        for contender in outcome.gated.contenders
    ]
    return pd.DataFrame(rows, columns=list(contracts.METHODS.columns))


def _taken_in_parts(outcome: Outcome, method: str) -> int:
    return sum(gate.decided if method == DECIDED else gate.method == method for gate in outcome.gates)


def _evidence(evidence: Evidence, p: float, verdict: str) -> dict[str, Any]:
    """Cells of a comparison; the one with itself has none."""
    numbers = {"gain": evidence.difference, "low": evidence.low, "high": evidence.high, "p": p}
    empty = verdict == USUAL
    return {**{key: float("nan") if empty else round(value, 6) for key, value in numbers.items()}, "verdict": verdict}
