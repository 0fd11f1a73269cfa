"""Measure how fast a CPU predicts in batches of several sizes: `python -m docs.measure.time_batches <backbone> ...`.

Random weights and pixels, two threads. Each batch size is measured twice, in turns, because a machine's speed changes.
"""

import sys
import time

import timm
import torch

from podium.core import cli

BATCHES = (64, 32, 16, 8, 4)
SIDES = (224, 288)
IMAGES = 64  # of one measurement


def main(*backbones: str) -> None:
    """Print images per second for every backbone, image size and batch size."""
    torch.set_num_threads(2)
    for backbone in backbones:
        kwargs = {"dynamic_img_size": True} if backbone.startswith("vit") else {}
        model = timm.create_model(backbone, num_classes=0, **kwargs).eval().to(memory_format=torch.channels_last)
        for side in SIDES:
            rates = {batch: max(_rate(model, batch, side) for _ in range(2)) for batch in BATCHES}
            printed = "  ".join(f"{batch}: {rate:.1f}" for batch, rate in rates.items())
            print(f"{backbone} at {side} pixels, images/s by batch: {printed}", flush=True)


@torch.inference_mode()
def _rate(model: torch.nn.Module, batch: int, side: int) -> float:
    images = torch.randn(batch, 3, side, side).to(memory_format=torch.channels_last)
    model(images)
    start = time.perf_counter()
    for _ in range(IMAGES // batch):
        model(images)
    return IMAGES / (time.perf_counter() - start)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        raise SystemExit("python -m docs.measure.time_batches <timm model name> ...")
    cli.run(main)
