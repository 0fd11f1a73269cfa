"""Compare a training's speed with timm's script and with a ceiling: `python -m docs.measure.bench --script train.py`.

All of them are processes of their own, run by turns and repeated: the stage `finetune`, timm's train.py (a path; left
out without one), and the ceiling: the same stage on batches that lie in memory, augmented before. Speed is images per
second from the start of the process to its end. All see the same photos, small and large ones, the same crops and
flips, and the held-out images after each epoch. `prepare` has run before, once. The ratios by processor time say more
than those by the clock if other work runs on the machine.

It also prints what the parts of a training take, and the start of a process. With `--repeats 0` it prints the parts
alone. `make bench` runs it.
"""

import argparse
import itertools
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import timm
import torch

from docs.measure import bench_project
from docs.measure.bench_project import FOLD, HALF, MEMBER
from podium.core import cli, tables
from podium.core.errors import InputError
from podium.core.placeholders import NO_FILE
from podium.models import backbones, devices
from podium.models.plain_images import RepeatedImages, to_tensor, worker_count
from podium.training import augment, train_images
from podium.training.phase import load_job, read_fold
from podium.training.trainer import Trainer
from stages import finetune

PROJECT = Path(__file__).parents[2]
PHOTOS = PROJECT.parent / "shared/data/antbee/train"
BATCHES = "batches.pt"  # of the ceiling
LEAST = {"image_size": 8, "batch": 2, "images": 4, "epochs": 1, "threads": 1, "repeats": 0}  # of the options
IMPORTS = ("", "pandas", "torch", "torch, torchvision", "timm", "podium.training.trainer", "dvc.cli")


@dataclass(frozen=True)
class Seconds:
    """What a process took.

    Attributes:
        wall: by the clock.
        cpu: of all processors, those of its own processes included.
    """

    wall: float
    cpu: float


def main(*words: str) -> None:
    """Run the benchmark and print its tables."""
    parser = argparse.ArgumentParser(prog="python -m docs.measure.bench", description="Speed of a training.")
    parser.add_argument("--script", type=Path, help="train.py of timm's git repository")
    parser.add_argument("--photos", type=Path, default=PHOTOS, help="a folder; photos are generated without one")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--backbone", default="mobilenetv2_100")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--images", type=int, default=96)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sizes", nargs="+", choices=bench_project.SIDES, default=list(bench_project.SIDES))
    parser.add_argument("--ceiling", type=Path, help=argparse.SUPPRESS)  # the process of the ceiling, in this project
    args = parser.parse_args(words)
    require(args)
    if args.ceiling:
        train_in_memory(args.ceiling)
        return
    source = args.photos if args.photos.is_dir() else None
    cpu = f"{torch.backends.cpu.get_cpu_capability()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    gpu = f"{torch.cuda.get_device_name()}, " if args.device == "cuda" else ""
    print(f"torch {torch.__version__}, timm {timm.__version__}, {args.threads} threads, {gpu}{cpu};")
    print(f"{args.backbone}, {args.precision}, {args.image_size} px, batches of {args.batch}, {args.images} images,")
    print(f"{args.epochs} epochs; photos: {'generated' if source is None else source.parent.name}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for size in args.sizes:
            _measure(args, Path(folder) / size, size, source)
    if args.repeats:
        _print_starts()


def require(args: argparse.Namespace) -> None:
    """Refuse options that would only fail after minutes, or be ignored.

    Raises:
        InputError: names the option.
    """
    if args.script is not None and not args.script.is_file():
        raise InputError(f"--script {args.script} (SCRIPT=): no such file; give train.py of timm's repository")
    if args.device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: this machine has no CUDA GPU; leave it out to measure the CPU")
    if args.photos != PHOTOS and not args.photos.is_dir():
        raise InputError(f"--photos {args.photos}: no such folder; leave it out to generate photos")
    for name, least in LEAST.items():
        if getattr(args, name) < least:
            raise InputError(f"--{name.replace('_', '-')} {getattr(args, name)}: give at least {least}")
    if args.images % args.batch:  # timm leaves out what fills no batch
        raise InputError(f"--images {args.images}: give a multiple of --batch ({args.batch})")


def _measure(args: argparse.Namespace, root: Path, size: str, source: Path | None) -> None:
    """Write a project of one size, run all by turns, print the speeds, their ratios, and the parts."""
    root.mkdir()
    begun = time.perf_counter()
    bench_project.write(root, bench_project.SIDES[size], source, settings(args), args.images)
    print(f"\n{size} photos, long side {bench_project.SIDES[size]} px (made and prepared in ", end="")
    print(f"{time.perf_counter() - begun:.0f} s)", flush=True)
    write_batches(root)
    commands = {"podium": podium(), "ceiling": [sys.executable, "-m", "docs.measure.bench", "--ceiling", str(root)]}
    if args.script is None:
        print(
            "timm is left out: give --script train.py, from timm's git repository"
            f" (huggingface/pytorch-image-models, release {timm.__version__})"
        )
    else:
        commands["timm"] = timm_command(args, root)
    for part, milliseconds in (parts(root) | {"timm's load and augment": timm_load(root, args.image_size)}).items():
        print(f"    {part:28} {milliseconds:7.2f} ms an image", flush=True)
    print(f"    memory at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MB", flush=True)
    taken: dict[str, list[Seconds]] = {name: [] for name in commands}
    for _ in range(args.repeats):
        for name, command in commands.items():
            taken[name].append(run(command, root, args.threads))
    for name, each in taken.items() if args.repeats else ():
        print(f"  {name:8} {_speeds(each, args.images * args.epochs)}")
        print(f"  podium / {name}: {ratios(taken['podium'], each)}" if name != "podium" else "", flush=True)
    print(f"  load {os.getloadavg()[0]:.1f}")


def settings(args: argparse.Namespace) -> dict[str, Any]:
    """Return the sections of params.yaml."""
    model = {"backbone": args.backbone, "weights": "none", "weights_file": NO_FILE, "image_size": args.image_size}
    training = {"epochs": args.epochs, "batch_size": args.batch, "lr": 1e-4, "weight_decay": 0.05}
    return {
        "torch": {"threads": args.threads, "device": args.device},
        "model": {**model, "precision": args.precision, "channels_last": True},
        "finetune": {
            **training,
            "label_smoothing": 0.1,
            "head_init": "keep",
            "augmentation": [bench_project.CROPS, bench_project.FLIP],
        },
    }


def podium() -> list[str]:
    """Return the command of the stage."""
    return [sys.executable, "-m", "stages.finetune", MEMBER, FOLD]


def timm_command(args: argparse.Namespace, root: Path) -> list[str]:
    """Return the command of timm's script: as the stage's settings, else its defaults."""
    numbers = {"num-classes": len(bench_project.CLASSES), "img-size": args.image_size, "batch-size": args.batch}
    numbers |= {"epochs": args.epochs, "warmup-epochs": 0, "checkpoint-hist": 1, "color-jitter": 0}
    numbers["workers"] = worker_count(torch.device(args.device))  # as many as the stage has; 0 on a CPU
    words = itertools.chain.from_iterable((f"--{name}", str(value)) for name, value in numbers.items())
    half = precision_words(args.precision)
    return [
        *(sys.executable, str(args.script.resolve()), str(root / "timm"), "--model", args.backbone, *words, *half),
        *("--opt", "adamw", "--weight-decay", "0.05", "--lr", "1e-4", "--mean", *map(str, HALF)),
        *("--std", *map(str, HALF), "--device", args.device, "--channels-last", "--output", str(root / "out")),
    ]


def precision_words(precision: str) -> list[str]:
    """Return timm's words for a precision."""
    return ["--amp", "--amp-dtype", "bfloat16"] if precision == "bf16" else []


def run(command: Sequence[str], root: Path, threads: int) -> Seconds:
    """Run a process in a project and return what it took.

    Raises:
        CalledProcessError: it failed; its output is on the terminal.
    """
    variables = {"PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": str(threads), "PODIUM_PROGRESS": "0"}
    begun = time.perf_counter()
    with (root / "output.txt").open("w") as out:
        process = subprocess.Popen(
            command, cwd=root, env=os.environ | variables, stdout=out, stderr=subprocess.STDOUT, text=True
        )
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:  # e.g. a Ctrl-C: nothing of this benchmark goes on
            process.kill()
            raise
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        print((root / "output.txt").read_text())
        raise subprocess.CalledProcessError(process.returncode, command)
    return Seconds(time.perf_counter() - begun, usage.ru_utime + usage.ru_stime)


def write_batches(root: Path) -> None:
    """Write one epoch of augmented batches and all held-out batches, for the ceiling."""
    trainer = _trainer(root)
    images = trainer._train_images(trainer._model())
    order = train_images.EpochBatches(len(images), trainer.job.settings.batch_size, 1, trainer.seed)
    train = list(train_images.train_batches(images, order, trainer.numerics.device))
    torch.save(
        {"train": train, "held_out": list(trainer._held_out.batches(8, trainer.numerics.device))}, root / BATCHES
    )


def train_in_memory(root: Path) -> None:
    """Run the stage on the batches of `write_batches`, each epoch on the same ones."""
    device = load_job("finetune", MEMBER, FOLD, root).torch.device
    batches = torch.load(root / BATCHES, weights_only=True, map_location=device)

    def endless(*_: object) -> Iterator[Any]:
        return itertools.cycle([tuple(one) for one in batches["train"]])

    with (
        mock.patch.object(train_images, "train_batches", endless),
        mock.patch.object(RepeatedImages, "batches", return_value=batches["held_out"]),
    ):
        finetune.main(MEMBER, FOLD, root)


def ratios(ours: Sequence[Seconds], theirs: Sequence[Seconds]) -> str:
    """Write how many times as fast the first is, by the clock and by processor time: median and range of the turns."""
    kinds = {"clock": lambda one: one.wall, "processor time": lambda one: one.cpu}
    return "; ".join(f"{name} {_spread(ours, theirs, of)}" for name, of in kinds.items())


def _spread(ours: Sequence[Seconds], theirs: Sequence[Seconds], of: Callable[[Seconds], float]) -> str:
    found = [of(their) / of(our) for our, their in zip(ours, theirs, strict=True)]
    return f"{statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f})"


def _speeds(taken: Sequence[Seconds], n_images: int) -> str:
    wall, cpu = statistics.median(one.wall for one in taken), statistics.median(one.cpu for one in taken)
    return f"{n_images / wall:6.1f} images/s by the clock, {n_images / cpu:6.1f} a second of processor time"


def parts(root: Path) -> dict[str, float]:
    """Return the milliseconds that the parts of an epoch take for one image (processor time; on a GPU, the clock)."""
    trainer = _trainer(root)
    s, numerics, size = trainer.job.settings, trainer.numerics, trainer.job.image_size
    model = numerics.place(trainer._model()).train()
    images, loss = trainer._train_images(model), trainer._loss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=s.lr)
    clock = PartClock(numerics.device)
    for start in range(0, len(images), s.batch_size):
        names, tensors = images.image_ids[start : start + s.batch_size], []
        for name in names:
            with clock.part("load"):
                pixels = images.packed[name].copy()
            with clock.part("augment"):
                drawn = augment.apply(images.pipeline, pixels, start)
                tensors.append(to_tensor(images.preprocessing.to_size(drawn, size)))
        with clock.part("copy"):
            moved = numerics.moved(torch.stack(tensors))
            batch = numerics.layout(trainer.preprocessing.normalise(moved))
        targets = numerics.moved(torch.eye(len(bench_project.CLASSES))[torch.arange(len(names)) % 2])
        with clock.part("forward"):
            with numerics.autocast():
                logits = model(batch)
            value = loss(logits.float(), targets)
        with clock.part("backward"):
            value.backward()
        with clock.part("step"):
            optimizer.step()
            optimizer.zero_grad()
    found = {name: 1000 * seconds / len(images) for name, seconds in clock.seconds.items()}
    for name in ("first held-out pass", "held-out pass"):  # in the first, the CPU's library makes its kernels
        with clock.part(name):
            trainer._probs(model, trainer._held_out)
    return found | {"held-out pass, of its images": 1000 * clock.seconds["held-out pass"] / len(trainer._held_out)}


def timm_load(root: Path, image_size: int) -> float:
    """Return the milliseconds of processor time that timm's own loading and augmentation take for one image."""
    dataset = timm.data.create_dataset("", root=str(root / "timm/train"))
    dataset.transform = timm.data.create_transform(
        (3, image_size, image_size), is_training=True, use_prefetcher=True, color_jitter=0
    )
    begun = time.process_time()
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):  # timm leaves files to the collector
        for index in range(len(dataset)):
            dataset[index]
    return 1000 * (time.process_time() - begun) / len(dataset)


class PartClock:
    """Adds up time by name: processor time; on a GPU the clock's, because the process only waits while the GPU works.

    Args:
        device: whose work counts.
    """

    def __init__(self, device: torch.device) -> None:
        self.seconds: dict[str, float] = {}
        self._is_gpu = device.type == "cuda"

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add the time of the block to a name's."""
        begun = self._now()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + self._now() - begun

    def _now(self) -> float:
        if not self._is_gpu:
            return time.process_time()
        torch.cuda.synchronize()  # the launched work has ended
        return time.perf_counter()


def _trainer(root: Path) -> Trainer:
    job = load_job("finetune", MEMBER, FOLD, root)
    numerics = devices.Numerics(devices.start(job.torch), job.model.precision, job.model.channels_last)
    data = read_fold(tables.read(root / "data/split/folds.csv", tables.FOLDS), FOLD)
    return Trainer(job, backbones.read(root / f"models/pretrain/{MEMBER}/{FOLD}.safetensors"), data, numerics)


def _print_starts() -> None:
    """Print what a new process takes to import modules."""
    print("\nstart of a process that imports ..., seconds by the clock and of processor time")
    with tempfile.TemporaryDirectory() as folder:
        for name in IMPORTS:
            command = [sys.executable, "-c", f"import {name}" if name else "pass"]
            taken = run(command, Path(folder), 1)
            print(f"  {name or 'Python alone':28} {taken.wall:6.2f} {taken.cpu:6.2f}", flush=True)


if __name__ == "__main__":
    cli.run(main)
