"""Scripts of docs/measure that ask about one class per image refuse sets of labels, before they do anything."""

from pathlib import Path

import pandas as pd
import pytest

from docs.measure import (
    ablation,
    against_probes,
    by_timm,
    joint_sizes,
    measure_novelty,
    one_class,
    planted_labels,
    prior_strength,
    resplit,
)
from podium.core import tables
from podium.core.errors import InputError

OUT = ("member", "--out", "out")


def write_folds(root: Path, labels: list[str]) -> None:
    rows = pd.DataFrame(
        {"image_id": ["a", "b"], "label": labels, "use": "train", "reason": "", "group": "", "fold": "0"}
    )
    tables.write(rows, root / "data/split/folds.csv", tables.FOLDS)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (ablation, OUT),
        (against_probes, ()),
        (by_timm, (*OUT, "--script", "train.py")),
        (joint_sizes, ()),
        (measure_novelty, ()),
        (planted_labels, ()),
        (prior_strength, OUT),
        (resplit, ()),
    ],
)
def test_sets_of_labels_are_refused(tmp_path: Path, script, words) -> None:
    write_folds(tmp_path, ["{rust|scab}", "{}"])
    with pytest.raises(InputError, match="sets of labels"):
        script.main(str(tmp_path), *words)


def test_one_class_per_image_is_not_refused(tmp_path: Path) -> None:
    write_folds(tmp_path, ["rust", "scab"])
    one_class.require(tmp_path)
