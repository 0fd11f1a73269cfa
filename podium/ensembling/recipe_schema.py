"""The schema of data/ensemble/recipe.json: everything that `ensemble` decided, as plain data.

docs/predict.md describes it. Fitted blends and decisions become plain numbers here and are built from them again.
JSON writes every float so that it is read back without a change.
"""

from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from podium.core import tables
from podium.core.errors import InputError
from podium.ensembling.blending import Blend, LinearBlend, LogBlend
from podium.ensembling.methods.ranks import Ranking, RankMean
from podium.ensembling.methods.stacking import StackedBlend
from podium.ensembling.nested_cv import Recipe
from podium.images.settings import PrepareSettings
from podium.models.settings import ModelSettings
from podium.scoring.thresholds import Decision, ExpectedPosition, Multipliers

VERSION = 1
SETS_VERSION = 2  # of sets of labels: probabilities have a row for each image and label, and two columns
PATH = "data/ensemble/recipe.json"
NOVELTY = "data/ensemble/novelty.safetensors"


class RecipePart(BaseModel):
    """Base of the schema's parts: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class StoredBlend(RecipePart):
    """A fitted blend.

    Attributes:
        kind: "linear" (weighted mean of probabilities), "log" (of log probabilities), "ranks" or "stacked".
        weights: of the members; empty for "stacked".
        references: of "ranks": by member and class, rising probabilities and the rank of each.
        coefficients: of "stacked": (members, classes, classes), for log probabilities about their mean.
        intercepts: of "stacked": (classes,).
    """

    kind: Literal["linear", "log", "ranks", "stacked"]
    weights: list[float] = []
    references: list[list[tuple[list[float], list[float]]]] = []
    coefficients: list[list[list[float]]] = []
    intercepts: list[float] = []

    @classmethod
    def of(cls, blend: Blend) -> "StoredBlend":
        """Turn a fitted blend into plain numbers."""
        if isinstance(blend, LinearBlend):
            return cls(kind="linear", weights=blend.weights.tolist())
        if isinstance(blend, LogBlend):
            return cls(kind="log", weights=blend.weights.tolist())
        if isinstance(blend, RankMean):
            references = [[(one.values.tolist(), one.ranks.tolist()) for one in row] for row in blend.references]
            return cls(kind="ranks", weights=blend.weights.tolist(), references=references)
        if isinstance(blend, StackedBlend):
            intercepts = blend.intercepts.tolist()
            return cls(kind="stacked", coefficients=blend.coefficients.tolist(), intercepts=intercepts)
        raise TypeError(f"{type(blend).__name__}: add how this blend is stored to podium/ensembling/recipe_schema.py")

    def build(self) -> Blend:
        """Build the blend from its numbers."""
        weights = np.array(self.weights, np.float64)
        if self.kind == "linear":
            return LinearBlend(weights)
        if self.kind == "log":
            return LogBlend(weights)
        if self.kind == "ranks":
            rankings = (tuple(Ranking(np.array(v), np.array(r)) for v, r in row) for row in self.references)
            return RankMean(weights, tuple(rankings))
        return StackedBlend(np.array(self.coefficients), np.array(self.intercepts))


class StoredDecision(RecipePart):
    """Which class to predict (podium.scoring.thresholds).

    Attributes:
        kind: "multipliers" of the class probabilities, or "expected_position" of ordered classes.
        values: the multipliers, or the positions of the classes; (classes,).
        cuts: of "expected_position": (classes - 1,).
    """

    kind: Literal["multipliers", "expected_position"]
    values: list[float]
    cuts: list[float] = []

    @classmethod
    def of(cls, decision: Decision) -> "StoredDecision":
        """Turn a fitted decision into plain numbers."""
        if isinstance(decision, Multipliers):
            return cls(kind="multipliers", values=decision.values.tolist())
        if isinstance(decision, ExpectedPosition):
            return cls(kind="expected_position", values=decision.positions.tolist(), cuts=decision.cuts.tolist())
        raise TypeError(f"{type(decision).__name__}: add how it is stored to podium/ensembling/recipe_schema.py")

    def build(self) -> Decision:
        """Build the decision from its numbers."""
        if self.kind == "multipliers":
            return Multipliers(np.array(self.values))
        return ExpectedPosition(np.array(self.values), np.array(self.cuts))


class RecipeNetwork(RecipePart):
    """A member of params.yaml whose networks predict or make features.

    Attributes:
        model: its section `model`.
        mean, std: of the input of its initial weights; None where these were not there.
        batch_size: of `infer`.
        feature_sizes: pixels, of `infer`; the joint probe and the novelty take the mean of the features at these sizes.
        transforms: of `infer`; the joint probe takes the mean of their features.
    """

    model: ModelSettings
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    batch_size: int
    feature_sizes: list[int]
    transforms: list[str]


class RecipeMember(RecipePart):
    """A member of the blend, in the blend's order.

    Attributes:
        source: "network" (of `networks`), "joint_probe", or "elsewhere" (`external`, which cannot be predicted).
        image_sizes, transforms, phases: its TTA, all averaged.
        temperature: what its log probabilities are divided by.
        prior_strength: share of `log_priors` that is added first.
        log_priors: fold -> (classes,); empty where no class weights were used.
    """

    name: str
    source: Literal["network", "joint_probe", "elsewhere"]
    image_sizes: list[int]
    transforms: list[str]
    phases: list[str]
    temperature: float
    prior_strength: float
    log_priors: dict[str, list[float]]


class RecipeNovelty(RecipePart):
    """How the column `unlike_training` is made (podium.probes.novelty).

    Attributes:
        member: whose initial weights make the features, at its `feature_sizes`, in `transform`.
        threshold: cosine distance from the nearest of the references.
        n_references: training images in data/ensemble/novelty.safetensors.
        false_alarms: share of the contest's own readable test images above the threshold; None without test images.
    """

    member: str
    transform: str
    threshold: float
    n_references: int
    false_alarms: float | None


class RecipeCases(RecipePart):
    """How the images of a case are recognised, where `ensemble` averages test images of one id (`contest.lists`).

    Attributes:
        pattern: a regular expression that is looked for in each path; its group `id` is the case. None if a table says.
        file, id: the table's columns of files and of cases; `id` None is the first column. None where a pattern says.
    """

    pattern: str | None = None
    file: str | None = None
    id: str | None = None


class RecipeScore(RecipePart):
    """The honest score of the blend, as metrics/summary.json has it."""

    metric: str
    oof_score: float | None
    oof_score_low: float | None
    oof_score_high: float | None
    oof_score_naive: float | None
    oof_log_loss: float | None
    n_train_images: int


class RecipeFile(RecipePart):
    """The file.

    Attributes:
        version: of this schema; SETS_VERSION of sets of labels, from which new images cannot be predicted yet.
        classes: in the order of all probabilities.
        labels: (classes,) as the submission spells them.
        folds: each has a model per member; their blends are averaged.
        prepare: the section `prepare`: how images are decoded.
        method: name of the blending method.
        temperature: of the blend.
        label_temperatures: (labels,) of sets of labels, applied after it; not in the file where there are none.
        decision: None where the likeliest class is predicted.
        cases: None, and not in the file, where each test image is predicted by itself.
        files: path -> SHA-256 of every file that predicts; "" where it was not there.
    """

    version: Literal[1, 2]
    classes: list[str]
    labels: list[str]
    folds: list[str]
    prepare: PrepareSettings
    networks: dict[str, RecipeNetwork]
    members: list[RecipeMember]
    method: str
    blend: StoredBlend
    temperature: float
    label_temperatures: list[float] = []
    decision: StoredDecision | None
    novelty: RecipeNovelty | None
    cases: RecipeCases | None = None
    score: RecipeScore
    files: dict[str, str]

    def build(self) -> Recipe:
        """Build what turns members' calibrated probabilities into the blend's."""
        decision = None if self.decision is None else self.decision.build()
        return Recipe(self.blend.build(), self.temperature, tuple(self.label_temperatures), decision)

    def plain(self) -> dict[str, Any]:
        """Return what the file holds."""
        unused = {key for key in ("cases", "label_temperatures") if not getattr(self, key)}
        return self.model_dump(mode="json", exclude=unused)

    def contributes(self, index: int) -> bool:
        """Say whether the blend uses a member: all but those of weight 0."""
        return not self.blend.weights or self.blend.weights[index] > 0


def read(path: Path) -> RecipeFile:
    """Read a recipe.

    Raises:
        InputError: it is missing, is no JSON, or is not of this schema.
    """
    try:
        values: Any = tables.read_json(path)
        found = RecipeFile.model_validate(values)
    except FileNotFoundError:
        raise InputError(f"{path}: not found; run `make` first") from None
    except (ValueError, ValidationError) as error:
        raise InputError(f"{path}: is no recipe of version {VERSION} ({error}); run `dvc repro ensemble`") from None
    if found.version == SETS_VERSION:
        raise InputError(
            f"{path}: of sets of labels (contest.task: labels); new images cannot be predicted from it yet"
        )
    return found
