"""The projects that docs.measure.bench trains in: one of small photos, one of large ones, of the same pictures."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import torch
import yaml
from numpy.typing import NDArray

from podium.core import tables
from podium.models import backbones
from stages import prepare

MEMBER, FOLD, CLASSES = "m", "0", ("even", "odd")
SIDES = {"small": 500, "large": 1800}  # pixels of a photo's long side; 1800 x 1350 are 2.4 megapixels
QUALITY = 90  # of the JPEG files
HALF = (0.5, 0.5, 0.5)
CROPS = {"RandomResizedCrop": {"size": ["image_size", "image_size"], "scale": [0.08, 1.0]}}
FLIP = {"HorizontalFlip": {"p": 0.5}}
TIMM_FOLDERS = {"1": "train", FOLD: "validation"}  # fold -> folder that timm's script reads


def write(root: Path, side: int, source: Path | None, values: Mapping[str, Any], n_images: int) -> None:
    """Write what the stage `finetune` reads, and the same photos in folders for timm's script.

    Args:
        root: of the new project.
        side: of the photos, the longer one, pixels.
        source: folder with photos; None to generate them.
        values: of params.yaml: the sections `torch`, `model` and `finetune`.
        n_images: to train on; a quarter as many are held out.
    """
    rows = []
    for number, photo in enumerate(photos(source, side, n_images + n_images // 4)):
        fold, label = "1" if number < n_images else FOLD, CLASSES[number % 2]
        name = f"{number:05}.jpg"
        rows.append({"image_id": name, "label": label, "use": "train", "reason": "", "group": "", "fold": fold})
        for folder in (root / "photos", root / "timm" / TIMM_FOLDERS[fold] / label):
            folder.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / name), photo, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    sections = {
        "contest": {"images": {"train": "photos"}},
        "prepare": {},
        "torch": values["torch"],
        "members": {MEMBER: {"model": values["model"], "finetune": values["finetune"]}},
    }
    (root / "params.yaml").write_text(yaml.safe_dump(sections, sort_keys=False))
    prepare.main("train", root=root)
    tables.write(pd.DataFrame(rows), root / "data/split/folds.csv", tables.FOLDS)
    torch.manual_seed(0)
    model = backbones.create(
        values["model"]["backbone"], n_classes=len(CLASSES), model_kwargs=values["model"].get("model_kwargs", {})
    )
    meta = {"preprocessing": {"mean": HALF, "std": HALF}, "classes": list(CLASSES)}
    backbones.save(root / f"models/pretrain/{MEMBER}/{FOLD}.safetensors", model, meta)


def photos(source: Path | None, side: int, n_photos: int) -> Iterator[NDArray[np.uint8]]:
    """Yield photos (height, width, 3), their long side `side` pixels; the same ones again if there are too few."""
    paths = sorted(source.rglob("*.jpg")) if source is not None else []
    rng = np.random.default_rng(0)
    for number in range(n_photos):
        photo = cv2.imread(str(paths[number % len(paths)])) if paths else None
        if photo is None:
            photo = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
        scale = side / max(photo.shape)
        size = round(photo.shape[1] * scale), round(photo.shape[0] * scale)
        yield np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_CUBIC), np.uint8)
