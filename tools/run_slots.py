"""Where the stages that `make JOBS=n` runs at once may run: each slot is what one of them gets in its environment."""

import os
import shutil
import subprocess
from itertools import takewhile
from pathlib import Path

from podium.core import params, workers
from podium.core.errors import InputError
from podium.models.settings import TorchSettings

Slot = dict[str, str]
VISIBLE = "CUDA_VISIBLE_DEVICES"
MOST_LOADERS = 8  # processes that load images, as podium/models/plain_images.py has it


def slots(jobs: str, jobs_per_gpu: str, root: Path) -> list[Slot]:
    """Return the environment of each of the stages that may run at once.

    Args:
        jobs: their number; "" for one per GPU, on a CPU one.
        jobs_per_gpu: how many share a GPU; "" for one.
        root: of the project.

    Raises:
        InputError: a number is none, or the GPUs are too few.
    """
    settings = params.load("torch", TorchSettings, root)
    found = _groups(gpus(settings.device), settings.devices)
    if jobs_per_gpu and not found:
        raise InputError(
            f"JOBS_PER_GPU={jobs_per_gpu}: no GPU is there, or params.yaml has torch.device: cpu; use JOBS"
        )
    each = _number("JOBS_PER_GPU", jobs_per_gpu, 1)
    n_jobs = _number("JOBS", jobs, len(found) * each or 1)
    if found and n_jobs > len(found) * each:
        raise InputError(
            f"JOBS={n_jobs}: {len(found)} GPUs (with torch.devices: groups of GPUs) with {each} each; give"
            f" JOBS_PER_GPU={-(-n_jobs // len(found))} too if their memory is large enough"
        )
    if not found or n_jobs == 1:
        return [{} for _ in range(n_jobs)]
    loaders = os.environ.get("PODIUM_WORKERS") or str(max(1, min(MOST_LOADERS, workers.cores() // n_jobs)))
    return [{VISIBLE: found[place % len(found)], "PODIUM_WORKERS": loaders} for place in range(n_jobs)]


def gpus(device: str) -> list[str]:
    """Return the names of the CUDA GPUs that trainings may use.

    Args:
        device: torch.device of params.yaml.
    """
    if device not in ("auto", "cuda"):
        return []
    if VISIBLE in os.environ:
        named = [name.strip() for name in os.environ[VISIBLE].split(",")]
        return list(takewhile(lambda name: name not in ("", "-1"), named))  # as CUDA reads it
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    printed = subprocess.run((program, "-L"), text=True, capture_output=True, check=False).stdout
    return [line.split()[1].rstrip(":") for line in printed.splitlines() if line.startswith("GPU ")]


def _groups(found: list[str], size: int) -> list[str]:
    """Return the GPUs of each training, comma-separated; those of one training, if there are fewer.

    Args:
        found: names of GPUs.
        size: torch.devices of params.yaml.
    """
    if size < 2:
        return found
    starts = range(0, max(len(found) - size, 0) + 1, size)
    return [",".join(found[start : start + size]) for start in starts if found]


def _number(name: str, text: str, default: int) -> int:
    if text and not (text.isdecimal() and int(text)):
        raise InputError(f"{name}={text}: give a whole number of at least 1")
    return int(text) if text else default
