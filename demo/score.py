"""Score the finished submission with the demo's private labels, as a contest's private leaderboard would.

Run `python -m demo.score` in the project's folder. No stage reads the private labels.
"""

import csv
import sys
from collections import Counter
from pathlib import Path

SUBMISSION = Path("data/ensemble/submission.csv")
PRIVATE_LABELS = Path("demo/images/private_labels.csv")


def accuracy(submission: Path, truth: Path) -> float:
    """Return the share of test images with the right label, in [0, 1]; rows may be in any order.

    Raises:
        ValueError: a file is malformed, or an image is missing, repeated or unknown.
        FileNotFoundError: one of the files is missing.
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
        ValueError: the header is wrong, there are no rows, or an image is repeated.
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
    """Print the accuracy, or an error and exit with 1."""
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
