"""Stage `finetune@<member>-<fold>`: models/pretrain/<member>/<fold>.safetensors -> models/finetune/ likewise.

The same loop as `pretrain` on normal images; also writes held-out predictions at the training size,
data/finetune/<member>/<fold>.parquet, and the curves of every epoch, <fold>.live/.
"""

from pathlib import Path

from podium.core import cli
from podium.training import phase, phase_run


def main(member: str, fold: str, root: Path = Path()) -> None:
    """Run the second phase of one member on one fold."""
    phase_run.run(phase.load_job("finetune", member, fold, root), root / f"models/pretrain/{member}/{fold}.safetensors")


if __name__ == "__main__":
    cli.run(main)
