"""Predictions of a small contest with the classes blue and red, as the stages before `ensemble` write them.

The number in an image's name says its class: even numbers are blue, odd ones red.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from podium import contracts
from podium.core import tables

FOLDERS = {  # by phase
    "finetune": "infer",
    "fixres": "infer_fixres",
    "pretrain": "infer_pretrain",
    "probe": "probe",
    "pseudo": "infer_pseudo",
}
SIGNAL = 0.3  # of `noisy`: how much of a probability follows the class

Images = Sequence[tuple[str, str]]  # (image_id, fold)


def truth(table: pd.DataFrame) -> np.ndarray:
    """1 where an image is red (rows,)."""
    return (table["image_id"].str.extract(r"(\d+)")[0].astype(int) % 2).to_numpy()


def rows(subset: str, images: Images, sizes: Sequence[int], transforms: Sequence[str]) -> pd.DataFrame:
    """Rows of tables.PREDICTIONS, without probabilities."""
    cells = [(i, subset, f, s, t) for (i, f), s, t in itertools.product(images, sizes, transforms)]
    return pd.DataFrame(cells, columns=list(tables.PREDICTIONS.columns))


def with_red(table: pd.DataFrame, red: Any) -> pd.DataFrame:
    """Put in the probability of red (rows,)."""
    red = np.asarray(red, np.float32)
    return table.assign(**{"p:blue": 1 - red, "p:red": red})


def noisy(table: pd.DataFrame, seed: int, signal: float = SIGNAL) -> pd.DataFrame:
    """The same rows in random order, by a model that is better than chance."""
    noise = np.random.default_rng(seed).uniform(0, 1, len(table)) * (1 - signal)
    return with_red(table, noise + signal * truth(table)).sample(frac=1, random_state=seed)


def sure(table: pd.DataFrame, sureness: float) -> pd.DataFrame:
    """The same rows by a model that gives the right class this probability."""
    return with_red(table, np.where(truth(table) == 1, sureness, 1 - sureness))


def write_infer(
    root: Path,
    phase: str,
    name: str,
    *,
    train: Images,
    test_ids: Sequence[str],
    folds: Sequence[str],
    sizes: Sequence[int],
    transforms: Sequence[str],
    seed: int,
    signal: float = SIGNAL,
) -> None:
    """Write what a phase's models predict of train (out of fold) and test images, every fold's of the latter."""
    subsets = [noisy(rows("train", train, sizes, transforms), seed, signal)]
    if test_ids:
        test = list(itertools.product(test_ids, folds))
        subsets.append(noisy(rows("test", test, sizes, transforms), seed, signal))
    tables.write(pd.concat(subsets), root / f"data/{FOLDERS[phase]}/{name}.parquet", tables.PREDICTIONS)


def write_joint_probe(root: Path, train: Images, test_ids: Sequence[str], folds: Sequence[str], seed: int) -> None:
    """Write what the joint probe predicts: at size 0, in the identity transform."""
    subsets = [noisy(rows("train", train, [0], ["identity"]), seed)]
    if test_ids:
        subsets.append(noisy(rows("test", list(itertools.product(test_ids, folds)), [0], ["identity"]), seed))
    tables.write(pd.concat(subsets), root / "data/joint_probe/predictions.parquet", tables.PREDICTIONS)


def write_external(root: Path, name: str, train: Images, test_ids: Sequence[str], sureness: float) -> None:
    """Write predictions made elsewhere, of scored images and readable test images."""
    size, transform = [contracts.EXTERNAL_IMAGE_SIZE], [contracts.EXTERNAL_TRANSFORM]
    test = [(image_id, contracts.EXTERNAL_TEST_FOLD) for image_id in test_ids]
    subsets = [rows("train", train, size, transform), rows("test", test, size, transform)]
    table = pd.concat([sure(subset, sureness) for subset in subsets])
    tables.write(table, root / f"data/external/{name}.parquet", tables.PREDICTIONS)


def change(path: Path, red: Any) -> None:
    """Replace a file's probabilities of red by a function of its rows."""
    table = pd.read_parquet(path)
    tables.write(with_red(table, red(table)), path, tables.PREDICTIONS)
