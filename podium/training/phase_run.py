"""Run one phase of one member on one fold: train it, or copy its weights if it has 0 epochs."""

import time
from pathlib import Path

from podium.core import tables
from podium.training.phase import FoldImages, TrainingJob, read_fold, write_predictions


def run(job: TrainingJob, weights: Path) -> None:
    """Train one phase from `weights` and write its outputs; with 0 epochs, copy the weights."""
    data = read_fold(tables.read(job.root / "data/split/folds.csv", tables.FOLDS), job.fold)
    if job.settings.epochs == 0:
        job.state_path.unlink(missing_ok=True)
        _copy_weights(job, weights, data)
        return
    from podium.training.trainer import train  # torch takes seconds to import: 0 epochs do not need it

    started = time.monotonic()
    train(job, weights, data)
    _log_seconds(job, time.monotonic() - started)


def _copy_weights(job: TrainingJob, weights: Path, data: FoldImages) -> None:
    with tables.replacing(job.path("models", ".safetensors")) as temporary:
        temporary.write_bytes(weights.read_bytes())
    write_predictions(job, tables.empty_predictions(data.classes))
    tables.write_json({"epochs": 0}, job.path("data", ".live") / "metrics.json")
    print(f"{job.name}: 0 epochs, copies {weights}")


def _log_seconds(job: TrainingJob, seconds: float) -> None:
    """Append the duration to a log that git and DVC ignore: in a hashed output it would change every run."""
    log = job.root / "logs/seconds.csv"
    log.parent.mkdir(exist_ok=True)
    with log.open("a") as opened:
        opened.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S')},{job.name},{seconds:.1f}\n")
