"""The teacher of the phase `distill`: for each fold, what the blend of its models predicts of the test images.

The student of a fold is scored on that fold, so nothing that it learns from may have seen the fold's labels. Neither
the fold's models have, nor has what is chosen here: TTAs, temperatures and the blend's weights of a fold come from the
other folds' images. The test images' predictions are out of fold, because no model was trained on their labels.
Predictions made elsewhere would not be: `check` refuses them beside `distill`.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from podium.contracts import EXTERNAL_IMAGE_SIZE
from podium.core import tables
from podium.ensembling import inputs as ensemble_inputs
from podium.ensembling.inputs import EnsembleInputs
from podium.ensembling.nested_cv import ChosenMember, HeldOut, NestedCv
from podium.predictions.calibration import Probs
from podium.predictions.tta import IDENTITY
from podium.scoring.evaluation_set import EvaluationSet


def held_out_sets(images: EvaluationSet, n_folds: int) -> list[HeldOut]:
    """Return, for each fold, the outer folds that its images are in: one, or of two folds two halves."""
    return [frozenset(np.unique(images.outer_folds[images.folds == index]).tolist()) for index in range(n_folds)]


def write(inputs: EnsembleInputs, members: Mapping[str, ChosenMember], nested: NestedCv) -> None:
    """Write tables.PREDICTIONS of each fold, data/ensemble/teacher/<fold>.parquet; without students they are empty."""
    sets: Sequence[HeldOut] = held_out_sets(inputs.images, len(inputs.fold_names)) if inputs.has_students else ()
    for index, fold in enumerate(inputs.fold_names):
        table = tables.empty_predictions(inputs.classes)
        if sets and inputs.readable:
            recipe = nested.recipe_without(sets[index])
            table = _table(inputs, fold, ensemble_inputs.blended_test(inputs, members, recipe, index, sets[index]))
        tables.write(table, inputs.root / f"data/ensemble/teacher/{fold}.parquet", tables.PREDICTIONS)


def _table(inputs: EnsembleInputs, fold: str, probs: Probs) -> pd.DataFrame:
    rows = pd.DataFrame({"image_id": inputs.readable, "subset": "test", "fold": fold})
    rows = rows.assign(image_size=EXTERNAL_IMAGE_SIZE, transform=IDENTITY)
    return tables.with_probs(rows, probs, inputs.classes)
