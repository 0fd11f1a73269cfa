"""Stage `fixres@<member>-<fold>`: models/finetune/<member>/<fold>.safetensors -> models/fixres/ likewise.

Only for the members named in the top-level map `fixres`. The same loop as `finetune`, at another image size and
for the classifier and the norms alone (Touvron et al. 2019, arXiv 1906.06423); also writes held-out predictions
at that size, data/fixres/<member>/<fold>.parquet, and the curves of every epoch, <fold>.live/.
"""

from pathlib import Path

from podium.core import cli
from podium.training import phase, phase_run


def main(member: str, fold: str, root: Path = Path()) -> None:
    """Run the phase at another size of one member on one fold."""
    phase_run.run(phase.load_job("fixres", member, fold, root), root / f"models/finetune/{member}/{fold}.safetensors")


if __name__ == "__main__":
    cli.run(main)
