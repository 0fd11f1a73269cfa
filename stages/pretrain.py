"""Stage `pretrain@<member>-<fold>`: models/weights/<member>.safetensors -> models/pretrain/<member>/<fold>.safetensors.

Phase 1, with mixup; not ImageNet pretraining. Trains on mixed images (mixup, CutMix) of the other folds. It also writes
predictions of the held-out fold at the training size, data/pretrain/<member>/<fold>.parquet, and the curves of every
epoch, <fold>.live/.
"""

from pathlib import Path

from podium.core import cli
from podium.training import phase, phase_run


def main(member: str, fold: str, root: Path = Path()) -> None:
    """Run phase 1 of one member on one fold."""
    phase_run.run(phase.load_job("pretrain", member, fold, root), root / f"models/weights/{member}.safetensors")


if __name__ == "__main__":
    cli.run(main)
