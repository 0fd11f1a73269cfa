"""The `ensemble` section."""

from typing import Literal, Self

from pydantic import Field, model_validator

from stages.lib.params import Section


class EnsembleSettings(Section):
    """How members are blended.

    Attributes:
        method: "equal" mean of probabilities, or "greedy" forward selection with replacement
            (Caruana et al. 2004) by the contest's metric.
        greedy_rounds: how many picks greedy selection makes.
    """

    method: Literal["equal", "greedy"] = "equal"
    greedy_rounds: int = Field(20, ge=1, le=1000)

    @model_validator(mode="after")
    def _refuse_settings_without_effect(self) -> Self:
        if self.method != "greedy" and "greedy_rounds" in self.model_fields_set:
            raise ValueError(f"greedy_rounds has no effect with `method: {self.method}`")
        return self
