"""Write the recipe: what `ensemble` decided, for images that come later (recipe_schema.py)."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from podium.contest import cases, submission
from podium.core import array_file, params, tables, targets
from podium.ensembling.inputs import EnsembleInputs
from podium.ensembling.nested_cv import NONE_HELD_OUT, ChosenMember, Outcome
from podium.ensembling.recipe_schema import (
    NOVELTY,
    PATH,
    SETS_VERSION,
    VERSION,
    RecipeCases,
    RecipeFile,
    RecipeMember,
    RecipeNetwork,
    RecipeNovelty,
    RecipeScore,
    StoredBlend,
    StoredDecision,
)
from podium.ensembling.tta_selection import TtaCandidate
from podium.images.settings import PrepareSettings
from podium.predictions.tta import ELSEWHERE, IDENTITY, JOINT_PROBE, PROBE
from podium.probes import classifier_file, features_file, novelty


def write(
    inputs: EnsembleInputs,
    members: Mapping[str, ChosenMember],
    candidates: Mapping[str, Sequence[TtaCandidate]],
    outcome: Outcome,
    summary: Mapping[str, Any],
) -> RecipeFile:
    """Write recipe.json and the references of the novelty; return the recipe."""
    known = _write_novelty(inputs, candidates)
    blend = StoredBlend.of(outcome.recipe.blend)
    stored = [_member(inputs, name, member) for name, member in members.items()]
    used = [one for index, one in enumerate(stored) if not blend.weights or blend.weights[index] > 0]
    decision = outcome.recipe.decision
    found = RecipeFile(
        version=SETS_VERSION if targets.are_sets(inputs.classes) else VERSION,
        classes=inputs.classes,
        labels=_labels(inputs),
        folds=list(inputs.fold_names),
        prepare=params.parse(params.read(inputs.root).get("prepare", {}), "prepare", PrepareSettings),
        networks={name: _network(inputs, name) for name in inputs.members},
        members=stored,
        method=outcome.selection.method,
        blend=blend,
        temperature=outcome.recipe.temperature,
        label_temperatures=list(outcome.recipe.label_temperatures),
        decision=None if decision is None else StoredDecision.of(decision),
        novelty=known,
        cases=_cases(inputs),
        score=RecipeScore(**{key: summary[key] for key in RecipeScore.model_fields}),
        files={path: tables.file_hash(inputs.root / path) for path in sorted(_paths(inputs, used, known))},
    )
    tables.write_json(found.plain(), inputs.root / PATH)
    return found


def _cases(inputs: EnsembleInputs) -> RecipeCases | None:
    """Return how `contest.lists` tells the images of an id, where an id may have several."""
    lists = inputs.contest.lists
    if not cases.has_cases(inputs.contest) and all(len(images) == 1 for images in inputs.by_id.values()):
        return None
    if lists.file is not None:
        return RecipeCases(file=lists.file, id=lists.id)
    return RecipeCases(pattern=lists.test_pattern) if inputs.by_id else None


def _labels(inputs: EnsembleInputs) -> list[str]:
    """Return the classes as the submission spells them; as given where it holds probabilities or numbers."""
    settings = inputs.contest.submission
    template = inputs.template if settings.values in ("label", "labels") else None
    spelled = submission.spellings(inputs.classes, settings.labels, template, settings.names)
    return [spelled[name] for name in inputs.classes]


def _network(inputs: EnsembleInputs, name: str) -> RecipeNetwork:
    settings = inputs.members[name]
    mean, std = _mean_and_std(inputs.root / f"models/weights/{name}.safetensors")
    return RecipeNetwork(
        model=settings.model,
        mean=mean,
        std=std,
        batch_size=settings.infer.batch_size,
        feature_sizes=features_file.size_order(settings.infer.image_sizes, settings.model.image_size),
        transforms=list(settings.infer.transforms),
    )


def _mean_and_std(path: Path) -> tuple[Any, Any]:
    """Read the mean and std of initial weights (podium.models.initial_weights), without torch."""
    if not path.exists():
        return None, None
    values = array_file.read_meta(path)["preprocessing"]
    return values["mean"], values["std"]


def _member(inputs: EnsembleInputs, name: str, member: ChosenMember) -> RecipeMember:
    choice = member.choices[NONE_HELD_OUT]
    phases, shifts = choice.tta.phases, inputs.prior_shifts(name)
    shift = next((shifts[phase] for phase in phases if phase in shifts), None)
    rows = {} if shift is None else dict(zip(inputs.fold_names, shift.tolist(), strict=True))
    special = {ELSEWHERE: "elsewhere", JOINT_PROBE: "joint_probe"}
    return RecipeMember(
        name=name,
        source=special.get(phases[0], "network"),
        image_sizes=list(choice.tta.image_sizes),
        transforms=list(choice.tta.transforms),
        phases=list(phases),
        temperature=choice.calibration.temperature,
        prior_strength=choice.calibration.prior_strength,
        log_priors=rows,
    )


def _paths(inputs: EnsembleInputs, used: Sequence[RecipeMember], known: RecipeNovelty | None) -> Iterator[str]:
    """Name the files that predict; a path may come several times."""
    if known is not None:
        yield from (NOVELTY, f"models/weights/{known.member}.safetensors")
    for member in used:
        if member.source == "joint_probe":
            yield classifier_file.JOINT
            yield from (f"models/weights/{name}.safetensors" for name in inputs.members)
        for phase in member.phases if member.source == "network" else ():
            if phase == PROBE:
                yield from (f"models/weights/{member.name}.safetensors", classifier_file.of_member(member.name))
            else:
                yield from (f"models/{phase}/{member.name}/{fold}.safetensors" for fold in inputs.fold_names)


def _write_novelty(inputs: EnsembleInputs, candidates: Mapping[str, Sequence[TtaCandidate]]) -> RecipeNovelty | None:
    """Fit the novelty on the features of the member with the best probe; None where no features were written."""
    path = inputs.root / NOVELTY
    costs = {
        name: min(one.log_loss for one in candidates[name] if one.tta.phases == (PROBE,))
        for name in inputs.members
        if (inputs.root / f"data/probe/{name}.safetensors").exists()
    }
    if not costs:
        novelty.write(path, np.zeros((0, 1), np.float32))
        return None
    name = min(costs, key=lambda member: costs[member])
    transforms = list(inputs.members[name].infer.transforms)
    transform = IDENTITY if IDENTITY in transforms else transforms[0]
    source, place = inputs.root / f"data/probe/{name}.safetensors", transforms.index(transform)
    train = features_file.read(source, "train", list(inputs.used["image_id"]))[:, place]
    found = novelty.fit(train, inputs.used["fold"].to_numpy(str))
    novelty.write(path, found.references)
    test = features_file.read(source, "test", inputs.readable)[:, place] if inputs.readable else train[:0]
    return RecipeNovelty(
        member=name,
        transform=transform,
        threshold=found.threshold,
        n_references=len(found.references),
        false_alarms=float((found.ratios(test) > 1).mean()) if len(test) else None,
    )
