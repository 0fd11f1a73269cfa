"""Stage `pseudo@<member>-<fold>`: models/finetune/<member>/<fold>.safetensors -> models/pseudo/ likewise.

Optional phase after `finetune`, for members of the top-level map `pseudo`: the same training loop, on the labelled
images of the other folds and on pseudo-labels. These are what the fold's own model predicts of all test images and of
its held-out images. The stage reads no model of another fold, because that model has learned the labels of this fold.
It also writes predictions of the held-out fold, data/pseudo/<member>/<fold>.parquet, and curves, <fold>.live/.
"""

from pathlib import Path

from podium.core import cli
from podium.training import phase, phase_run


def main(member: str, fold: str, root: Path = Path()) -> None:
    """Train one member on one fold with pseudo-labels."""
    phase_run.run(phase.load_job("pseudo", member, fold, root), root / f"models/finetune/{member}/{fold}.safetensors")


if __name__ == "__main__":
    cli.run(main)
