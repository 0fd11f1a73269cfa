"""All of params.yaml at once: what `check` validates, with the rules that cross sections."""

import re
from typing import Self

from pydantic import Field, field_validator, model_validator

from podium.analysis.settings import AnalyzeSettings
from podium.contest.settings import ContestSettings, ExternalSettings
from podium.core.params import Section
from podium.ensembling.settings import EnsembleSettings
from podium.folds.settings import FoldList, SplitSettings
from podium.images.settings import PrepareSettings
from podium.inference.settings import MemberSettings
from podium.models.settings import TorchSettings
from podium.scoring.scores import RANK_METRICS
from podium.training.settings import FixresSettings

SLUG = re.compile(r"[a-z0-9][a-z0-9_]*")


class Podium(FoldList):
    """Every section of params.yaml."""

    contest: ContestSettings
    prepare: PrepareSettings
    analyze: AnalyzeSettings
    split: SplitSettings
    torch: TorchSettings
    members: dict[str, MemberSettings] = Field(min_length=1)
    fixres: dict[str, FixresSettings]  # by member; {} for none: DVC makes stages of both maps, so they must stand there
    external: dict[str, ExternalSettings]
    ensemble: EnsembleSettings

    @field_validator("members", "external")
    @classmethod
    def _names_for_stages(cls, value: dict[str, Section]) -> dict[str, Section]:
        wrong = [name for name in value if not SLUG.fullmatch(name)]
        if wrong:
            raise ValueError(f"names are made of a-z, 0-9 and _ (DVC makes stage names of them), not {wrong}")
        return value

    @model_validator(mode="after")
    def _names_that_are_meant(self) -> Self:
        if unknown := sorted(self.fixres.keys() - self.members.keys()):
            raise ValueError(f"fixres.{unknown[0]}: there is no such member; members are {', '.join(self.members)}")
        if double := sorted(self.external.keys() & self.members.keys()):
            raise ValueError(f"external.{double[0]}: a member has this name already; give it another one")
        return self

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
            for key, size in self._image_sizes(name):
                needed = member.model.side_needed(size)
                if needed > self.prepare.short_side:
                    raise ValueError(
                        f"{key} {size} needs images with a short side of {needed} pixels, and"
                        f" prepare.short_side keeps {self.prepare.short_side}: raise it"
                    )
        return self

    def _image_sizes(self, name: str) -> list[tuple[str, int]]:
        """Return all sizes at which a member sees images, each with the key that says it."""
        member = self.members[name]
        sizes = [(f"members.{name}.model.image_size", member.model.image_size)]
        sizes += [(f"members.{name}.infer.image_sizes", size) for size in member.infer.image_sizes]
        if name in self.fixres:
            sizes.append((f"fixres.{name}.image_size", self.fixres[name].image_size))
        return sizes
