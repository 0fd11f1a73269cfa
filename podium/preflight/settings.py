"""The whole of params.yaml, which `check` validates, with the rules that cross sections."""

import re
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from podium.analysis.settings import AnalyzeSettings
from podium.contest.settings import ContestSettings, ExternalSettings
from podium.core.params import Section
from podium.core.placeholders import NO_FILE
from podium.ensembling.settings import EnsembleSettings
from podium.folds.settings import ExtraSettings, FoldList, SplitSettings
from podium.images.settings import PrepareSettings
from podium.inference.settings import MemberSettings, SoupSettings
from podium.models.settings import TorchSettings
from podium.scoring.scores import RANK_METRICS
from podium.training.settings import DistillSettings, FixresSettings, PhaseSettings, PseudoSettings

SLUG = re.compile(r"[a-z0-9][a-z0-9_]*")
BY_MEMBER = ("fixres", "pseudo", "distill")  # optional maps of phases after `finetune`, by member
RESERVED = {"joint_probe": "the probe on all members' features", "blend": "the blend in tables of members"}


class Podium(FoldList):
    """Every section of params.yaml.

    Attributes:
        contest: your contest's files, metric and submission.
        prepare: how images are decoded and stored.
        analyze: the search for duplicates and odd images.
        split: how folds are drawn.
        torch: device and threads.
        members: the networks, by names of your own.
        fixres: optional third phase at another image size, by member; {} for none.
        pseudo: optional phase with pseudo-labels of test images, by member; {} for none.
        soup: optional mean of several members' weights, by member; {} for none.
        distill: optional distillation of the blend to a member, by member; {} for none.
        extra: images that are trained on and never scored, by names of your own; {} for none.
        external: predictions made elsewhere, by names of your own; {} for none.
        ensemble: how members are blended.
    """

    contest: ContestSettings
    prepare: PrepareSettings
    analyze: AnalyzeSettings
    split: SplitSettings
    torch: TorchSettings
    members: dict[str, MemberSettings] = Field(min_length=1)
    # by member or name; {} for none. DVC makes stages from these maps, so none may be missing
    fixres: dict[str, FixresSettings]
    pseudo: dict[str, PseudoSettings]
    soup: dict[str, SoupSettings]
    distill: dict[str, DistillSettings]
    extra: dict[str, ExtraSettings]
    external: dict[str, ExternalSettings]
    ensemble: EnsembleSettings

    @model_validator(mode="before")
    @classmethod
    def _require_optional_maps(cls, values: Any) -> Any:
        maps = (*BY_MEMBER, "soup", "extra", "external")
        if missing := [key for key in maps if isinstance(values, dict) and key not in values]:
            lines = " and ".join(f"`{key}: {{}}`" for key in missing)
            raise ValueError(f"{', '.join(missing)}: missing; dvc.yaml makes stages from it: add the line {lines}")
        return values

    @field_validator("members", "extra", "external")
    @classmethod
    def _require_slugs(cls, value: dict[str, Section]) -> dict[str, Section]:
        wrong = [name for name in value if not SLUG.fullmatch(name)]
        if wrong:
            raise ValueError(
                f"names may contain only a-z, 0-9 and _, because DVC makes stage names of them; rename {wrong}"
            )
        return value

    @model_validator(mode="after")
    def _refuse_unknown_and_duplicate_names(self) -> Self:
        for key in (*BY_MEMBER, "soup"):
            names = getattr(self, key).keys()
            if unknown := sorted(names - self.members.keys()):
                raise ValueError(f"{key}.{unknown[0]}: no member has this name; members are {', '.join(self.members)}")
            if untrained := sorted(name for name in names if not self.members[name].is_trained):
                raise ValueError(
                    f"{key}.{untrained[0]}: pretrain and finetune of this member have 0 epochs, so there is nothing to"
                    f" continue from; remove it from {key}, or give a phase epochs"
                )
        for name, what in RESERVED.items():
            if name in {*self.members, *self.external}:
                raise ValueError(f"{name} is the name of {what}; use another name")
        if double := sorted(self.external.keys() & self.members.keys()):
            raise ValueError(f"external.{double[0]}: a member already has this name; use another one")
        return self

    @model_validator(mode="after")
    def _refuse_extra_images_without_trainings(self) -> Self:
        if self.extra and not any(member.is_trained for member in self.members.values()):
            raise ValueError("extra: only trainings use these images, and no phase has epochs; set `extra: {}`")
        return self

    @model_validator(mode="after")
    def _require_soups_of_one_network(self) -> Self:
        for name, soup in self.soup.items():
            if unknown := sorted(set(soup.members) - self.members.keys()):
                raise ValueError(f"soup.{name}.members: no member is called {unknown[0]}")
            if len({name, *soup.members}) <= len(soup.members):
                raise ValueError(f"soup.{name}.members: lists other members, each once; {name} itself belongs to it")
            if self.members[name].model.weights == "none":
                raise ValueError(f"soup.{name}: `weights: none`, and means of random starts predict nothing; remove it")
            for other in soup.members:
                if differing := _differing(self.members[name], self.members[other]):
                    raise ValueError(f"soup.{name}.members: {other} differs from {name} in {', '.join(differing)}")
        return self

    @model_validator(mode="after")
    def _refuse_students_of_predictions_made_elsewhere(self) -> Self:
        if self.distill and self.external:
            raise ValueError(
                "distill and external: test predictions made elsewhere come from models that have seen all labels, so a"
                " student would learn the labels of its held-out fold from them; empty one of the two maps"
            )
        return self

    @model_validator(mode="after")
    def _require_keys_that_dvc_tracks(self) -> Self:
        """DVC reports a parameter or path of dvc.yaml that is missing unhelpfully, and only after all training."""
        missing = [
            f"contest.{key}"
            for key in type(self.contest).model_fields
            if key not in {*self.contest.model_fields_set, *self.contest.OPTIONAL}
        ]
        missing += [
            f"contest.lists.{key}" for key in ("train", "test") if key not in self.contest.lists.model_fields_set
        ]
        for name, member in self.members.items():
            if "weights_file" not in member.model.model_fields_set:
                missing.append(f"members.{name}.model.weights_file")
        if missing:
            lists = f"lists: {{train: {NO_FILE}, test: {NO_FILE}}}"
            line = f", e.g. `{lists}` under `contest`" if any("lists" in key for key in missing) else ""
            raise ValueError(f"{', '.join(missing)}: missing; dvc.yaml reads it, so add it with its default{line}")
        return self

    @model_validator(mode="after")
    def _require_a_rank_metric_for_ranks(self) -> Self:
        if self.ensemble.method == "ranks" and self.contest.metric not in RANK_METRICS:
            raise ValueError(
                f"ensemble.method ranks needs contest.metric {' or '.join(RANK_METRICS)}, not"
                f" {self.contest.metric}: ranks are not probabilities"
            )
        return self

    @model_validator(mode="after")
    def _require_channels_of_the_images(self) -> Self:
        for name, member in self.members.items():
            if member.model.channels != self.prepare.channels:
                raise ValueError(
                    f"members.{name}.model: takes {member.model.channels} channels, and prepare.channels is"
                    f" {self.prepare.channels}: set model_kwargs: {{in_chans: {self.prepare.channels}}}"
                )
        return self

    @model_validator(mode="after")
    def _refuse_what_sets_of_labels_lack(self) -> Self:
        if self.contest.task == "classes":
            if self.ensemble.label_temperatures:
                raise ValueError("ensemble.label_temperatures is for sets of labels (contest.task: labels); remove it")
            return self
        phases = {
            f"members.{name}.{key}": getattr(member, key)
            for name, member in self.members.items()
            for key in ("pretrain", "finetune")
        } | {f"fixres.{name}": phase for name, phase in self.fixres.items()}
        wrong = [
            f"{key}.loss: cross_entropy"
            for key, phase in phases.items()
            if "loss" in phase.model_fields_set and phase.loss == "cross_entropy"
        ]
        wrong += [f"{key}.{one.strip('`')}" for key, phase in phases.items() for one in phase.balances()]
        wrong += [key for key in ("pseudo", "distill", "external") if getattr(self, key)]
        wrong += ["ensemble.method: ranks"] if self.ensemble.method == "ranks" else []
        wrong += ["ensemble.leaked_labels"] if self.ensemble.leaked_labels != "ignore" else []
        if wrong:
            raise ValueError(f"{', '.join(wrong)}: not for sets of labels (contest.task: labels); remove it")
        return self

    @model_validator(mode="after")
    def _require_large_enough_images(self) -> Self:
        for name, member in self.members.items():
            for key, size in self._image_sizes(name):
                needed = member.model.side_needed(size)
                if needed > self.prepare.short_side:
                    raise ValueError(
                        f"{key} {size} needs images with a short side of {needed} pixels, and"
                        f" prepare.short_side is {self.prepare.short_side}: raise it"
                    )
        return self

    def optional_phases(self, name: str) -> dict[str, PhaseSettings]:
        """Return a member's settings in the maps of optional phases, by map."""
        maps: dict[str, dict[str, PhaseSettings]] = {key: getattr(self, key) for key in BY_MEMBER}
        return {key: phases[name] for key, phases in maps.items() if name in phases}

    def _image_sizes(self, name: str) -> list[tuple[str, int]]:
        """Return all image sizes that a member uses, each with its key in params.yaml."""
        member = self.members[name]
        sizes = [(f"members.{name}.model.image_size", member.model.image_size)]
        if member.pretrain.image_size is not None:
            sizes.append((f"members.{name}.pretrain.image_size", member.pretrain.image_size))
        sizes += [(f"members.{name}.infer.image_sizes", size) for size in member.infer.image_sizes]
        if name in self.fixres:
            sizes.append((f"fixres.{name}.image_size", self.fixres[name].image_size))
        return sizes


def _differing(one: MemberSettings, other: MemberSettings) -> list[str]:
    """Name what keeps two members from a soup: the network, its start, its input, and whether classes were balanced."""
    keys = ("backbone", "model_kwargs", "weights", "weights_file", "mean", "std", "resize", "crop_fraction")
    found = [f"model.{key}" for key in keys if getattr(one.model, key) != getattr(other.model, key)]
    if one.is_trained != other.is_trained:
        return [*found, "epochs: it has none"]
    if one.last_phase.is_class_balanced != other.last_phase.is_class_balanced:
        found.append("what corrects for the classes' counts")
    return found
