"""The recipe of the whole blend, of one of its members, or of its distilled student, each with its own honest score."""

from pathlib import Path

from podium import contracts
from podium.core import tables
from podium.core.errors import InputError, some
from podium.ensembling.recipe_schema import RecipeFile, RecipeMember, RecipeScore, StoredBlend
from podium.predictions import calibration, prediction_files
from podium.predictions.calibration import Probs
from podium.predictions.tta import IDENTITY
from podium.reports import ablation_steps
from podium.reports.ablation_steps import AblationInputs
from podium.scoring import intervals, scores

ALL, BEST, DISTILLED = "all", "best", "distilled"


def select(recipe: RecipeFile, wanted: str, root: Path) -> RecipeFile:
    """Return the recipe itself, or that of one member: its calibrated probabilities without the blend's decision.

    Args:
        recipe: of the blend.
        wanted: ALL, BEST (of the members' honest scores), DISTILLED (the best student) or a member's name.
        root: of the project.

    Raises:
        InputError: there is no such member, or it was made elsewhere.
    """
    if wanted == ALL:
        return recipe
    if wanted == DISTILLED:
        return _distilled(recipe, root)
    names = [member.name for member in recipe.members if member.source != "elsewhere"]
    name = _best(recipe, names, root) if wanted == BEST else wanted
    if name not in names:
        raise InputError(
            f"SELECT={wanted}: neither all, best, distilled nor a member that predicts here: {some(names)}"
        )
    (member,) = [member for member in recipe.members if member.name == name]
    used = ablation_steps.load(root)
    probs = prediction_files.read_oof(root / f"data/ensemble/members/{name}.parquet", used.used, recipe.classes)
    return _alone(recipe, member, f"{name} alone", _score(recipe, probs, used))


def _alone(recipe: RecipeFile, member: RecipeMember, method: str, score: RecipeScore) -> RecipeFile:
    changes = {
        "members": [member],
        "blend": StoredBlend(kind="linear", weights=[1.0]),
        "method": method,
        "temperature": 1.0,
        "decision": None,
        "score": score,
    }
    return recipe.model_copy(update=changes)


def _distilled(recipe: RecipeFile, root: Path) -> RecipeFile:
    """Return the recipe of the best student of `distill`: the network of the first fold, one pass at its training size.

    One network has the score that is out of fold; the best fold's would be luck.

    Raises:
        InputError: params.yaml has no student, or its trainings have not run.
    """
    inputs = ablation_steps.load(root)
    fold, path = recipe.folds[0], "models/distill/{}/{}.safetensors"
    if missing := [
        path.format(name, fold) for name in inputs.students if not (root / path.format(name, fold)).exists()
    ]:
        raise InputError(f"SELECT=distilled: not found: {some(missing)}; run `dvc repro`")
    if not inputs.students:
        raise InputError("SELECT=distilled: params.yaml names no student; add a member to the map `distill`")
    students = {name: ablation_steps.student_probs(inputs, name) for name in inputs.students}
    balanced = {name: ablation_steps.is_balanced_student(inputs, name) for name in inputs.students}
    scored = {
        name: _score(recipe, inputs.calibrated(probs, balanced=balanced[name]), inputs)
        for name, probs in students.items()
    }
    worst_first = sorted(scored, key=lambda one: scored[one].oof_score or 0.0)
    name = worst_first[0 if scores.is_loss(recipe.score.metric) else -1]
    folds = recipe.model_copy(update={"folds": [fold]})
    return _alone(
        folds, _student(inputs, name, fold, students[name]), f"{name}, distilled from the blend", scored[name]
    )


def _student(inputs: AblationInputs, name: str, fold: str, probs: Probs) -> RecipeMember:
    """Describe a student as a member; its calibration is fitted on all of its out-of-fold predictions."""
    priors = inputs.log_priors if ablation_steps.is_balanced_student(inputs, name) else None
    shifts = None if priors is None else priors[inputs.images.folds]
    fitted = calibration.fit(calibration.log_probs(probs), inputs.images.targets, shifts)
    return RecipeMember(
        name=name,
        source="network",
        image_sizes=[inputs.members[name].model.image_size],
        transforms=[IDENTITY],
        phases=[ablation_steps.DISTILL],
        temperature=fitted.temperature,
        prior_strength=fitted.prior_strength,
        log_priors={} if priors is None else {fold: priors[inputs.fold_names.index(fold)].tolist()},
    )


def _best(recipe: RecipeFile, names: list[str], root: Path) -> str:
    table = tables.read(root / "data/ensemble/members.csv", contracts.MEMBERS).set_index("member").loc[names, "score"]
    return str(table.idxmin() if scores.is_loss(recipe.score.metric) else table.idxmax())


def _score(recipe: RecipeFile, probs: Probs, inputs: AblationInputs) -> RecipeScore:
    """Score predictions of which each outer fold was calibrated by the others."""
    metric, images = scores.named(recipe.score.metric, recipe.classes), inputs.images
    targets = images.targets
    low, high = intervals.score_interval(metric, targets, probs, images.groups)
    return RecipeScore(
        metric=metric.name,
        oof_score=tables.rounded(metric.function(targets, probs)),
        oof_score_low=tables.rounded(low),
        oof_score_high=tables.rounded(high),
        oof_score_naive=None,
        oof_log_loss=tables.rounded(scores.log_loss(targets, probs)),
        n_train_images=len(targets),
    )
