"""The variants that docs.measure.ablation compares, as changes of a member's settings."""

from collections.abc import Mapping
from typing import Any

from podium.training.phase import OPTIONAL

Changes = Mapping[str, Mapping[str, Any]]  # section of the member -> settings

FLIP = {"HorizontalFlip": {"p": 0.5}}
CROPS = {"RandomResizedCrop": {"size": ["image_size", "image_size"], "scale": [0.5, 1.0]}}
BASE, TIMM = "base", "timm"  # docs/measure/by_timm.py writes the predictions of the second
VARIANTS: dict[str, Changes] = {
    BASE: {},
    "new_head": {"finetune": {"head_init": "keep"}},
    "layer_decay": {"finetune": {"layer_decay": 0.8}},
    "ema": {"finetune": {"ema_decay": 0.95}},
    "drop_path": {"finetune": {"drop_path": 0.1}},
    "no_crops": {"finetune": {"augmentation": [FLIP]}},
    "trivial_augment": {"finetune": {"augmentation": [CROPS, FLIP, {"TrivialAugment": {"p": 1.0}}]}},
    "rand_augment": {"finetune": {"augmentation": [CROPS, FLIP, {"RandAugment": {"n": 2, "m": 9}}]}},
    "bce": {"finetune": {"loss": "bce"}},
    "focal": {"finetune": {"loss": "focal"}},
    "asymmetric": {"finetune": {"loss": "asymmetric"}},
    "logit_adjusted": {"finetune": {"loss": "logit_adjusted"}},
    "balanced_sampler": {"finetune": {"sampler": "balanced"}},
    "class_weights": {"finetune": {"class_weights": "balanced"}},
    "average_epochs": {"finetune": {"average_epochs": 2}},
    "no_warmup": {"finetune": {"warmup_epochs": 0}},
    "constant_lr": {"finetune": {"schedule": "constant"}},
    "sgd": {"finetune": {"optimizer": "sgd", "momentum": 0.9, "lr": 3e-3}},  # lr: Dosovitskiy et al. 2021, Table 4
    "longer": {"finetune": {"epochs": 5}},
    "fixres": {"fixres": {"epochs": 1, "image_size": 4 / 3, "augmentation": [FLIP]}},
    "pseudo": {"pseudo": {"epochs": 2}},
    "distill": {"distill": {"epochs": 2}},
    "mixup_first": {"pretrain": {"epochs": 2, "mixup": 0.2, "cutmix": 0.0}, "finetune": {"epochs": 1}},
    "mixup_cutmix_first": {"pretrain": {"epochs": 2, "mixup": 0.2, "cutmix": 1.0}, "finetune": {"epochs": 1}},
    "clean_first": {"pretrain": {"epochs": 2, "mixup": 0.0, "cutmix": 0.0}, "finetune": {"epochs": 1}},
    "small_first": {
        "pretrain": {"epochs": 2, "mixup": 0.0, "cutmix": 0.0, "image_size": 3 / 4},
        "finetune": {"epochs": 1},
    },
}
NO_EXTRA: dict[str, Changes] = {"no_extra": {}}  # without the extra images of the project's map `extra`
# Asked for by name. `automm` is as AutoGluon's AutoMM trains images by default: AdamW, 20 epochs, a new head, one
# augmentation, 16-bit precision:
# https://auto.gluon.ai/stable/tutorials/multimodal/advanced_topics/customization.html
LONG: dict[str, Changes] = {
    "ten_epochs": {"finetune": {"epochs": 10}},
    "ten_epochs_trivial": {"finetune": {"epochs": 10, "augmentation": [FLIP, {"TrivialAugment": {}}]}},
    "automm": {
        "model": {"precision": "bf16"},
        "finetune": {
            "epochs": 20,
            "batch_size": 32,
            "lr": 1e-4,
            "weight_decay": 1e-3,
            "clip_grad": 1.0,
            "curves": False,
            "warmup_epochs": 2,
            "layer_decay": 0.9,
            "head_init": "keep",
            "augmentation": [{"TrivialAugment": {"p": 1.0}}],
        },
    },
}
BASELINES = {  # of other variants it is the baseline itself
    "mixup_first": "clean_first",
    "mixup_cutmix_first": "clean_first",
    "small_first": "clean_first",
    "fixres": "larger",
    "pseudo": "longer",
    "distill": "longer",
}
TAKEN = ("batch_size", "lr", "clip_grad", "curves", "augmentation")  # of phase 2's settings by an optional phase
LARGER = "larger"  # the baseline, predicting at the image size of `fixres`
TTAS = {  # of the trained baseline
    LARGER: ("identity",),
    "hflip": ("identity", "hflip"),
    "d4": ("identity", "hflip", "vflip", "rot90", "rot180", "rot270", "transpose", "transverse"),
    "crops": (
        "identity",
        "hflip",
        "crop_centre",
        "crop_top_left",
        "crop_top_right",
        "crop_bottom_left",
        "crop_bottom_right",
    ),
}
# Of the baseline's models of a seed and of the next one: the mean of their predictions, the mean of their weights.
PAIRS = ("two_seeds", "soup")
WEIGHTED = {"logit_adjusted", "balanced_sampler", "class_weights"}  # their probabilities lack the class priors


def changed(member: Mapping[str, Mapping[str, Any]], changes: Changes, seed: int) -> dict[str, dict[str, Any]]:
    """Return a member's settings with a variant's changes, and the settings of an optional phase that it adds.

    An added phase has the settings of `finetune` and the variant's changes; an optional phase has only `TAKEN` of them.
    Image sizes are as in `in_pixels`.
    """
    settings = {section: dict(values) for section, values in member.items()}
    settings["model"]["seed"] = seed
    finetune = settings["finetune"]
    if "pretrain" in changes:
        settings["pretrain"] = dict(finetune)
    for part in set(OPTIONAL) & set(changes):
        settings[part] = {key: finetune[key] for key in TAKEN if key in finetune}
    for section, values in changes.items():
        sizes = {"image_size": in_pixels(values["image_size"], member)} if "image_size" in values else {}
        settings[section] |= {**values, **sizes}
    for section in {"finetune", *changes} - {"model"}:
        _shorten(settings[section])
    return settings


def _shorten(phase: dict[str, Any]) -> None:
    """Remove what a phase of few epochs has no room for."""
    if phase.get("warmup_epochs", 0) >= phase["epochs"] > 0:
        phase["warmup_epochs"] = phase["epochs"] / 2
    if phase["epochs"] == 1:
        phase.pop("curves", None)


def in_pixels(size: float, member: Mapping[str, Mapping[str, Any]]) -> int:
    """Return an image size in pixels; a float is a fraction of the member's image size."""
    return size if isinstance(size, int) else round(member["model"]["image_size"] * size / 16) * 16


def predicted_size(member: Mapping[str, Mapping[str, Any]], name: str) -> int:
    """Return the image size, in pixels, of the predictions of a variant or a TTA."""
    of = "fixres" if name == LARGER else name
    changes = VARIANTS.get(of, {}).get("fixres", {})
    return in_pixels(changes.get("image_size", member["model"]["image_size"]), member)
