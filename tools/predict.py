"""Predict new images with the trained blend: `python -m tools.predict <folder or file> [predictions.csv] [cases.csv]`.

cases.csv says which images are one case (podium.serving.standalone.cases); `none` predicts each image by itself.
"""

import sys
from pathlib import Path

from podium.core import cli
from podium.core.errors import some
from podium.ensembling import recipe_schema


def main(images: str, out: str = "predictions.csv", case_table: str = "", *, root: Path = Path()) -> None:
    """Write a table with a row per file, and say what to know of it."""
    known = recipe_schema.read(root / recipe_schema.PATH).novelty
    from podium.serving import new_predictions  # torch takes seconds to import: not without a recipe

    counts = new_predictions.write(Path(images), Path(out), root, case_table)
    print(f"predict: {counts.files} files, {counts.unreadable} of them unreadable (column `problem`): {out}")
    if counts.cases:
        print(f"predict: {counts.cases} cases; each image has the prediction of its case (column `case`)")
    if counts.lost:
        print(f"predict: WARNING: {len(counts.lost)} cases have no readable image: {some(list(counts.lost))}")
    if known is None:
        print("predict: the recipe does not know the training images' features: no image is called unlike them")
        return
    test = "" if known.false_alarms is None else f" ({known.false_alarms:.1%} of the contest's own test images are)"
    warning = ": do not trust their labels" if counts.unlike else ""
    print(f"predict: {counts.unlike} are unlike all training images{warning}{test}")


if __name__ == "__main__":
    if not sys.argv[1:] or not sys.argv[1]:
        raise SystemExit("usage: make predict IMAGES=<folder or file> [OUT=predictions.csv] [CASES=<CSV or none>]")
    cli.run(main)
