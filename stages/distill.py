"""Stage `distill@<member>-<fold>`: data/ensemble/teacher/<fold>.parquet -> models/distill/<member>/<fold>.safetensors.

Optional last phase, for members of the top-level map `distill`: it goes on from the weights of `finetune` and trains on
the labelled images of the other folds, and on test images with what the blend of this fold's models predicts of them.
The member alone then predicts about what the blend does. `ensemble` does not use it: it is the one model to ship. It
also writes predictions of the held-out fold, data/distill/<member>/<fold>.parquet, and curves, <fold>.live/.
"""

from pathlib import Path

from podium.core import cli
from podium.training import phase, phase_run


def main(member: str, fold: str, root: Path = Path()) -> None:
    """Train one student on one fold."""
    phase_run.run(phase.load_job("distill", member, fold, root), root / f"models/finetune/{member}/{fold}.safetensors")


if __name__ == "__main__":
    cli.run(main)
