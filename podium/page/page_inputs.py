"""The tables and settings that the page is made of."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from podium import contracts
from podium.activation_maps import map_file
from podium.activation_maps.map_file import MistakeMaps
from podium.contest.settings import ContestSettings
from podium.core import params, pixels, placeholders, tables, targets
from podium.core.pixels import PixelPack
from podium.core.tables import Contract
from podium.predictions import prediction_files
from podium.predictions.prediction_files import Probs
from podium.reports import ablation, chance, confusion, diversity, reliability

NEW_OVERRIDES = "data/contest/overrides.csv"  # where the docs put them
TABLES: dict[str, Contract] = {
    "data/label/problems.csv": contracts.PROBLEMS,
    "data/analyze/findings.csv": contracts.FINDINGS,
    "data/analyze/clusters.csv": contracts.CLUSTERS,
    "data/analyze/leaks.csv": contracts.LEAKS,
    "data/split/folds.csv": tables.FOLDS,
    "data/split/conflicts.csv": contracts.CONFLICTS,
    "data/ensemble/members.csv": contracts.MEMBERS,
    "data/ensemble/methods.csv": contracts.METHODS,
    "data/ensemble/blend.csv": contracts.BLEND,
    "data/review/suspects.csv": contracts.SUSPECTS,
    "data/review/overrides_to_consider.csv": contracts.OVERRIDES,
    "data/report/confusion.csv": confusion.CONFUSION,
    "data/report/confusion_plot.csv": confusion.CONFUSION,
    "data/report/classes.csv": confusion.CLASSES,
    "data/report/reliability.csv": reliability.RELIABILITY,
    "data/report/members.csv": diversity.MEMBER_VALUE,
    "data/ladder/ladder.csv": ablation.ABLATION,
}
SUMMARIES = (
    "data/label/summary.json",
    "data/analyze/summary.json",
    "data/split/balance.json",
    "data/audit/summary.json",
    "data/review/summary.json",
    "data/report/calibration.json",
    "metrics/summary.json",
    "data/ensemble/recipe.json",
)
CURVES = "data/ensemble/curves.csv"


@dataclass(frozen=True)
class PageInputs:
    """What the page is made of.

    Attributes:
        contest: settings of the contest.
        values: of params.yaml.
        facts: contracts.FACTS by subset.
        packs: pixels by subset.
        curves: contracts.CURVES with its series as floats.
        probs: the blend's out-of-fold probabilities (images, classes), in the order of `used` and `classes`; of sets of
            labels (images x labels, 2).
        maps: class-activation maps of the surest mistakes.
        found: the other tables and summaries by their path.
    """

    contest: ContestSettings
    values: dict[str, Any]
    facts: dict[str, pd.DataFrame]
    packs: dict[str, PixelPack]
    curves: pd.DataFrame
    probs: Probs
    maps: MistakeMaps
    found: dict[str, Any]

    def table(self, path: str) -> pd.DataFrame:
        """Return one of TABLES."""
        frame: pd.DataFrame = self.found[path]
        return frame

    def summary(self, path: str) -> dict[str, Any]:
        """Return one of SUMMARIES."""
        summary: dict[str, Any] = self.found[path]
        return summary

    @property
    def has_overrides(self) -> bool:
        """Say whether the contest names a file of overrides."""
        return self.contest.overrides != placeholders.NO_FILE

    @property
    def overrides(self) -> str:
        """Return the contest's file of overrides, or the one to make and name where there is none."""
        return self.contest.overrides if self.has_overrides else NEW_OVERRIDES

    @property
    def all_at_chance(self) -> bool:
        """Say whether no member is better than chance."""
        return chance.all_at_chance(self.summary("data/review/summary.json"))

    @cached_property
    def flagged(self) -> pd.DataFrame:
        """Return the suspected labels that are probably wrong; none if all members are at chance."""
        rows = self.table("data/review/suspects.csv")
        return rows[(rows["flagged"] == "yes") & (not self.all_at_chance)]

    @cached_property
    def used(self) -> pd.DataFrame:
        """Return the train images that are scored, sorted by image_id."""
        return used_images(self.table("data/split/folds.csv"))

    @cached_property
    def classes(self) -> list[str]:
        """Return the classes in the order of the models' outputs."""
        return class_order(self.used)

    @cached_property
    def targets(self) -> NDArray[np.intp]:
        """Return the class index of each of `used`; of sets of labels its rows (podium.core.targets.as_rows)."""
        return targets.as_rows(targets.of_labels(self.used["label"], self.classes))

    @property
    def n_labels(self) -> int:
        """Return the rows of an image in `targets` and `probs`."""
        return targets.rows_per_image(self.classes)

    @cached_property
    def wrong(self) -> NDArray[np.intp]:
        """Return the positions of the rows that the blend gets wrong."""
        return np.flatnonzero(self.probs.argmax(1) != self.targets)

    def row_names(self, row: int) -> list[str]:
        """Return the names of the columns of `probs` in a row."""
        return targets.two_classes(self.classes[row % self.n_labels]) if self.n_labels > 1 else self.classes


def load(root: Path) -> PageInputs:
    """Read everything."""
    values = params.read(root)
    found: dict[str, Any] = {path: tables.read(root / path, contract) for path, contract in TABLES.items()}
    found |= {path: tables.read_json(root / path) for path in SUMMARIES}
    used = used_images(found["data/split/folds.csv"])
    subsets = ("train", "test")
    return PageInputs(
        contest=params.parse(params.section(values, "contest"), "contest", ContestSettings),
        values=values,
        facts={name: tables.read(root / f"data/prepare/{name}/facts.csv", contracts.FACTS) for name in subsets},
        packs={name: pixels.open_rgb(root / f"data/prepare/{name}/pixels.arrow") for name in subsets},
        curves=_curves(root / CURVES),
        probs=prediction_files.read_oof(root / "data/ensemble/oof.parquet", used, class_order(used)),
        maps=map_file.read(root / map_file.PATH),
        found=found,
    )


def used_images(folds: pd.DataFrame) -> pd.DataFrame:
    """Return the scored rows of tables.FOLDS, sorted by image_id."""
    used = folds[folds["use"] == "train"]
    return used.sort_values("image_id", ignore_index=True)


def class_order(used: pd.DataFrame) -> list[str]:
    """Return the classes in the order of the models' outputs."""
    return targets.class_names(used["label"])


def _curves(path: Path) -> pd.DataFrame:
    curves = tables.read_text_csv(path)
    series = [column for column in curves.columns if column not in contracts.CURVES.columns]
    kinds = {"epoch": np.int64} | dict.fromkeys(series, np.float64)
    return curves.replace({name: {"": "nan"} for name in series}).astype(kinds)
