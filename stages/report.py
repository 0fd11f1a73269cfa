"""Stage `report`: out-of-fold predictions of the blend and of its members -> data/report/, their errors in detail.

confusion.csv and classes.csv hold the blend's errors, reliability.csv and calibration.json its calibration, members.csv
and differences.csv how members differ and what each adds. `dvc plots show` displays them. No stage depends on them.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from podium.contest.settings import ContestSettings
from podium.core import cli, params, tables
from podium.core import targets as label_targets
from podium.predictions import prediction_files
from podium.predictions.blend_names import blend_names
from podium.reports import confusion, diversity, reliability, unseen_classes
from podium.scoring import intervals, scores

ERRORS = 3  # most frequent errors printed


@dataclass(frozen=True)
class ReportInputs:
    """Settings and tables of the stage.

    Attributes:
        root: of the project.
        contest: settings of the contest.
        names: members and external predictions, sorted.
        used: rows of folds.csv in use, sorted by image_id.
    """

    root: Path
    contest: ContestSettings
    names: list[str]
    used: pd.DataFrame

    @property
    def classes(self) -> list[str]:
        """Return the classes in the order of the models' outputs."""
        return label_targets.class_names(self.used["label"])


def main(*, root: Path = Path()) -> None:
    """Write the tables and print the most important results."""
    inputs = _load(root)
    targets = label_targets.as_rows(label_targets.of_labels(inputs.used["label"], inputs.classes))
    groups = label_targets.rows_of_images(intervals.dense(inputs.used["group"].to_numpy(str)), inputs.classes)
    probs = _read(inputs, "oof")
    errors = _report_errors(root / "data/report", inputs, probs)
    _report_calibration(root / "data/report", targets, probs, groups)
    metric = scores.named(inputs.contest.metric, inputs.classes)
    unseen = unseen_classes.summary(inputs.used, targets, probs, metric)
    tables.write_json(unseen, root / "data/report/unseen_classes.json")
    for sentence in unseen_classes.sentences(unseen):
        print(f"report: {sentence}")
    pairs, members = diversity.compare_members(
        lambda name: _read(inputs, f"members/{name}"),
        inputs.names,
        metric=metric,
        targets=targets,
        groups=groups,
    )
    tables.write(pairs, root / "data/report/differences.csv", diversity.DIFFERENCES)
    tables.write(members, root / "data/report/members.csv", diversity.MEMBER_VALUE)
    for sentence in members["sentence"]:
        print(f"report: {sentence}")
    print(f"report: {errors}")  # last, because `make` shows a stage's last line


def _load(root: Path) -> ReportInputs:
    values = params.read(root)
    folds = tables.read(root / "data/split/folds.csv", tables.FOLDS).sort_values("image_id", ignore_index=True)
    return ReportInputs(
        root=root,
        contest=params.parse(params.section(values, "contest"), "contest", ContestSettings),
        names=blend_names(values),
        used=folds[folds["use"] == "train"],
    )


def _report_errors(folder: Path, inputs: ReportInputs, probs: prediction_files.Probs) -> str:
    """Write the tables of errors, print the most frequent ones, and return a summary."""
    classes, cluster = inputs.classes, intervals.dense(inputs.used["group"].to_numpy(str))
    names, targets = classes, label_targets.of_labels(inputs.used["label"], classes)
    if label_targets.are_sets(classes):
        by_image = label_targets.probs_of_images(probs, classes)
        predicted = label_targets.predicted_sets(by_image, label_targets.fewest_labels(classes))
        pairs = confusion.table_of_sets(targets == 1, predicted, classes)
        by_class = confusion.by_label(targets == 1, predicted, classes, cluster)
        names = [name for label in classes for name in label_targets.two_classes(label)]
    else:
        pairs = confusion.table(targets, probs.argmax(1), classes)
        by_class = confusion.by_class(targets, probs.argmax(1), classes, cluster)
    tables.write(pairs, folder / "confusion.csv", confusion.CONFUSION)
    tables.write(confusion.plot_table(pairs, names), folder / "confusion_plot.csv", confusion.CONFUSION)
    tables.write(by_class, folder / "classes.csv", confusion.CLASSES)
    for error in confusion.commonest_errors(pairs, ERRORS):
        print(f"report: {error}")
    return confusion.summary(pairs, of_sets=label_targets.are_sets(classes))


def _report_calibration(
    folder: Path, targets: scores.Targets, probs: prediction_files.Probs, cluster: intervals.Groups
) -> None:
    calibration = reliability.calibration(targets, probs)
    tables.write(reliability.table(targets, probs, cluster), folder / "reliability.csv", reliability.RELIABILITY)
    rounded = {key: tables.rounded(value) for key, value in asdict(calibration).items()}
    tables.write_json({**rounded, "verdict": calibration.verdict}, folder / "calibration.json")
    print(
        f"report: the blend's probabilities differ by {calibration.error:.4f} from the shares that are right"
        f" (calibration error); calibrated ones would differ by {calibration.if_calibrated:.4f}, in 95 of 100 cases by"
        f" at most {calibration.if_calibrated_high:.4f}: {calibration.verdict}"
    )


def _read(inputs: ReportInputs, name: str) -> prediction_files.Probs:
    """Read out-of-fold predictions of `ensemble`, (images, classes); all choices behind them used other images only."""
    return prediction_files.read_oof(inputs.root / f"data/ensemble/{name}.parquet", inputs.used, inputs.classes)


if __name__ == "__main__":
    cli.run(main)
