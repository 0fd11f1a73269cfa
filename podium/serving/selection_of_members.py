"""The recipe of the whole blend, or of one of its members alone with its own honest score."""

from pathlib import Path

from podium import contracts
from podium.core import tables
from podium.core.errors import InputError, some
from podium.ensembling.recipe_schema import RecipeFile, RecipeScore, StoredBlend
from podium.predictions import prediction_files
from podium.scoring import evaluation_set, intervals, scores

ALL, BEST = "all", "best"


def select(recipe: RecipeFile, wanted: str, root: Path) -> RecipeFile:
    """Return the recipe itself, or that of one member: its calibrated probabilities, without the blend's decision.

    Args:
        recipe: of the blend.
        wanted: ALL, BEST (of the members' honest scores) or a member's name.
        root: of the project.

    Raises:
        InputError: there is no such member, or it was made elsewhere.
    """
    if wanted == ALL:
        return recipe
    names = [member.name for member in recipe.members if member.source != "elsewhere"]
    name = _best(recipe, names, root) if wanted == BEST else wanted
    if name not in names:
        raise InputError(f"SELECT={wanted}: neither all, best nor a member that predicts here: {some(names)}")
    (member,) = [member for member in recipe.members if member.name == name]
    changes = {
        "members": [member],
        "blend": StoredBlend(kind="linear", weights=[1.0]),
        "method": f"{name} alone",
        "temperature": 1.0,
        "decision": None,
        "score": _score(recipe, name, root),
    }
    return recipe.model_copy(update=changes)


def _best(recipe: RecipeFile, names: list[str], root: Path) -> str:
    table = tables.read(root / "data/ensemble/members.csv", contracts.MEMBERS).set_index("member").loc[names, "score"]
    return str(table.idxmin() if scores.is_loss(recipe.score.metric) else table.idxmax())


def _score(recipe: RecipeFile, name: str, root: Path) -> RecipeScore:
    """Score one member's predictions, each outer fold by what the others chose."""
    folds = tables.read(root / "data/split/folds.csv", tables.FOLDS).sort_values("image_id", ignore_index=True)
    used = folds[folds["use"] == "train"]
    probs = prediction_files.read_oof(root / f"data/ensemble/members/{name}.parquet", used, recipe.classes)
    metric = scores.named(recipe.score.metric, recipe.classes)
    images = evaluation_set.of_folds(used, recipe.folds, recipe.classes, metric)
    targets = images.targets
    low, high = intervals.score_interval(metric, targets, probs, images.groups)
    return RecipeScore(
        metric=metric.name,
        oof_score=tables.rounded(metric.function(targets, probs)),
        oof_score_low=tables.rounded(low),
        oof_score_high=tables.rounded(high),
        oof_score_naive=None,
        oof_log_loss=tables.rounded(scores.log_loss(targets, probs)),
        n_train_images=len(used),
    )
