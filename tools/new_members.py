"""Propose members for this machine: a recipe, its folds, threads and precision, and the time that it will take.

The time is an estimate from forward passes that are timed here (tools/speed.py), at each member's training size
(tools/stage_costs.py).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from podium.core import workers
from podium.core.colours import RGB
from podium.core.errors import InputError
from podium.inference.settings import MemberSettings
from podium.models.settings import ModelSettings
from podium.preflight import cpu
from tools import speed, stage_costs

GPU_RECIPES = ((70, "strong_80gb"), (20, "strong_24gb"), (7, "strong_8gb"))  # GB of memory -> recipe, the best first
_IN_CHANS = "      model_kwargs: {{in_chans: {}}}  # as many as the images have\n"
CPU_RECIPE, LOCAL_RECIPE = "cpu", "weather"  # the second has the same members, with weights from files
MOST_HOURS = 48.0  # on a GPU: then the next smaller recipe
LONG_HOURS = 8.0  # then three folds instead of five
FASTER = 1.2  # times, from which bf16 is worth it
MOST_FOLDS, LONG_FOLDS = 5, 3
COVERED = 0.9  # of the images are in classes with as many groups as folds
_WHY = {  # top-level keys of a recipe -> comment
    "prepare": "as large as the largest image size below needs; raw pixels, or jpeg if the disk is small",
    "analyze": "defaults, see docs/duplicates.md",
    "split": "keep duplicates with different labels, and warn",
    "fixres": "none: set members that train a third phase at another size",
    "pseudo": "none: set members that train with pseudo-labels",
    "soup": "none: set members whose weights are averaged with those of others",
    "distill": "none: set members that learn from the blend",
    "extra": "none: name images that are trained on and never scored",
    "external": "none: predictions of models outside this project",
    "ensemble": "the blending method with the smallest cost on images that its fit has not seen",
}


@dataclass(frozen=True)
class RunSize:
    """The numbers that a run's time depends on; `groups` are of each class."""

    n_train: int
    n_test: int
    groups: Sequence[int]
    decode: float  # seconds per image
    channels: int = RGB


@dataclass(frozen=True)
class Proposal:
    """The sections of params.yaml after `contest`.

    Attributes:
        recipe: its name in recipes/.
        text: YAML with comments.
        why: this recipe.
        hours: of each member, and of "prepare".
    """

    recipe: str
    text: str
    why: str
    hours: dict[str, float]


def propose(contest: RunSize, device: torch.device, root: Path, wanted: str = "") -> Proposal:
    """Choose a recipe and fit it to this machine.

    Args:
        contest: its numbers.
        device: that trains.
        root: of the project.
        wanted: a recipe's name; "" for the one that fits the machine.

    Raises:
        InputError: there is no such recipe.
    """
    names, why = ([wanted], "you named it") if wanted else _fitting(device, root)
    for name in names:
        proposal = _fitted(name, why, contest, device, root, wanted=bool(wanted))
        if sum(proposal.hours.values()) <= MOST_HOURS or name == names[-1]:
            return proposal
        why = f"{name} would take {sum(proposal.hours.values()):.0f} hours here"
    raise AssertionError("names is not empty")


def n_folds(groups: Sequence[int], most: int) -> int:
    """Return the number of folds: as many as most, or as most images' classes have groups; at least 2."""
    total = sum(groups)
    for n in range(most, 2, -1):
        if sum(count for count in groups if count >= n) >= COVERED * total:
            return n
    return max(2, min(most, max(groups, default=2)))


def seconds(member: MemberSettings, forward: float, n: int, contest: RunSize) -> float:
    """Estimate a member's time.

    Args:
        member: its settings.
        forward: seconds of a forward pass of an image at its training size.
        n: folds.
        contest: its numbers.
    """
    costs = stage_costs.forward_passes(member, {}, n, contest.n_train, contest.n_test)
    return forward * sum(cost * (n if stage in stage_costs.OF_A_FOLD else 1) for stage, cost in costs.items())


def _fitting(device: torch.device, root: Path) -> tuple[list[str], str]:
    """Return the recipes that fit the device, the best first, and why."""
    if device.type == "cuda":
        memory = torch.cuda.get_device_properties(device).total_memory / 1e9
        if names := [name for least, name in GPU_RECIPES if memory >= least]:
            return names, f"the GPU has {memory:.0f} GB"
    files = [member["model"]["weights_file"] for member in _read(LOCAL_RECIPE, root)["members"].values()]
    if all((root / file).is_file() for file in files):
        return [LOCAL_RECIPE], f"no large GPU, and {Path(files[0]).parent.as_posix()} holds its weights"
    return [CPU_RECIPE], "no large GPU: small networks, with weights from the model hub"


def _fitted(name: str, why: str, contest: RunSize, device: torch.device, root: Path, *, wanted: bool) -> Proposal:
    values = _read(name, root)
    members = {key: MemberSettings.model_validate(value) for key, value in values["members"].items()}
    threads = workers.cores()
    torch.set_num_threads(threads)
    precision, reason = _precision(members, device)
    forward = {}
    for key, member in members.items():
        model = member.model.model_copy(update={"precision": precision or member.model.precision})
        print(f"new: timing {key}", flush=True)
        forward[key] = speed.seconds_per_image(model, member.model.image_size, device)
    most = len(values["folds"]) if wanted else MOST_FOLDS
    n = n_folds(contest.groups, most)

    def hours(folds: int) -> dict[str, float]:
        prepare = {"prepare": contest.decode * (contest.n_train + contest.n_test) / threads / 3600}
        return prepare | {key: seconds(one, forward[key], folds, contest) / 3600 for key, one in members.items()}

    why_folds = "as the recipe" if wanted else "five folds are a common choice"
    if n < most:
        why_folds = "the rare classes have few images or groups"
    if n > LONG_FOLDS and not speed.is_loaded() and sum(hours(n).values()) > LONG_HOURS:
        n, why_folds = LONG_FOLDS, f"with {n} the run would take {sum(hours(n).values()):.0f} hours here"
    text = _text(name, root)
    text = re.sub(r"(?m)^folds: .*$", f"# {why_folds}\nfolds: {list(range(n))}", text)
    why_torch = "the cores of this machine; a GPU if there is one"
    text = re.sub(r"(?m)^torch: .*$", f"# {why_torch}\ntorch: {{threads: {threads}, device: auto}}", text)
    if contest.channels != RGB:
        text = _with_channels(text, contest.channels)
    if precision is not None:
        text = _with_precision(text, precision, reason)
    return Proposal(name, text, why, hours(n))


def _precision(members: dict[str, MemberSettings], device: torch.device) -> tuple[str | None, str]:
    """Return the precision to write into each member, None to leave what the recipe says, and why."""
    asked = {member.model.precision for member in members.values()}
    if device.type == "cuda":
        lacks = "bf16" in asked and not torch.cuda.is_bf16_supported(including_emulation=False)
        return ("fp16", "this GPU has no bf16 instructions") if lacks else (None, "")
    if device.type == "cpu" and cpu.emulates_bf16():
        return "fp32", "this CPU has no bf16 instructions"
    if device.type != "cpu" or asked != {"fp32"}:
        return None, ""
    plain, short = (_all_seconds(members, precision, device) for precision in ("fp32", "bf16"))
    measured = f"a forward pass of all members here: fp32 {1000 * plain:.0f} ms, bf16 {1000 * short:.0f} ms"
    return ("bf16" if plain > FASTER * short else "fp32"), measured


def _all_seconds(members: dict[str, MemberSettings], precision: str, device: torch.device) -> float:
    models: list[ModelSettings] = [one.model.model_copy(update={"precision": precision}) for one in members.values()]
    return sum(speed.seconds_per_image(model, model.image_size, device) for model in models)


def _with_precision(text: str, precision: str, reason: str) -> str:
    new = f"      precision: {precision}  # {reason}"
    if re.search(r"(?m)^      precision: ", text):
        return re.sub(r"(?m)^      precision: .*$", new, text)
    return re.sub(r"(?m)^(      weights_file: .*)$", rf"\1\n{new}", text)  # a key of `model` alone


def _with_channels(text: str, channels: int) -> str:
    """Set the channels of all images and members, and remove ops that take RGB alone."""
    text = re.sub(r"(?m)^(prepare: \{.*)\}", rf"\1, channels: {channels}}}", text)
    text = re.sub(r"(?m)^( +model_kwargs: \{)", rf"\1in_chans: {channels}, ", text)
    text = re.sub(r"(?m)^( +- (ColorJitter|TrivialAugment|RandAugment): .*\n)", "", text)
    blocks = text.split("    model:\n")
    with_key = [block if "in_chans" in block.split("    pretrain:")[0] else _IN_CHANS.format(channels) + block
                for block in blocks[1:]]  # fmt: skip
    return "    model:\n".join([blocks[0], *with_key])


def recipe_path(name: str, root: Path) -> Path:
    """Return the file of a recipe.

    Raises:
        InputError: there is none of this name.
    """
    path = root / "recipes" / f"{name}.yaml"
    if not path.is_file():
        there = sorted(one.stem for one in (root / "recipes").glob("*.yaml"))
        raise InputError(f"there is no recipe {name}; there are {', '.join(there)}")
    return path


def _read(name: str, root: Path) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load(recipe_path(name, root).read_text(encoding="utf-8"))
    return values


def _text(name: str, root: Path) -> str:
    """Return a recipe without its contest, its first comment in front of the members, and a comment on each key."""
    whole = recipe_path(name, root).read_text(encoding="utf-8")
    head = "\n".join(line for line in whole.split("contest:\n")[0].splitlines() if "params." not in line)
    body = whole[whole.index("\nprepare:") :].lstrip("\n")
    for key, comment in _WHY.items():
        body = re.sub(rf"(?m)^{key}:", f"# {comment}\n{key}:", body)
    return body.replace("\nmembers:", f"\n# From recipes/{name}.yaml:\n{head}\nmembers:")
