"""Stage `report`: the blend's and the members' out-of-fold predictions -> data/report/: how they err, how they differ.

Tables of the blend's mistakes (confusion.csv, classes.csv), of whether its probabilities mean what they say
(reliability.csv, calibration.json), and of what each member adds (members.csv, differences.csv). `dvc plots show`
displays them. Nothing depends on them.
"""

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from stages.lib import (
    blended,
    bootstrap,
    cli,
    confusion,
    differences,
    params,
    predictions,
    reliability,
    scores,
    sources,
    tables,
)
from stages.lib.errors import InputError
from stages.lib.resolution import Look
from stages.lib.settings.contest import ContestSettings

OOF = "data/ensemble/oof.parquet"
MISTAKES = 3  # that the terminal names


@dataclass(frozen=True)
class Inputs:
    """Settings and tables.

    Attributes:
        folds: folds.csv, sorted by image_id.
        oof: the blend's out-of-fold predictions, sorted by image_id.
        sources: of the members and of predictions made elsewhere.
        looks: those that `ensemble` takes, by member.
    """

    root: Path
    contest: ContestSettings
    sources: dict[str, sources.Source]
    folds: pd.DataFrame
    oof: pd.DataFrame
    looks: dict[str, Look]

    @property
    def used(self) -> pd.DataFrame:
        """Return the train images that are scored."""
        return self.folds[self.folds["use"] == "train"]

    @property
    def classes(self) -> list[str]:
        """Return the classes in the order of the models' outputs."""
        return tables.class_names(self.oof)


def main(*, root: Path = Path()) -> None:
    """Write the tables, and say the gist."""
    inputs = _load(root)
    targets = np.asarray(pd.Index(inputs.classes).get_indexer(inputs.oof["label"]), np.int64)
    cluster = bootstrap.clusters(list(inputs.used["group"]))
    probs = inputs.oof[[tables.PROBABILITY + name for name in inputs.classes]].to_numpy(np.float32)
    _report_blend(root / "data/report", targets, probs, cluster, inputs.classes)
    pairs, members = differences.judge(
        partial(_read_member, inputs),
        sorted(inputs.sources),
        metric=scores.named(inputs.contest.metric, inputs.classes),
        targets=targets,
        cluster=cluster,
    )
    tables.write(pairs, root / "data/report/differences.csv", differences.DIFFERENCES)
    tables.write(members, root / "data/report/members.csv", differences.MEMBERS)
    for sentence in members["sentence"]:
        print(f"report: {sentence}")


def _load(root: Path) -> Inputs:
    values = params.read(root)
    inputs = Inputs(
        root=root,
        contest=params.parse(params.section(values, "contest"), "contest", ContestSettings),
        sources=blended.sources_of(values, root),
        folds=tables.read(root / "data/split/folds.csv", tables.FOLDS).sort_values("image_id", ignore_index=True),
        oof=tables.read(root / OOF, tables.OOF).sort_values("image_id", ignore_index=True),
        looks=_looks(root),
    )
    for column in ("image_id", "label"):
        if list(inputs.oof[column]) != list(inputs.used[column]):
            raise InputError(f"{OOF}: its images or labels are not those of folds.csv; run `dvc repro` to rebuild it")
    return inputs


def _report_blend(
    folder: Path, targets: scores.Targets, probs: predictions.Probs, cluster: bootstrap.Clusters, classes: list[str]
) -> None:
    predicted = probs.argmax(1)
    confused = confusion.table(targets, predicted, classes)
    calibration = reliability.calibration(targets, probs)
    by_class = confusion.by_class(targets, predicted, classes, cluster)
    tables.write(confused, folder / "confusion.csv", confusion.CONFUSION)
    tables.write(confusion.picture(confused, classes), folder / "confusion_plot.csv", confusion.CONFUSION)
    tables.write(by_class, folder / "classes.csv", confusion.CLASSES)
    tables.write(reliability.table(targets, probs, cluster), folder / "reliability.csv", reliability.RELIABILITY)
    rounded = {key: tables.rounded(value) for key, value in asdict(calibration).items()}
    tables.write_json({**rounded, "verdict": calibration.words}, folder / "calibration.json")
    for mistake in confusion.confused(confused, MISTAKES):
        print(f"report: {mistake}")
    print(
        f"report: calibration error {calibration.error:.4f}; a calibrated model would show"
        f" {calibration.if_calibrated:.4f} (up to {calibration.if_calibrated_high:.4f}): {calibration.words}"
    )


def _looks(root: Path) -> dict[str, Look]:
    """Return how `ensemble` has each member look at images."""
    chosen = tables.read(root / "data/ensemble/members.csv", tables.MEMBERS)
    return {
        row.member: Look(tuple(map(int, row.image_sizes.split())), tuple(row.views.split()), row.phase)
        for row in chosen.itertuples()
    }


def _read_member(inputs: Inputs, name: str) -> predictions.Probs:
    """Return what a member says of the scored images in its look: (images, classes)."""
    return sources.plain(inputs.sources[name], inputs.looks[name], inputs.folds, inputs.classes)


if __name__ == "__main__":
    cli.run(main)
