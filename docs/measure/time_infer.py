"""Measure what `infer` saves by doing nothing twice: `python -m docs.measure.time_infer IMAGES WEIGHTS`.

Half of the photos are train images, half are test images. All folds have the same weights. The first way predicts
held-out images again and resizes test images for every fold; the second reads held-out predictions and resizes test
images once. Prints processor time by the ways in turns, and what decoding and resizing alone take.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
import pandas as pd

from podium.core import cli, pixels, tables
from podium.core.pixels import PixelPack
from podium.inference import fold_models, stored_images
from podium.models import backbones, devices
from podium.models.plain_images import PlainImages
from podium.models.preprocessing import Preprocessing
from podium.models.settings import TorchSettings

FOLDS = [str(fold) for fold in range(5)]
CLASSES = ["no", "yes"]
HALF = (0.5, 0.5, 0.5)


def main(*words: str) -> None:
    """Pack photos, predict them both ways, and print the times."""
    parser = argparse.ArgumentParser(prog="python -m docs.measure.time_infer", description="Seconds of infer.")
    parser.add_argument("images", type=Path, help="a folder of photos")
    parser.add_argument("weights", type=Path, help="a file of the backbone's weights")
    parser.add_argument("--backbone", default="mobilenetv1_100")
    parser.add_argument("--n-images", type=int, default=300)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--transforms", nargs="+", default=["identity", "hflip"])
    parser.add_argument("--encoding", choices=["raw", "jpeg"], default="raw")
    parser.add_argument("--times", type=int, default=1)
    asked = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _write_inputs(root, asked)
        predict = partial(
            fold_models.predict_folds,
            root=root,
            folds=FOLDS,
            image_sizes=[asked.image_size],
            transforms=asked.transforms,
            batch_size=32,
            numerics=devices.Numerics(devices.start(TorchSettings(device="cpu", threads=1))),
            name="infer",
        )
        resizing = _seconds(partial(_resize, root, asked.image_size)) / (asked.n_images // 2)
        print(f"decoding and resizing: {1000 * resizing:.1f} ms per image", flush=True)
        paths = {way: root / f"{way}.parquet" for way in ("twice", "once")}
        for _ in range(asked.times):
            with mock.patch.object(stored_images, "shared", _unshared):
                twice = _seconds(partial(predict, paths["twice"], root / "models", root / "nothing_known"))
            _write_held_out(paths["twice"], root / "held_out")
            once = _seconds(partial(predict, paths["once"], root / "models", root / "held_out"))
            print(f"twice {twice:.1f} s, once {once:.1f} s of processor time: {once / twice:.3f}", flush=True)
        one, other = (pd.read_parquet(path).filter(like=tables.PROBABILITY) for path in paths.values())
        print(f"largest difference between probabilities: {np.abs(one - other).to_numpy().max():.1g}")


def _write_inputs(root: Path, asked: argparse.Namespace) -> None:
    files = sorted(asked.images.glob("*.jpg"))[: asked.n_images]
    short_side = round(asked.image_size * 1.15)
    ids: dict[str, list[str]] = {"train": [], "test": []}
    for subset, own in ids.items():
        with pixels.Writer(root / f"data/prepare/{subset}/pixels.arrow", encoding=asked.encoding) as writer:
            for file in files[: len(files) // 2] if subset == "train" else files[len(files) // 2 :]:
                image = np.asarray(cv2.imread(str(file), cv2.IMREAD_COLOR_RGB))
                factor = short_side / min(image.shape[:2])
                shrunk = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
                writer.add(file.name, np.asarray(shrunk, np.uint8))
                own.append(file.name)
    folds = pd.DataFrame({"image_id": ids["train"], "use": "train", "reason": "", "group": ""})
    folds["label"] = [CLASSES[i % 2] for i in range(len(folds))]
    folds["fold"] = [FOLDS[i // 2 % len(FOLDS)] for i in range(len(folds))]
    tables.write(folds, root / "data/split/folds.csv", tables.FOLDS)
    model = backbones.create(asked.backbone, n_classes=len(CLASSES), model_kwargs={})
    backbones.load(model, backbones.read_file(asked.weights)[0], str(asked.weights))
    meta = {"backbone": asked.backbone, "model_kwargs": {}, "classes": CLASSES}
    for fold in FOLDS:
        values = Preprocessing(HALF, HALF).to_dict()
        backbones.save(root / f"models/{fold}.safetensors", model, {**meta, "preprocessing": values})
        empty = tables.empty_predictions(CLASSES)
        tables.write(empty, root / f"nothing_known/{fold}.parquet", tables.PREDICTIONS)


def _write_held_out(path: Path, folder: Path) -> None:
    """Write what training would have predicted."""
    rows = tables.read(path, tables.PREDICTIONS)
    known = rows[(rows["subset"] == "train") & (rows["transform"] == fold_models.IDENTITY)]
    for fold in FOLDS:
        tables.write(known[known["fold"] == fold], folder / f"{fold}.parquet", tables.PREDICTIONS)


@contextmanager
def _unshared(
    packed: PixelPack, image_ids: Sequence[str], folder: Path, name: str
) -> Iterator[stored_images.ImagesAtSize]:
    del folder, name
    yield lambda preprocessing, image_size: PlainImages(packed, image_ids, preprocessing, image_size)


def _resize(root: Path, image_size: int) -> None:
    packed = pixels.open_pack(root / "data/prepare/test/pixels.arrow")
    images = PlainImages(packed, packed.image_ids, Preprocessing(HALF, HALF), image_size)
    for index in range(len(images)):
        images[index]


def _seconds(run: Callable[[], None]) -> float:
    begun = time.process_time()
    run()
    return time.process_time() - begun


if __name__ == "__main__":
    cli.run(main)
