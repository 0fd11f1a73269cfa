"""Predict new images with the recipe of `ensemble`: a table with a row per file, written in chunks."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from podium.core import params, progress, tables
from podium.core.errors import InputError, some
from podium.ensembling import recipe_schema
from podium.ensembling.nested_cv import Recipe
from podium.ensembling.recipe_schema import RecipeFile
from podium.images.image_files import ImageFile
from podium.inference import stored_images
from podium.models import devices
from podium.models.predict import CPU_BATCH
from podium.models.settings import TorchSettings
from podium.predictions.calibration import Probs
from podium.probes import novelty
from podium.probes.novelty import Novelty
from podium.serving import image_stream
from podium.serving.image_stream import ImageChunk
from podium.serving.network_passes import ChunkPredictions, NetworkBuilder, batch_sizes

CHUNK = 512  # readable images that are predicted together
LARGEST_CHUNK = 4096
NAME = "predict"
Ratios = NDArray[np.float64]


@dataclass
class NewPredictionCounts:
    """What was predicted: files, unreadable ones, and images unlike the training images."""

    files: int = 0
    unreadable: int = 0
    unlike: int = 0


@dataclass(frozen=True)
class BlendPredictor:
    """The blend of a recipe whose files were checked."""

    recipe: RecipeFile
    root: Path
    builder: NetworkBuilder

    def predict(self, chunk: ImageChunk) -> tuple[Probs, Ratios | None]:
        """Return probabilities (readable images, classes) and, where the recipe has it, novelty (readable images,)."""
        image_ids = chunk.packed.image_ids
        if not image_ids:
            return np.zeros((0, len(self.recipe.classes)), np.float32), None
        with stored_images.shared(chunk.packed, image_ids, chunk.folder, NAME) as images_at:
            predictions = ChunkPredictions(self.builder, images_at, len(image_ids))
            return self._blended(predictions), self._ratios(predictions)

    def _blended(self, predictions: ChunkPredictions) -> Probs:
        """Blend each fold's models, average the folds, and decide, as `ensemble` does with test images."""
        total = np.zeros((predictions.n_images, len(self.recipe.classes)))
        for index in range(len(self.recipe.folds)):
            total += self._blend.blended(self._members(predictions, index))
        return self._blend.decided((total / len(self.recipe.folds)).astype(np.float32))

    def _members(self, predictions: ChunkPredictions, index: int) -> Iterator[Probs]:
        """Yield each member's probabilities; a member of weight 0 is not computed."""
        unused = np.zeros((predictions.n_images, len(self.recipe.classes)), np.float32)
        for place, member in enumerate(self.recipe.members):
            yield predictions.calibrated(member, index) if self.recipe.contributes(place) else unused

    def _ratios(self, predictions: ChunkPredictions) -> Ratios | None:
        known, measure = self.recipe.novelty, self._novelty
        if known is None or measure is None:
            return None
        network = self.recipe.networks[known.member]
        features = predictions.mean_features(known.member)
        return measure.ratios(features[:, network.transforms.index(known.transform)])

    @cached_property
    def _blend(self) -> Recipe:
        return self.recipe.build()

    @cached_property
    def _novelty(self) -> Novelty | None:
        known = self.recipe.novelty
        return None if known is None else novelty.read(self.root / recipe_schema.NOVELTY, known.threshold)


def load(root: Path) -> BlendPredictor:
    """Read the recipe and check that every file is the one that `ensemble` scored.

    Raises:
        InputError: a file is missing or changed, or the blend needs predictions made elsewhere.
    """
    recipe = recipe_schema.read(root / recipe_schema.PATH)
    require_predictable(recipe)
    changed = [path for path, sha256 in recipe.files.items() if tables.file_hash(root / path) != sha256 or not sha256]
    if changed:
        raise InputError(f"not the files that the blend was scored with: {some(changed)}; run `dvc repro`")
    return BlendPredictor(recipe, root, NetworkBuilder(recipe, root, params.load("torch", TorchSettings, root)))


def require_predictable(recipe: RecipeFile) -> None:
    """Refuse a blend with predictions that were made elsewhere, because their models are not here."""
    elsewhere = [m.name for i, m in enumerate(recipe.members) if m.source == "elsewhere" and recipe.contributes(i)]
    if elsewhere:
        raise InputError(
            f"the blend uses predictions made elsewhere ({some(elsewhere)}), and their models are not here: remove them"
            " from `external` in params.yaml and run `dvc repro`"
        )


def write(images: Path, out: Path, root: Path) -> NewPredictionCounts:
    """Predict a folder or a file and write the table; return the counts.

    Raises:
        InputError: there is no image, no recipe, or as `load`.
    """
    files = image_stream.find(images)
    predictor = load(root)

    def run() -> NewPredictionCounts:
        with tables.replacing(out) as temporary:
            return _write_rows(predictor, files, temporary)

    return devices.reproducibly(NAME, run)


def _write_rows(predictor: BlendPredictor, files: list[ImageFile], out: Path) -> NewPredictionCounts:
    recipe, counts = predictor.recipe, NewPredictionCounts(len(files))
    bar = tqdm(desc=NAME, total=len(files), unit="img", disable=not progress.shown())
    with bar, out.open("w", encoding="utf-8", newline="") as opened:
        for chunk in image_stream.chunks(files, recipe.prepare, chunk_size(batch_sizes(recipe))):
            table = rows(recipe, chunk, *predictor.predict(chunk))
            table.to_csv(opened, index=False, header=opened.tell() == 0, lineterminator="\n")
            counts.unreadable += int((table["problem"] != "").sum())
            counts.unlike += int((table["unlike_training"] == "yes").sum())
            bar.update(len(table))
    return counts


def rows(recipe: RecipeFile, chunk: ImageChunk, probs: Probs, ratios: Ratios | None) -> pd.DataFrame:
    """Return a row per file of a chunk; one that cannot be read has the reason and nothing else."""
    readable = pd.Index(chunk.packed.image_ids)
    labels = np.array(recipe.labels, object)[probs.argmax(axis=1)] if len(readable) else []
    table = pd.DataFrame({"label": labels}, index=readable, dtype=object)
    table["unlike_training"] = "" if ratios is None else np.where(ratios > 1, "yes", "no")
    table["novelty"] = np.nan if ratios is None else ratios.round(4)
    columns = [tables.PROBABILITY + name for name in recipe.classes]
    table = pd.concat([table, pd.DataFrame(probs, index=readable, columns=columns)], axis=1)
    table = table.reindex(list(chunk.problems))
    table.insert(0, "image_id", list(chunk.problems))
    table.insert(4, "problem", list(chunk.problems.values()))
    return table.assign(**{name: table[name].fillna("") for name in ("label", "unlike_training")})


def chunk_size(batches: Sequence[int]) -> int:
    """Return about CHUNK images, a multiple of all batch sizes where that is not too many."""
    common = math.lcm(CPU_BATCH, *batches)
    return CHUNK if common > LARGEST_CHUNK else common * -(-CHUNK // common)
