"""Write a submission of predicted images: `python -m tools.submission predictions.csv [template] [submission.csv]`.

predictions.csv is the table of `make predict`, or of a bundle's predict.py. It needs params.yaml, data/split/folds.csv
and no torch. docs/kaggle.md uses it in a notebook whose test images and template are others than here.
"""

from pathlib import Path

from podium.contest import contest_submission, image_lists
from podium.contest.contest_submission import SubmittedImages
from podium.contest.no_images import split_files
from podium.contest.settings import ContestSettings
from podium.core import cli, params, tables, targets
from podium.core.errors import InputError, some


def main(predictions: str, template: str = "", out: str = "submission.csv", *, root: Path = Path()) -> None:
    """Write a submission.

    Args:
        predictions: the table.
        template: the contest's; "" for contest.template.
        out: the submission.
        root: of the project.

    Raises:
        InputError: the table has other classes than the training images, or none of the contest's images.
    """
    contest = params.parse(params.section(params.read(root), "contest"), "contest", ContestSettings)
    if template:
        contest = contest.model_copy(update={"template": str(Path(template).resolve())})
    folds = tables.read(root / "data/split/folds.csv", tables.FOLDS).sort_values("image_id", ignore_index=True)
    used = folds[folds["use"] == "train"]
    classes = targets.class_names(used["label"])
    columns = [tables.PROBABILITY + name for name in classes]
    rows = tables.read_text_csv(Path(predictions))
    if missing := {"image_id", "problem", *columns}.difference(rows.columns):
        raise InputError(f"{predictions}: no column {some(sorted(missing))}: is it the table of this project's models?")
    selection = image_lists.select(rows["image_id"], contest.lists, "test", root, contest.images.test)
    rows = rows[rows["image_id"].isin(list(selection.ids))].sort_values("image_id", ignore_index=True)
    images = SubmittedImages(*split_files(rows), selection.by_id)
    probs = rows.loc[rows["problem"] == "", ["image_id", *columns]].astype(dict.fromkeys(columns, "float64"))
    read = contest_submission.read_template(contest, images, classes, root)
    for message in contest_submission.write(Path(out), contest, images, read, test_probs=probs, used=used):
        print(f"submission: {message}")
    print(f"submission: {out}: {len(probs)} of {len(rows)} files have a prediction")


if __name__ == "__main__":
    cli.run(main)
