"""Stage `pretrain@<member>-<fold>`: models/weights/<member>.safetensors -> models/pretrain/<member>/<fold>.safetensors.

Trains on mixed images (mixup, CutMix) of the other folds; also writes held-out predictions at the training
size, data/pretrain/<member>/<fold>.parquet, and the curves of every epoch, <fold>.live/.
"""

from pathlib import Path

from podium.core import cli
from podium.training import phase, phase_run


def main(member: str, fold: str, root: Path = Path()) -> None:
    """Run the first phase of one member on one fold."""
    phase_run.run(phase.load_job("pretrain", member, fold, root), root / f"models/weights/{member}.safetensors")


if __name__ == "__main__":
    cli.run(main)
