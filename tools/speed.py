"""Time the networks of the blend and of its students on this machine, in images per second.

A network's time is that of forward passes on random images, by batches as `infer` predicts them: decoding and resizing
are not in it. The blend needs every pass that predicts a test image: each member's folds, sizes and transforms.
"""

import math
import os
import time
from collections.abc import Mapping
from typing import Any

import pandas as pd
import torch

from podium.core import params, workers
from podium.inference.settings import MemberSettings
from podium.models import backbones, devices, predict
from podium.models.devices import Numerics
from podium.models.settings import ModelSettings, TorchSettings
from podium.predictions import member_predictions
from podium.predictions.tta import ELSEWHERE, JOINT_PROBE, PROBE

PASSES = 3  # timed, at least, of each network and image size
SECONDS = 0.5  # of timed passes, at least, of each network and image size
BATCH = 32  # on an accelerator
ANY_CLASSES = 10  # a classifier of a few outputs takes no time beside its backbone
Passes = dict[tuple[str, int], int]  # (member, image size) -> forward passes for one image


def images_per_second(members: pd.DataFrame, values: dict[str, Any]) -> dict[str, float]:
    """Return the speed of "blend" and of each student of the map `distill`.

    Args:
        members: contracts.MEMBERS.
        values: of params.yaml.
    """
    settings = member_predictions.members_of(values)
    torch_settings = params.parse(params.section(values, "torch"), "torch", TorchSettings)
    device = devices.start(torch_settings)
    blend = passes(members, settings, len(params.section(values, "folds")))
    students: dict[str, Passes] = {
        name: {(name, settings[name].model.image_size): 1} for name in params.section(values, "distill")
    }
    wanted = sorted({key for one in (blend, *students.values()) for key in one})
    seconds = {(name, size): seconds_per_image(settings[name].model, size, device) for name, size in wanted}
    total = {who: sum(seconds[key] * n for key, n in one.items()) for who, one in {"blend": blend, **students}.items()}
    return {who: 1 / one if one else math.inf for who, one in total.items()}  # a blend may be made elsewhere alone


def is_loaded() -> bool:
    """Return whether more programs run than this machine has cores, so that timings are too long."""
    return os.getloadavg()[0] > workers.cores()


def passes(members: pd.DataFrame, settings: Mapping[str, MemberSettings], n_folds: int) -> Passes:
    """Count the blend's forward passes for one test image; predictions made elsewhere have none here.

    All folds share the frozen backbone of a probe; every fold has its own network of another phase.

    Args:
        members: contracts.MEMBERS; members of weight 0 are left out.
        settings: of the members of params.yaml.
        n_folds: of params.yaml.
    """
    found: Passes = {}

    def add(name: str, size: int, count: int) -> None:
        found[name, size] = found.get((name, size), 0) + count

    for row in members[members["weight"] != 0].itertuples():
        n_transforms = len(str(row.transforms).split())
        for phase in str(row.phases).split():
            if phase == JOINT_PROBE:
                for name, member in settings.items():
                    add(name, member.model.image_size, len(member.infer.transforms))
            elif phase != ELSEWHERE:
                for size in str(row.image_sizes).split():
                    add(str(row.member), int(size), n_transforms * (1 if phase == PROBE else n_folds))
    return found


@torch.inference_mode()
def seconds_per_image(model: ModelSettings, image_size: int, device: torch.device) -> float:
    """Return the time of an image in the fastest of several forward passes, after one that does not count.

    The fastest one, because other programs can only slow a pass down.
    """
    numerics = Numerics(device, model.precision, model.channels_last)
    network = backbones.create(model.backbone, n_classes=ANY_CLASSES, model_kwargs=model.model_kwargs)
    network = numerics.place(network.eval())
    count = predict.CPU_BATCH if device.type == "cpu" else BATCH
    images = numerics.layout(torch.randn(count, model.channels, image_size, image_size, device=device))

    def predict_batch() -> None:
        with numerics.autocast():
            network(images)[0, 0].item()  # a value on the CPU: the pass has ended

    predict_batch()
    taken: list[float] = []
    while sum(taken) < SECONDS or len(taken) < PASSES:
        started = time.perf_counter()
        predict_batch()
        taken.append(time.perf_counter() - started)
    return min(taken) / count
