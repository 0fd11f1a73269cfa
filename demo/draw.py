"""Draw the demo's contest: tell whether the character 福 ("good fortune") is on a picture.

Reads params.yaml beside it; writes images/. DVC runs it here, in its own folder, when the contest of
the root params.yaml lies here.
"""

import os
import sys
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # `python draw.py` has only this folder on its path

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
    """Return the seed, the number of images of every part, and how hard they are."""
    wanted = {"seed", "n_train", "n_test", *scenes.Difficulty.__dataclass_fields__}
    if wrong := wanted ^ set(values):
        raise ValueError(f"demo/params.yaml: draw: missing or unknown: {', '.join(sorted(wrong))}")
    counts = {part: int(values[f"n_{part}"]) for part in contest.PARTS}
    difficulty = scenes.Difficulty(**{name: float(values[name]) for name in scenes.Difficulty.__dataclass_fields__})
    return int(values["seed"]), counts, difficulty


if __name__ == "__main__":
    try:
        main()
    except ValueError as error:
        raise SystemExit(f"ERROR: {error}") from None
