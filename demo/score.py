"""Score the finished submission with the demo's private labels, as a contest's board would.

`python -m demo.score` from the project's folder; no stage reads the private labels.
"""

import csv
import sys
from collections import Counter
from pathlib import Path

SUBMISSION = Path("data/ensemble/submission.csv")
PRIVATE_LABELS = Path("demo/images/private_labels.csv")


def accuracy(submission: Path, truth: Path) -> float:
    """Return the share of the submission's rows whose label is the true one, in [0, 1].

    Rows are joined by image_id, whatever their order.

    Raises:
        ValueError: a file cannot be read so, a row is missing, doubled or not asked for.
        FileNotFoundError: one of the files is not there.
    """
    submitted, true = read_labels(submission), read_labels(truth)
    if missing := sorted(true.keys() - submitted.keys()):
        raise ValueError(f"{submission}: {len(missing)} images have no row, e.g. {missing[0]}")
    if unknown := sorted(submitted.keys() - true.keys()):
        raise ValueError(f"{submission}: {len(unknown)} rows are of no test image, e.g. {unknown[0]}")
    return sum(submitted[image_id] == label for image_id, label in true.items()) / len(true)


def read_labels(path: Path) -> dict[str, str]:
    """Read a CSV of image_id and label.

    Raises:
        ValueError: the header is another, there are no rows, or an image has two.
    """
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = list(csv.reader(file)) or [[]]
    if header != ["image_id", "label"] or not rows or any(len(row) != 2 for row in rows):
        raise ValueError(f"{path}: must hold a header image_id,label and rows of two cells")
    labels = {row[0]: row[1] for row in rows}
    if len(labels) < len(rows):
        repeated = next(name for name, count in Counter(row[0] for row in rows).items() if count > 1)
        raise ValueError(f"{path}: {len(rows) - len(labels)} rows repeat an image, e.g. {repeated}")
    return labels


def main() -> None:
    """Print the accuracy, or say what is wrong and exit with 1."""
    try:
        print(f"private accuracy {accuracy(SUBMISSION, PRIVATE_LABELS):.4f}")
    except FileNotFoundError as error:
        print(f"ERROR: {error.filename}: not found; run `make` with the demo's params.yaml first", file=sys.stderr)
        raise SystemExit(1) from None
    except ValueError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
