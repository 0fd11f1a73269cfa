"""Draw the demo's contest, which asks whether a picture shows the character 福 ("good fortune").

Reads params.yaml beside it and writes images/. DVC runs it in this folder if the root params.yaml names its images.
"""

import os
import sys
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to import `demo` under `python draw.py`

from demo import contest, scenes


def main(root: Path = Path(), workers: int | None = None) -> None:
    """Draw the contest of `root`/params.yaml into `root`/images.

    Raises:
        ValueError: a setting is missing, unknown or out of range.
    """
    values = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))["draw"]
    seed, counts, difficulty = settings(values)
    contest.draw(root / "images", contest.plan(seed, counts), difficulty, workers or os.cpu_count() or 1)


def settings(values: dict[str, Any]) -> tuple[int, dict[str, int], scenes.Difficulty]:
    """Return the seed, the number of images of every subset, and their difficulty.

    Raises:
        ValueError: a setting is missing, unknown or out of range.
    """
    names = {"seed", "n_train", "n_test", *scenes.Difficulty.__dataclass_fields__}
    problems = [f"add {name}" for name in sorted(names - set(values))]
    problems += [f"remove the unknown {name}" for name in sorted(set(values) - names)]
    if problems:
        raise ValueError(f"demo/params.yaml: draw: {', '.join(problems)}")
    counts = {subset: int(values[f"n_{subset}"]) for subset in contest.SUBSETS}
    difficulty = scenes.Difficulty(**{name: float(values[name]) for name in scenes.Difficulty.__dataclass_fields__})
    return int(values["seed"]), counts, difficulty


if __name__ == "__main__":
    try:
        main()
    except ValueError as error:
        raise SystemExit(f"ERROR: {error}") from None
