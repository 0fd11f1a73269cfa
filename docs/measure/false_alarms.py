"""Count the false alarms of `audit` on contests with random labels: `python -m docs.measure.false_alarms`, 7 minutes.

Prints for each kind of contest the mean and the standard deviation of the AUC over the draws (chance is 0.5), the mean
standard error that `audit` reports, which should equal that standard deviation, and the number of draws with a warning.
Then times `audit` on large contests.
"""

import time

import numpy as np
import pandas as pd

from podium import contracts
from podium.audit import auditing, metadata
from podium.folds import assignment

FOLDS = ("0", "1", "2", "3", "4")
SIDES = (500, 333, 375, 640, 480)  # pixels
DRAWS = ((60, 2, False, 100), (245, 2, False, 100), (400, 2, True, 100), (600, 4, False, 50), (800, 40, False, 25))
LARGE = ((20_000, 2), (20_000, 12), (20_000, 1000))


def draw(n_images: int, n_classes: int, seed: int, grouped: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw the metadata of a contest's images, and tables.FOLDS; images of a group share their size and label.

    Returns:
        the columns of metadata.FILE and metadata.NAME, and the group, by image_id; and the folds.
    """
    random = np.random.default_rng([seed, n_images, n_classes])
    ids = [f"{number:08x}.jpg" for number in random.integers(0, 2**32, n_images)]
    jitter = random.integers(0, 40, n_images) * (random.random(n_images) < 0.5)
    width, height = random.choice(SIDES, n_images) + jitter, random.choice(SIDES, n_images)
    label, group = random.integers(0, n_classes, n_images), np.arange(n_images)
    if grouped:
        group = random.integers(0, n_images // 4, n_images)
        label, width, height = label[group], width[group], height[group]
    facts = pd.DataFrame({"image_id": ids, "width": width, "height": height})
    facts["bytes"] = (width * height * random.lognormal(-1, 0.4, n_images)).astype(int)
    facts["format"] = pd.Series(random.choice(["JPEG", "PNG"], n_images, p=[0.9, 0.1]), dtype="str")
    facts["mode"] = pd.Series(["RGB"] * n_images, dtype="str")
    labels = pd.DataFrame(
        {"image_id": ids, "label": [f"c{k}" for k in label], "use": "train", "reason": "", "fold": ""}
    )
    labels["group"] = [f"g{k}" for k in group] if grouped else ""
    nothing = pd.DataFrame({column: [] for column in contracts.CLUSTERS.columns}, dtype="str")
    assigned = assignment.assign(labels.astype("str"), clusters=nothing, unreadable=[], names=FOLDS, seed=seed).table
    known = metadata.of_files(facts).join(metadata.of_names(ids, class_folders=False))
    return known.join(assigned.set_index("image_id")["group"]), assigned


def judge(n_images: int, n_classes: int, seed: int, grouped: bool = False) -> auditing.Verdict:
    """Predict the labels of a drawn contest from its metadata, as `audit` does."""
    known, assigned = draw(n_images, n_classes, seed, grouped)
    verdict = auditing.label_leakage(known, assigned, [*metadata.FILE, *metadata.NAME], seed)
    assert isinstance(verdict, auditing.Verdict)
    return verdict


def main() -> None:
    """Print a line per kind of contest."""
    for n_images, n_classes, grouped, draws in DRAWS:
        verdicts = [judge(n_images, n_classes, seed, grouped) for seed in range(draws)]
        aucs = [verdict.auc for verdict in verdicts]
        errors = [(verdict.high - verdict.low) / 2 / auditing.Z for verdict in verdicts]
        alarms = sum(verdict.well_above_chance for verdict in verdicts)
        kind = f"{n_images} images, {n_classes} classes{', in groups of 4' if grouped else ''}"
        print(
            f"{kind}: AUC {np.mean(aucs):.3f}, spread {np.std(aucs):.3f}, reported error {np.mean(errors):.3f},"
            f" {alarms} warnings in {draws} draws",
            flush=True,
        )
    for n_images, n_classes in LARGE:
        start = time.process_time()
        print(f"{auditing.sentence(judge(n_images, n_classes, 0))}: {time.process_time() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
