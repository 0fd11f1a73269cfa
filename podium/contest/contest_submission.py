"""A submission in the form that the section `contest` asks for: of `ensemble`, and of predicted new images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from podium.contest import submission
from podium.contest.settings import ContestSettings
from podium.contest.submission import Template
from podium.core import targets


@dataclass(frozen=True)
class SubmittedImages:
    """What a submission has rows for.

    Attributes:
        ids: image_ids of the test images, unreadable ones too.
        others: files of the test folder that are no images.
        by_id: test images of each id that the template may have; {} if ids are names of files.
    """

    ids: Sequence[str]
    others: Sequence[str]
    by_id: Mapping[str, Sequence[str]]


def read_template(
    contest: ContestSettings, images: SubmittedImages, classes: Sequence[str], root: Path
) -> Template | None:
    """Read the contest's template; None if there is none. Errors: as `submission.read_template`."""
    form = contest.submission
    return submission.read_template(
        root / contest.template,
        images.ids,
        classes,
        form,
        images.by_id,
        others=images.others,
        names=form.names,
        absent=form.absent,
        folder=Path(contest.images.test).name,
    )


def write(
    path: Path,
    contest: ContestSettings,
    images: SubmittedImages,
    template: Template | None,
    *,
    test_probs: pd.DataFrame,
    used: pd.DataFrame,
) -> list[str]:
    """Write a submission; return messages to print. Errors: as `submission.write`.

    Args:
        path: of the submission.
        contest: its settings.
        images: what it has rows for.
        template: of `read_template`.
        test_probs: (readable images, 1 + classes) image_id and one column `p:<class>` per class.
        used: train images that are scored (tables.FOLDS); their class shares stand in for a missing prediction.
    """
    form, classes = contest.submission, targets.class_names(used["label"])
    shares = targets.one_label_a_row(used)["label"].value_counts() / len(used)
    return submission.write(
        path,
        test_probs=test_probs,
        prior={name: float(shares[name]) for name in classes},
        template=template,
        test_ids=images.ids,
        others=images.others,
        names=form.names,
        absent=form.absent,
        id_column=contest.columns.id,
        label_column=contest.columns.label_name,
        values=form.values,
        header=form.header,
        labels=form.labels,
        positive=form.positive,
        settings=form,
        by_id=images.by_id,
        fewest_labels=targets.fewest_labels(classes) if targets.are_sets(classes) else None,
    )
