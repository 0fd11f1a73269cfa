"""What was chosen and why, as tables."""

from collections.abc import Mapping, Sequence

import pandas as pd

from podium import contracts
from podium.core import scratch
from podium.ensembling.method_registry import BASELINE
from podium.ensembling.nested_cv import NONE_HELD_OUT, ChosenMember, Outcome
from podium.ensembling.selection import MethodCandidate
from podium.ensembling.tta_selection import TtaCandidate
from podium.predictions.calibration import Probs
from podium.predictions.tta import Tta
from podium.scoring import comparison, scores
from podium.scoring.evaluation_set import EvaluationSet

DEFAULT = "default"  # verdict of what the others are compared with


def tta_cells(tta: Tta) -> dict[str, str]:
    """Return the cells that name a TTA."""
    return {
        "image_sizes": " ".join(map(str, tta.image_sizes)),
        "transforms": " ".join(tta.transforms),
        "phases": " ".join(tta.phases),
    }


def ttas(members: Mapping[str, ChosenMember], candidates: Mapping[str, Sequence[TtaCandidate]]) -> pd.DataFrame:
    """List every member's candidates (contracts.TTA)."""
    rows = []
    for name, member in members.items():
        in_folds = [choice.tta for held_out, choice in member.choices.items() if len(held_out) == 1]
        for one in candidates[name]:
            numbers = [one.calibration.temperature, one.calibration.prior_strength, one.log_loss, one.cost]
            row = {
                "member": name,
                **tta_cells(one.tta),
                **dict(zip(("temperature", "prior_strength", "log_loss", "cost"), _rounded(numbers), strict=True)),
                **comparison.cells(one.compared, DEFAULT),
                "chosen": _yes(one.tta == member.choices[NONE_HELD_OUT].tta),
                "chosen_in_outer_folds": in_folds.count(one.tta),
            }
            rows.append(row)
    return pd.DataFrame(rows, columns=list(contracts.TTA.columns))


def methods(outcome: Outcome, candidates: Sequence[MethodCandidate]) -> pd.DataFrame:
    """List the blending methods that were compared (contracts.METHODS)."""
    rows = [
        {
            "method": one.method,
            **dict(zip(("score", "log_loss", "cost"), _rounded([one.score, one.log_loss, one.cost]), strict=True)),
            **comparison.cells(one.compared, DEFAULT if one.method == BASELINE else ""),
            "chosen": _yes(one.method == outcome.selection.method),
            "chosen_in_outer_folds": sum(selected.method == one.method for selected in outcome.selections),
        }
        for one in candidates
    ]
    return pd.DataFrame(rows, columns=list(contracts.METHODS.columns))


def blend(images: EvaluationSet, oof: Probs, members: Mapping[str, Probs]) -> pd.DataFrame:
    """Compare the blend with every member (contracts.BLEND): it is better than the best where it is better than all.

    Args:
        images: the evaluation set.
        oof: (images, classes) of the blend.
        members: name -> (images, classes).
    """
    rows = []
    for name, probs in members.items():
        compared = None
        if len(members) > 1:
            compared = comparison.compare(
                images.metric,
                images.targets,
                base=probs,
                candidate=oof,
                groups=images.groups,
                n_comparisons=len(members),
            )
        score, loss = images.metric.function(images.targets, probs), scores.log_loss(images.targets, probs)
        cells = comparison.cells(compared, "only member")
        rows.append({"member": name, "score": round(score, 6), "log_loss": round(loss, 6), **cells})
        scratch.release(probs)
    return pd.DataFrame(rows, columns=list(contracts.BLEND.columns))


def _rounded(numbers: Sequence[float]) -> list[float]:
    return [round(number, 6) for number in numbers]


def _yes(chosen: bool) -> str:
    return "yes" if chosen else ""
