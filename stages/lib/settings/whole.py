"""All of params.yaml at once: what `check` validates, with the rules that cross sections."""

import re
from typing import Self

from pydantic import Field, field_validator, model_validator

from stages.lib.settings.compute import TorchSettings
from stages.lib.settings.contest import ContestSettings
from stages.lib.settings.data import AnalyzeSettings, FoldList, PrepareSettings, SplitSettings
from stages.lib.settings.ensemble import RANK_METRICS, EnsembleSettings
from stages.lib.settings.members import MemberSettings

SLUG = re.compile(r"[a-z0-9][a-z0-9_]*")


class Podium(FoldList):
    """Every section of params.yaml."""

    contest: ContestSettings
    prepare: PrepareSettings
    analyze: AnalyzeSettings
    split: SplitSettings
    torch: TorchSettings
    members: dict[str, MemberSettings] = Field(min_length=1)
    ensemble: EnsembleSettings

    @field_validator("members")
    @classmethod
    def _member_names(cls, value: dict[str, MemberSettings]) -> dict[str, MemberSettings]:
        wrong = [name for name in value if not SLUG.fullmatch(name)]
        if wrong:
            raise ValueError(f"names are made of a-z, 0-9 and _ (DVC makes stage names of them), not {wrong}")
        return value

    @model_validator(mode="after")
    def _keys_that_dvc_tracks(self) -> Self:
        """DVC fails on a missing parameter or path of dvc.yaml in its own words, and after all training."""
        lacking = [
            f"contest.{key}" for key in type(self.contest).model_fields if key not in self.contest.model_fields_set
        ]
        for name, member in self.members.items():
            if "weights_file" not in member.model.model_fields_set:
                lacking.append(f"members.{name}.model.weights_file")
        if lacking:
            raise ValueError(
                f"{', '.join(lacking)}: missing; dvc.yaml names it, so it must stand there, with its default"
            )
        return self

    @model_validator(mode="after")
    def _ranks_for_a_metric_of_ranks(self) -> Self:
        if self.ensemble.method == "ranks" and self.contest.metric not in RANK_METRICS:
            raise ValueError(
                f"ensemble.method ranks goes with contest.metric {' or '.join(RANK_METRICS)}, not"
                f" {self.contest.metric}: ranks are no probabilities"
            )
        return self

    @model_validator(mode="after")
    def _sizes_within_what_is_kept(self) -> Self:
        for name, member in self.members.items():
            for key, size in _image_sizes(member):
                needed = member.model.side_needed(size)
                if needed > self.prepare.short_side:
                    raise ValueError(
                        f"members.{name}.{key} {size} needs images with a short side of {needed} pixels, and"
                        f" prepare.short_side keeps {self.prepare.short_side}: raise it"
                    )
        return self


def _image_sizes(member: MemberSettings) -> list[tuple[str, int]]:
    inferred = [("infer.image_sizes", size) for size in member.infer.image_sizes]
    return [("model.image_size", member.model.image_size), *inferred]
