"""Stage `finetune@<member>-<fold>`: models/pretrain/<member>/<fold>.safetensors -> models/finetune/ likewise.

Phase 2, without mixup: the same training loop as `pretrain`. It also writes predictions of the held-out fold at the
training size, data/finetune/<member>/<fold>.parquet, and the curves of every epoch, <fold>.live/.
"""

from pathlib import Path

from podium.core import cli
from podium.training import phase, phase_run


def main(member: str, fold: str, root: Path = Path()) -> None:
    """Run phase 2 of one member on one fold."""
    phase_run.run(phase.load_job("finetune", member, fold, root), root / f"models/pretrain/{member}/{fold}.safetensors")


if __name__ == "__main__":
    cli.run(main)
