"""Predict new images with the recipe of `ensemble`: a table with a row per file, written in chunks."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
from podium.ensembling.recipe_schema import RecipeFile, RecipeMember
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
from podium.serving.network_passes import ChunkPredictions, NetworkBuilder, batch_sizes, calibrated
from podium.serving.standalone import cases
from podium.serving.standalone.cases import CaseMeans

CHUNK = 512  # readable images that are predicted together
LARGEST_CHUNK = 4096
NAME = "predict"
Ratios = NDArray[np.float64]


@dataclass
class NewPredictionCounts:
    """What was predicted: files, unreadable ones, images unlike the training images, and cases of several images.

    Attributes:
        cases: 0 where each image is predicted by itself.
        lost: cases without a readable image.
    """

    files: int = 0
    unreadable: int = 0
    unlike: int = 0
    cases: int = 0
    lost: tuple[str, ...] = ()


@dataclass(frozen=True)
class BlendPredictor:
    """The blend of a recipe whose files were checked."""

    recipe: RecipeFile
    root: Path
    builder: NetworkBuilder

    def predict(self, chunk: ImageChunk) -> tuple[Probs, Ratios | None]:
        """Return probabilities (readable images, classes) and, where the recipe has it, novelty (readable images,)."""
        if not chunk.packed.image_ids:
            return np.zeros((0, len(self.recipe.classes)), np.float32), None
        with self._passes(chunk) as passes:
            return self._blended(passes.n_images, passes.calibrated), self._ratios(passes)

    def add(self, chunk: ImageChunk, places: NDArray[np.int64], means: CaseMeans) -> Ratios | None:
        """Add the predictions of a chunk's readable images, which lie at `places`, to their cases; return novelty."""
        if not len(places):
            return None
        with self._passes(chunk) as passes:
            for index, fold in enumerate(self.recipe.folds):
                for place, member in enumerate(self.recipe.members):
                    if self.recipe.contributes(place):
                        means.add((member.name, fold), places, passes.probabilities(member, index))
            return self._ratios(passes)

    def of_cases(self, means: CaseMeans) -> Probs:
        """Return probabilities (cases, classes): the mean comes before the calibration, as in `ensemble`."""

        def mean(member: RecipeMember, index: int) -> Probs:
            fold = self.recipe.folds[index]
            return calibrated(means.mean((member.name, fold)).astype(np.float32), member, fold)

        return self._blended(means.n_cases, mean)

    @contextmanager
    def _passes(self, chunk: ImageChunk) -> Iterator[ChunkPredictions]:
        image_ids = chunk.packed.image_ids
        with stored_images.shared(chunk.packed, image_ids, chunk.folder, NAME) as images_at:
            yield ChunkPredictions(self.builder, images_at, len(image_ids))

    def _blended(self, n_rows: int, of_member: Callable[[RecipeMember, int], Probs]) -> Probs:
        """Blend each fold's models, average the folds, and decide, as `ensemble` does with test images.

        Args:
            n_rows: images or cases.
            of_member: returns a member's calibrated probabilities (rows, classes) by the models of the index-th fold.
        """
        unused = np.zeros((n_rows, len(self.recipe.classes)), np.float32)  # of a member of weight 0
        total = np.zeros((n_rows, len(self.recipe.classes)))
        for index in range(len(self.recipe.folds)):
            total += self._blend.blended(
                of_member(member, index) if self.recipe.contributes(place) else unused
                for place, member in enumerate(self.recipe.members)
            )
        return self._blend.decided((total / len(self.recipe.folds)).astype(np.float32))

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


def write(images: Path, out: Path, root: Path, case_table: str = "") -> NewPredictionCounts:
    """Predict a folder or a file and write the table; return the counts.

    Args:
        images: a folder or a file.
        out: the table.
        root: of the project.
        case_table: which images are one case, as `cases.of_images` reads it.

    Raises:
        InputError: no images are found, the recipe is missing, or `load` or `cases.of_images` raises it.
    """
    files = image_stream.find(images)
    predictor = load(root)
    rule = predictor.recipe.cases
    of_images = cases.of_images(
        [file.image_id for file in files],
        None if rule is None else rule.model_dump(),
        case_table,
        images.resolve().name if images.is_dir() else "",
    )

    def run() -> NewPredictionCounts:
        with tables.replacing(out) as temporary:
            if of_images is None:
                return _write_rows(predictor, files, temporary)
            return _write_cases(predictor, files, of_images, temporary)

    return devices.reproducibly(NAME, run)


def _write_rows(predictor: BlendPredictor, files: list[ImageFile], out: Path) -> NewPredictionCounts:
    recipe, counts = predictor.recipe, NewPredictionCounts(len(files))
    bar = tqdm(desc=NAME, total=len(files), unit="img", disable=not progress.shown())
    with bar, out.open("w", encoding="utf-8", newline="") as opened:
        for chunk in image_stream.chunks(files, recipe.prepare, chunk_size(batch_sizes(recipe))):
            table = rows(recipe, chunk.problems, chunk.packed.image_ids, *predictor.predict(chunk))
            table.to_csv(opened, index=False, header=opened.tell() == 0, lineterminator="\n")
            counts.unreadable += int((table["problem"] != "").sum())
            counts.unlike += int((table["unlike_training"] == "yes").sum())
            bar.update(len(table))
    return counts


@dataclass(frozen=True)
class PredictedChunk:
    """What is kept of an `ImageChunk` until the cases of its images are complete."""

    problems: dict[str, str]
    readable: list[str]
    ratios: Ratios | None


def _write_cases(
    predictor: BlendPredictor, files: list[ImageFile], of_images: Sequence[str], out: Path
) -> NewPredictionCounts:
    """Write a row per file with its case's prediction, once all files are predicted."""
    recipe, image_ids = predictor.recipe, [file.image_id for file in files]
    case_of = dict(zip(image_ids, of_images, strict=True))
    means, places = CaseMeans.of(image_ids, of_images), {image_id: place for place, image_id in enumerate(image_ids)}
    done = []
    with tqdm(desc=NAME, total=len(files), unit="img", disable=not progress.shown()) as bar:
        for chunk in image_stream.chunks(files, recipe.prepare, chunk_size(batch_sizes(recipe))):
            readable = list(chunk.packed.image_ids)
            ratios = predictor.add(chunk, np.array([places[image_id] for image_id in readable], np.int64), means)
            done.append(PredictedChunk(chunk.problems, readable, ratios))
            bar.update(len(chunk.problems))
    problems = {image_id: problem for one in done for image_id, problem in one.problems.items()}
    known = {case_of[image_id] for one in done for image_id in one.readable}
    lost = tuple(sorted(set(of_images) - known - {""}))
    counts = NewPredictionCounts(len(files), sum(map(bool, problems.values())), cases=means.n_cases, lost=lost)
    probs = predictor.of_cases(means) if known else np.zeros((means.n_cases, len(recipe.classes)), np.float32)
    with out.open("w", encoding="utf-8", newline="") as opened:
        for one in done:
            here = probs[[means.of_image[places[image_id]] for image_id in one.readable]]
            table = rows(recipe, one.problems, one.readable, here, one.ratios)
            table.insert(1, "case", [case_of[image_id] for image_id in one.problems])
            table.to_csv(opened, index=False, header=opened.tell() == 0, lineterminator="\n")
            counts.unlike += int((table["unlike_training"] == "yes").sum())
    return counts


def rows(
    recipe: RecipeFile, problems: dict[str, str], image_ids: Sequence[str], probs: Probs, ratios: Ratios | None
) -> pd.DataFrame:
    """Return a row per file of a chunk; one that cannot be read has the reason and nothing else.

    Args:
        recipe: of the predictions.
        problems: image_id -> why it cannot be read, "" if it can; of all files.
        image_ids: of the readable ones.
        probs: (readable images, classes).
        ratios: novelty (readable images,).
    """
    readable = pd.Index(image_ids)
    labels = np.array(recipe.labels, object)[probs.argmax(axis=1)] if len(readable) else []
    table = pd.DataFrame({"label": labels}, index=readable, dtype=object)
    table["unlike_training"] = "" if ratios is None else np.where(ratios > 1, "yes", "no")
    table["novelty"] = np.nan if ratios is None else ratios.round(4)
    columns = [tables.PROBABILITY + name for name in recipe.classes]
    table = pd.concat([table, pd.DataFrame(probs, index=readable, columns=columns)], axis=1)
    table = table.reindex(list(problems))
    table.insert(0, "image_id", list(problems))
    table.insert(4, "problem", list(problems.values()))
    return table.assign(**{name: table[name].fillna("") for name in ("label", "unlike_training")})


def chunk_size(batches: Sequence[int]) -> int:
    """Return about CHUNK images, a multiple of all batch sizes where that is not too many."""
    common = math.lcm(CPU_BATCH, *batches)
    return CHUNK if common > LARGEST_CHUNK else common * -(-CHUNK // common)
