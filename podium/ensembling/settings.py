"""The `ensemble` section."""

from typing import Literal, Self

from pydantic import Field, model_validator

from podium.core.params import Section
from podium.ensembling.method_registry import MethodName


class EnsembleSettings(Section):
    """How members are blended.

    Attributes:
        method: "auto" chooses the method with the smallest cost on images that its fit has not seen; or one of these,
            always: "equal" (mean of probabilities), "logits" (mean of log probabilities), "ranks" (mean of ranks among
            the out-of-fold predictions, for metrics of ranks), "greedy" (forward selection with replacement, bagged:
            Caruana et al. 2004), "weighted" (weights of the smallest log loss, shrunk to equal), "stacking"
            (regularised logistic regression).
        greedy_rounds: how many picks a greedy selection makes.
        leaked_labels: what to do with labels of train images that a test image equals ("exact") or resembles ("near",
            which includes equal ones): "ignore" them, or put them into the submission. No score knows of it, and a
            contest's rules may forbid it.
        label_temperatures: whether the blend gets a temperature for each label beside the one for all; only for
            `contest.task: labels`.
    """

    method: MethodName = "auto"
    greedy_rounds: int = Field(20, ge=1, le=1000)
    leaked_labels: Literal["ignore", "exact", "near"] = "ignore"
    label_temperatures: bool = False

    @model_validator(mode="after")
    def _refuse_settings_without_effect(self) -> Self:
        if self.method not in ("auto", "greedy") and "greedy_rounds" in self.model_fields_set:
            raise ValueError(f"greedy_rounds has no effect with `method: {self.method}`")
        return self
