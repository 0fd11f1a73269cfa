"""The settings of `finetune` that tools.tune compares: the member's own, whole recipes, and changes of one thing each.

The list is short, because every candidate costs a training and the score of the best of many is optimistic. It is in
the order of what usually matters most; a short budget drops candidates from its end.

Whole recipes are there because changes of one thing each miss what helps only together. They won on other contests
(docs/results.md), as in Auto-sklearn's portfolios (Feurer et al. 2020, arXiv 2007.04074).
"""

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from podium.core import params
from podium.core.errors import InputError
from podium.training.settings import FinetuneSettings

AS_SET = "as set"
FLIP: dict[str, Any] = {"HorizontalFlip": {"p": 0.5}}
AUGMENTATIONS: dict[str, list[dict[str, Any]]] = {
    "flip": [FLIP],
    "crops and flip": [{"RandomResizedCrop": {"size": ["image_size", "image_size"], "scale": [0.5, 1.0]}}, FLIP],
    "no augmentation": [],
    "TrivialAugment and flip": [FLIP, {"TrivialAugment": {}}],  # takes RGB alone: not tried with other channels
}
RECIPES: dict[str, dict[str, Any]] = {  # the transformer of recipes/antbee.yaml, and of recipes/weather.yaml
    "recipe: 3 epochs, crops": {
        "epochs": 3,
        "lr": 1e-4,
        "warmup_epochs": 1,
        "clip_grad": 1,
        "augmentation": AUGMENTATIONS["crops and flip"],
    },
    "recipe: 10 epochs, TrivialAugment": {
        "epochs": 10,
        "lr": 1e-4,
        "warmup_epochs": 1,
        "clip_grad": 1,
        "augmentation": AUGMENTATIONS["TrivialAugment and flip"],
    },
}
# What recipes leave as set: memory and speed, and what depends on the metric and the counts of the classes
KEPT = ("batch_size", "accumulate", "gradient_checkpointing", "curves", "loss", "class_weights", "sampler")
FROZEN = {"batch norms frozen": "batch_norms", "all but norms frozen": "all_but_norms", "nothing frozen": "nothing"}
# In place of 0 epochs. Not `head_init: probe`, which is refused after phase 1 and for random weights
UNTRAINED: dict[str, Any] = {"epochs": 3, "head_init": "auto", "warmup_epochs": 1}
Changes = Mapping[str, Any]  # key of `finetune` -> value


@dataclass(frozen=True)
class Candidate:
    """Settings of `finetune` to try.

    Attributes:
        name: in words, e.g. `flip, lr / 3`.
        changes: from the member's own settings; none of `as set`.
        kind: of the change: "lr", "augmentation", "epochs" or "frozen"; "" of `as set`, recipes and combinations.
        epochs: of one training, own settings and changes together.
    """

    name: str
    changes: Changes
    kind: str
    epochs: int

    def words(self, member: str) -> list[str]:
        """Return the arguments of `dvc exp run` that make the changes."""
        return [word for key, value in self.changes.items() for word in ("-S", _override(member, key, value))]

    def command(self, member: str) -> str:
        """Return the command for a shell that runs the whole graph with the changes."""
        return shlex.join(["dvc", "exp", "run", *self.words(member)])


def around(own: Mapping[str, Any]) -> list[Candidate]:
    """Return the candidates around a member's own settings, which come first.

    A phase with 0 epochs is `as set` with a few epochs (UNTRAINED), because there is nothing else to vary.

    Args:
        own: the section `finetune` of params.yaml, valid.
    """
    base = {**UNTRAINED, **_within(own, UNTRAINED["epochs"])} if not own["epochs"] else {}
    settings = {**own, **base}
    first = Candidate(AS_SET if not base else f"{settings['epochs']} epochs", base, "", settings["epochs"])
    recipes = [("", name, _differences(settings, recipe)) for name, recipe in RECIPES.items()]
    ideas = [*recipes, *_ideas(settings)]
    made = [_candidate(name, kind, {**base, **changes}, own) for kind, name, changes in ideas]
    return different([first, *(one for one in made if one is not None)], own)


def combined(parts: Sequence[Candidate], own: Mapping[str, Any]) -> Candidate | None:
    """Join candidates of different kinds into one; None if their settings contradict each other."""
    by_epochs = sorted(parts, key=lambda part: part.kind == "epochs")  # last: of 0 epochs, each part has UNTRAINED
    changes = {key: value for part in by_epochs for key, value in part.changes.items()}
    return _candidate(", ".join(part.name for part in parts), "", changes, own)


def shortened(candidate: Candidate, own: Mapping[str, Any], share: float) -> Candidate:
    """Return a candidate that trains for a share of its epochs; its schedule is shortened with them."""
    if share == 1:
        return candidate
    changes = {**candidate.changes, **_other_epochs({**own, **candidate.changes}, share)}
    return Candidate(candidate.name, changes, candidate.kind, changes["epochs"])


def different(found: Sequence[Candidate], own: Mapping[str, Any], share: float = 1) -> list[Candidate]:
    """Leave out candidates that, for a share of their epochs, train as one before them does."""
    kept: list[Candidate] = []
    settings: list[dict[str, Any]] = []
    for candidate in found:
        complete = _complete({**own, **shortened(candidate, own, share).changes})
        if complete not in settings:
            kept.append(candidate)
            settings.append(complete)
    return kept


def _ideas(own: Mapping[str, Any]) -> list[tuple[str, str, Changes]]:
    """Return (kind, name, changes), what usually matters most first."""
    augmented = {name: ("augmentation", name, {"augmentation": ops}) for name, ops in AUGMENTATIONS.items()}
    return [
        ("lr", "lr / 3", _other_lr(own, 1 / 3)),
        augmented["crops and flip"],
        ("lr", "lr x 3", _other_lr(own, 3)),
        augmented["flip"],
        *(("frozen", name, {"frozen": value}) for name, value in FROZEN.items()),
        augmented["TrivialAugment and flip"],
        augmented["no augmentation"],
        ("epochs", "epochs x 2", _other_epochs(own, 2)),
        ("epochs", "epochs / 2", _other_epochs(own, 1 / 2)),
    ]


def _differences(settings: Mapping[str, Any], recipe: Mapping[str, Any]) -> Changes:
    """Return what a recipe changes: its own keys; all others but KEPT to their defaults."""
    before = _complete(settings)
    after = _complete({**{key: before[key] for key in KEPT}, **recipe})
    return {key: value for key, value in after.items() if value != before[key]}


def _candidate(name: str, kind: str, changes: Changes, own: Mapping[str, Any]) -> Candidate | None:
    """Return a candidate; None if its settings are invalid, e.g. norms alone are trained with `drop_path`."""
    try:
        valid = params.parse({**own, **changes}, "finetune", FinetuneSettings)
    except InputError:
        return None
    return Candidate(name, changes, kind, valid.epochs)


def _complete(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in the defaults, so that settings that say the same are equal."""
    return params.parse(settings, "finetune", FinetuneSettings).model_dump(mode="json")


def _other_lr(own: Mapping[str, Any], factor: float) -> Changes:
    values = {key: float(own[key]) for key in ("lr", "min_lr") if key in own}  # PyYAML reads 1e-4 as text
    return {key: float(f"{value * factor:.2g}") for key, value in values.items()}


def _other_epochs(own: Mapping[str, Any], factor: float) -> Changes:
    """Return a schedule that is `factor` as long, in whole epochs."""
    fewest = 2 if "curves" in own or own.get("decay_epochs") else 1  # both are refused for a single epoch
    epochs = max(fewest, math.ceil(own["epochs"] * factor))
    share = epochs / own["epochs"]
    found: dict[str, Any] = {"epochs": epochs}
    if own.get("warmup_epochs"):
        warmup = math.floor(own["warmup_epochs"] * share * 100) / 100  # fewer than epochs
        found["warmup_epochs"] = int(warmup) if warmup.is_integer() else warmup  # to DVC, 1.0 is another setting than 1
    if own.get("head_only_epochs"):
        found["head_only_epochs"] = int(own["head_only_epochs"] * share)
    if own.get("decay_epochs"):
        found["decay_epochs"] = [round(epoch * share) for epoch in own["decay_epochs"]]
    return {**found, **_within({**own, **found}, epochs)}


def _within(settings: Mapping[str, Any], epochs: int) -> dict[str, Any]:
    """Return the settings that must change to be valid with so few epochs."""
    found: dict[str, Any] = {}
    if settings.get("decay_epochs"):
        found["decay_epochs"] = sorted({min(max(epoch, 1), epochs - 1) for epoch in settings["decay_epochs"]})
    if settings.get("head_only_epochs", 0) >= epochs:
        found["head_only_epochs"] = epochs - 1
    if settings.get("average_epochs", 1) > epochs:
        found["average_epochs"] = epochs
    return found


def _override(member: str, key: str, value: Any) -> str:
    """Return a word for `-S`, in Hydra's grammar: it wants no quotes around keys and plain words."""
    return f"++members.{member}.finetune.{key}={json.dumps(value).replace(chr(34), '')}"
