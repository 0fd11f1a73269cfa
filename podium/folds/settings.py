"""Settings of the section `split` and of the top-level list `folds`."""

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from podium.core.params import Section
from podium.core.patterns import pattern_with

FOLD = re.compile(r"[A-Za-z0-9_]+")


class SplitSettings(Section):
    """The draw of folds, and the rule for duplicates whose labels differ.

    Attributes:
        seed: of the draw.
        conflicting_duplicates: the rule for duplicates whose labels differ. "keep" only reports them: the evaluation
            set does not change, and labels change only through the user's contest.overrides. "drop" neither trains on
            them nor scores them. "majority" gives them their cluster's most frequent label, and drops them if there is
            a tie.
    """

    seed: int = Field(0, ge=0, lt=2**32)
    conflicting_duplicates: Literal["keep", "drop", "majority"] = "keep"


class ExtraSettings(Section):
    """Images that every fold trains on, and that are never held out or scored: an entry of the top-level map `extra`.

    Only trainings use them: no probe, no interval and no comparison. Those that are duplicates of a held-out image, or
    of its group, are left out of that fold's trainings; duplicates of test images are left out of all.

    Attributes:
        pattern: a regular expression that is looked for in the path of a train image in its folder, e.g. "^others/".
        share: of these images that an epoch draws, each epoch others: their weight in the loss, and in the time.
    """

    pattern: Annotated[str, pattern_with()]
    share: float = Field(1.0, gt=0, le=1)


class FoldList(Section):
    """The names of the folds, as text; `folds` is a top-level list of params.yaml, because DVC makes stages of it.

    Attributes:
        folds: names of the cross-validation folds; every member trains one model per fold.
    """

    folds: tuple[str, ...] = Field(min_length=2)

    @field_validator("folds", mode="before")
    @classmethod
    def _fold_names(cls, value: Any) -> Any:
        if not isinstance(value, list) or any(isinstance(v, bool) or not isinstance(v, int | str) for v in value):
            raise ValueError(f"must list the folds' names, e.g. [0, 1, 2, 3, 4], not {value!r}")
        names = [str(v) for v in value]
        wrong = [name for name in names if not FOLD.fullmatch(name)]
        if wrong or len(set(names)) < len(names):
            raise ValueError(f"names contain letters, digits and _ only, and each is listed once; change {names}")
        return names
