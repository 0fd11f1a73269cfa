"""The sections of the data stages: `prepare`, `analyze` and `split`, and the top-level list `folds`."""

import re
from typing import Any, Literal

from pydantic import Field, field_validator

from podium.core.params import Section

FOLD = re.compile(r"[A-Za-z0-9_]+")


class SplitSettings(Section):
    """How folds are drawn.

    Attributes:
        conflicting_duplicates: what becomes of duplicates whose labels differ. "keep" changes nothing but says so: the
            scored images stay the contest's own, and no label changes unless a person says so in contest.overrides.
            "drop" neither trains on them nor scores them; "majority" gives them their cluster's most frequent label,
            and drops them where there is none.
    """

    seed: int = Field(0, ge=0, lt=2**32)
    conflicting_duplicates: Literal["keep", "drop", "majority"] = "keep"


class FoldList(Section):
    """The folds' names, as text: `folds` stands at the top of params.yaml, since DVC makes stages of it."""

    folds: tuple[str, ...] = Field(min_length=2)

    @field_validator("folds", mode="before")
    @classmethod
    def _fold_names(cls, value: Any) -> Any:
        if not isinstance(value, list) or any(isinstance(v, bool) or not isinstance(v, int | str) for v in value):
            raise ValueError(f"must list the folds' names, e.g. [0, 1, 2, 3, 4], is {value!r}")
        names = [str(v) for v in value]
        wrong = [name for name in names if not FOLD.fullmatch(name)]
        if wrong or len(set(names)) < len(names):
            raise ValueError(f"names are made of letters, digits and _ and stand once each, these are {names}")
        return names
