"""Measure how memory grows over thousands of training steps: `python -m docs.measure.memory_growth`.

Trains a small convolutional network with an average of its weights on random images and predicts a held-out set after
each epoch, as `loop.fit` and `predict` do. Image sizes alternate, so that large blocks of several sizes are freed and
taken again. Prints the process's resident memory and the seconds since the last line. With --release, the C library
gives freed memory back to the kernel, as it does by default.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from timm.utils import ModelEmaV3
from torch import nn

from podium.core import cli, freed_memory
from podium.models import devices, predict
from podium.models.plain_images import PlainImages
from podium.models.preprocessing import Preprocessing
from podium.models.settings import TorchSettings

HALF = (0.5, 0.5, 0.5)
HELD_OUT, BATCH, SIDES = 203, 8, (160, 128, 176)


class RandomImages(PlainImages):
    """Random images in place of a pack's."""

    def __init__(self, image_size: int) -> None:
        self.image_ids = [str(i) for i in range(HELD_OUT)]
        self.preprocessing, self.image_size = Preprocessing(HALF, HALF, "squash", 1.0), image_size

    def __getitem__(self, index: int) -> torch.Tensor:
        """Return an image of noise."""
        return _noise(self.image_size, index)


def main(*words: str) -> None:
    """Print one line per epoch."""
    parser = argparse.ArgumentParser(prog="python -m docs.measure.memory_growth", description="Memory by steps.")
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--epoch", type=int, default=250, help="steps of one epoch")
    parser.add_argument("--release", action="store_true", help="give freed memory back to the kernel")
    args = parser.parse_args(words)
    if args.release:
        freed_memory.keep = lambda: None  # type: ignore[assignment]
    numerics = devices.Numerics(devices.start(TorchSettings(device="cpu", threads=2)), channels_last=True)
    for epoch, seconds in _epochs(args.steps // args.epoch, args.epoch, numerics):
        print(f"{(epoch + 1) * args.epoch:>7} steps  {_resident_mb():>6.0f} MB  {seconds:>6.1f} s", flush=True)


def _epochs(n_epochs: int, steps: int, numerics: devices.Numerics) -> Iterator[tuple[int, float]]:
    torch.manual_seed(0)
    model = numerics.place(_network())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    average = ModelEmaV3(model, decay=0.99)
    kept: list[object] = []
    for epoch in range(n_epochs):
        start = time.perf_counter()
        model.train()
        for step in range(steps):
            images = torch.stack([_noise(SIDES[step % len(SIDES)], i) for i in range(BATCH - step % 2)])
            logits = model(numerics.layout(images.float().div(255)))
            loss = nn.functional.cross_entropy(logits, torch.arange(len(images)) % 2)
            kept.append(loss.item())
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            average.update(model)
        held_out = RandomImages(SIDES[epoch % len(SIDES)])
        kept.append(
            predict.probabilities(model, held_out, transforms=["identity", "hflip"], batch_size=64, numerics=numerics)
        )
        yield epoch, time.perf_counter() - start


def _network() -> nn.Module:
    def block(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
        return [nn.Conv2d(inputs, outputs, 3, stride, 1), nn.BatchNorm2d(outputs), nn.ReLU()]

    layers = [*block(3, 16, 1), *block(16, 16, 2), *block(16, 32, 2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 2))


def _noise(side: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (3, side, side), dtype=torch.uint8, generator=generator)


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


if __name__ == "__main__":
    cli.run(main)
