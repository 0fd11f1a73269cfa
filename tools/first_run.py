"""Estimate how long the stages of members take that never ran here, from forward passes that are timed here.

The times of the passes are kept, by network, image size and machine; so a second `make check` times nothing.
"""

import hashlib
import json
import time
from pathlib import Path

import torch

from podium.core import params, stage_times, tables
from podium.inference.settings import MemberSettings
from podium.models import devices
from podium.preflight import input_tables
from podium.preflight.settings import Podium
from tools import run_estimate, speed, stage_costs

PASSES = Path("logs/forward_seconds.json")  # ignored by git and DVC
NO_PASS = 1.0  # seconds of a stage that copies weights, because its phase has 0 epochs


def write(root: Path) -> None:
    """Write the seconds of each stage of each member to run_estimate.ESTIMATES; nothing where images are missing."""
    p = params.parse(params.read(root), "", Podium)
    counts = [_count(p, subset, root) for subset in ("train", "test")]
    if not counts[0]:
        return
    device = devices.start(p.torch)
    start = time.monotonic() - stage_times.STARTED  # of a process that imports torch, as each stage of a member is
    kept: dict[str, float] = tables.read_json(root / PASSES) if (root / PASSES).is_file() else {}
    found: dict[str, float] = {}
    for name, member in p.members.items():
        forward = _forward(name, member, device, kept)
        costs = stage_costs.forward_passes(member, p.optional_phases(name), len(p.folds), *counts)
        for stage, passes in costs.items():
            of_folds = stage in stage_costs.OF_A_FOLD
            runs = [f"{stage}@{name}-{fold}" for fold in p.folds] if of_folds else [f"{stage}@{name}"]
            found |= dict.fromkeys(runs, round(start + passes * forward, 1) if passes else NO_PASS)
    tables.write_json(kept, root / PASSES)
    tables.write_json(found, root / run_estimate.ESTIMATES)


def _forward(name: str, member: MemberSettings, device: torch.device, kept: dict[str, float]) -> float:
    """Return the seconds of a forward pass of an image at the training size; time it where it is not kept."""
    what = member.model.model_dump(mode="json", include={"backbone", "model_kwargs", "precision", "channels_last"})
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    machine = [device.type, gpu, torch.backends.cpu.get_cpu_capability(), torch.get_num_threads(), torch.__version__]
    size = member.model.image_size
    key = hashlib.sha256(json.dumps([what, size, *machine], sort_keys=True).encode()).hexdigest()
    if key not in kept:
        print(f"time: timing {name}", flush=True)
        if speed.is_loaded():
            print("WARNING: other programs use this machine, so the times below are too long")
        kept[key] = speed.seconds_per_image(member.model, size, device)
    return kept[key]


def _count(p: Podium, subset: str, root: Path) -> int:
    """Return the number of images of a subset; 0 where its folder is not there."""
    is_there = (root / str(getattr(p.contest.images, subset))).is_dir()
    return len(input_tables.subset_files(p.contest, subset, root).images) if is_there else 0
