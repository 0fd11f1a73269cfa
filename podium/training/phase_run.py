"""Run one phase of one member on one fold: train it, or copy its weights if it has 0 epochs."""

from pathlib import Path

from podium.core import tables
from podium.training.phase import FoldImages, TrainingJob, extra_files, read_fold, with_extra, write_predictions


def run(job: TrainingJob, weights: Path) -> None:
    """Train one phase from `weights` and write its outputs; with 0 epochs, copy the weights."""
    data = read_fold(tables.read(job.root / "data/split/folds.csv", tables.FOLDS), job.fold)
    data = with_extra(data, extra_files(job.root), job.fold)
    if job.settings.epochs == 0:
        job.state_path.unlink(missing_ok=True)
        _copy_weights(job, weights, data)
        return
    from podium.training.trainer import train  # torch takes seconds to import: 0 epochs do not need it

    train(job, weights, data)


def _copy_weights(job: TrainingJob, weights: Path, data: FoldImages) -> None:
    with tables.replacing(job.path("models", ".safetensors")) as temporary:
        temporary.write_bytes(weights.read_bytes())
    write_predictions(job, tables.empty_predictions(data.classes))
    tables.write_json({"epochs": 0}, job.path("data", ".live") / "metrics.json")
    print(f"{job.name}: 0 epochs, copies {weights}")
