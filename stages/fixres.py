"""Stage `fixres@<member>-<fold>`: models/finetune/<member>/<fold>.safetensors -> models/fixres/ likewise.

Optional phase 3, for members of the top-level map `fixres`: the same training loop as `finetune`, at another image
size, for the classifier and the norms only (Touvron et al. 2019, arXiv 1906.06423). It also writes predictions of the
held-out fold at that size, data/fixres/<member>/<fold>.parquet, and the curves of every epoch, <fold>.live/.
"""

from pathlib import Path

from podium.core import cli
from podium.training import phase, phase_run


def main(member: str, fold: str, root: Path = Path()) -> None:
    """Run phase 3 of one member on one fold."""
    phase_run.run(phase.load_job("fixres", member, fold, root), root / f"models/finetune/{member}/{fold}.safetensors")


if __name__ == "__main__":
    cli.run(main)
