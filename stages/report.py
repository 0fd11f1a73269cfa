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

from stages.lib import bootstrap, cli, confusion, differences, params, predictions, reliability, scores, tables
from stages.lib.errors import InputError
from stages.lib.settings.contest import ContestSettings
from stages.lib.settings.members import MemberSettings

OOF = "data/ensemble/oof.parquet"
MISTAKES = 3  # that the terminal names


@dataclass(frozen=True)
class Inputs:
    """Settings and tables.

    Attributes:
        folds: folds.csv, sorted by image_id.
        oof: the blend's out-of-fold predictions, sorted by image_id.
        image_sizes: pixels, by member: those that `ensemble` averages.
    """

    root: Path
    contest: ContestSettings
    members: dict[str, MemberSettings]
    folds: pd.DataFrame
    oof: pd.DataFrame
    image_sizes: dict[str, list[int]]

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
        sorted(inputs.members),
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
    members = params.section(values, "members")
    inputs = Inputs(
        root=root,
        contest=params.parse(params.section(values, "contest"), "contest", ContestSettings),
        members={name: params.parse(section, f"members.{name}", MemberSettings) for name, section in members.items()},
        folds=tables.read(root / "data/split/folds.csv", tables.FOLDS).sort_values("image_id", ignore_index=True),
        oof=tables.read(root / OOF, tables.OOF).sort_values("image_id", ignore_index=True),
        image_sizes=_image_sizes(root),
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


def _image_sizes(root: Path) -> dict[str, list[int]]:
    """Return the sizes in pixels that `ensemble` averages, by member."""
    chosen = tables.read(root / "data/ensemble/members.csv", tables.MEMBERS)
    return {row.member: [int(size) for size in row.image_sizes.split()] for row in chosen.itertuples()}


def _read_member(inputs: Inputs, name: str) -> predictions.Probs:
    """Read what `infer` says of the scored images at the sizes that are averaged: (images, classes)."""
    predicted = inputs.folds[inputs.folds["fold"] != ""]  # skipped images have predictions as well
    probs = predictions.read_train(
        [inputs.root / f"data/infer/{name}.parquet"],
        image_ids=list(predicted["image_id"]),
        folds=list(predicted["fold"]),
        classes=inputs.classes,
        image_sizes=inputs.image_sizes[name],
        views=inputs.members[name].infer.views,
    )
    mean = probs[:, :, (predicted["use"] == "train").to_numpy()].mean(axis=(0, 1), dtype=np.float64)
    return np.asarray(mean, np.float32)


if __name__ == "__main__":
    cli.run(main)
