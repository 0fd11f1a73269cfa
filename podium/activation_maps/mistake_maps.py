"""The maps of the surest mistakes, each by the network of the fold that held the image out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit, softmax

from podium.activation_maps import class_maps, overlays
from podium.activation_maps.class_maps import GridNetwork
from podium.activation_maps.map_file import MistakeMap, MistakeMaps
from podium.activation_maps.network_choice import NetworkChoice
from podium.core import params, pixels, targets
from podium.inference import fold_models
from podium.models import devices
from podium.models.devices import Numerics
from podium.models.plain_images import PlainImages
from podium.models.preprocessing import Preprocessing
from podium.models.settings import ModelSettings, TorchSettings
from podium.predictions.tta import PROBE
from podium.probes import classifier_file, member_probe

Found = Iterator[tuple[tuple[str, str], MistakeMap]]


@dataclass(frozen=True)
class Mistake:
    """One mistake of the blend.

    Attributes:
        image_id: of the train image.
        fold: that held it out.
        predicted: the class that was wrongly predicted, in words.
        output: index of the network's output for it.
        sign: 1 where it was predicted, -1 where a label of a set was predicted to be absent.
    """

    image_id: str
    fold: str
    predicted: str
    output: int
    sign: int


def find(root: Path, choice: NetworkChoice, mistakes: Sequence[Mistake], classes: Sequence[str]) -> MistakeMaps:
    """Return the maps of the mistakes, in their order; a fold without a network has none."""
    settings = params.load(f"members.{choice.member}.model", ModelSettings, root)
    # fp32 as backward passes of some layers know no other; maps need no more than 8 bits
    numerics = Numerics(devices.start(params.load("torch", TorchSettings, root)), "fp32", settings.channels_last)
    known: dict[tuple[str, str], MistakeMap] = {}
    try:
        for fold in sorted({mistake.fold for mistake in mistakes}):
            built = _network(root, choice, settings, fold, classes)
            if built is not None:
                own = [mistake for mistake in mistakes if mistake.fold == fold]
                known |= _of_fold(
                    own, *built, numerics, root=root, size=choice.image_size, sets=targets.are_sets(classes)
                )
    except class_maps.UnknownLayoutError as error:
        return MistakeMaps(choice, f"no map can be made of {settings.backbone}: {error}")
    keys = [(mistake.image_id, mistake.predicted) for mistake in mistakes]
    return MistakeMaps(choice, "", {key: known[key] for key in keys if key in known})


def _network(
    root: Path, choice: NetworkChoice, settings: ModelSettings, fold: str, classes: Sequence[str]
) -> tuple[GridNetwork, Preprocessing] | None:
    """Return a fold's network and its preprocessing; None where the fold has no classifier."""
    if choice.phase != PROBE:
        path = root / f"models/{choice.phase}/{choice.member}/{fold}.safetensors"
        model, preprocessing = fold_models.load_model(path, classes=classes)
        return GridNetwork(model, None), preprocessing
    classifiers = classifier_file.read(root / classifier_file.of_member(choice.member), classes)
    if (choice.image_size, fold) not in classifiers.fitted:
        return None
    head = class_maps.linear_head(*classifiers.fitted[choice.image_size, fold])
    model, preprocessing = member_probe.frozen_backbone(root, choice.member, settings, len(classes))
    return GridNetwork(model, head), preprocessing


def _of_fold(
    mistakes: Sequence[Mistake],
    network: GridNetwork,
    preprocessing: Preprocessing,
    numerics: Numerics,
    *,
    root: Path,
    size: int,
    sets: bool,
) -> Found:
    path, ids = root / "data/prepare/train/pixels.arrow", [mistake.image_id for mistake in mistakes]
    images = PlainImages(pixels.open_pack(path), ids, preprocessing, size)
    outputs, signs = [one.output for one in mistakes], [one.sign for one in mistakes]
    network = numerics.place(network).eval()  # type: ignore[assignment]

    def run() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        raw = torch.stack([images[at] for at in range(len(images))])
        batch = numerics.layout(preprocessing.normalise(numerics.moved(raw)))
        return class_maps.find(network, batch, outputs, signs)

    maps, scores = devices.reproducibly("activation_maps", run)
    probs = expit(scores) if sets else softmax(scores, axis=1)
    shown, to_show = pixels.open_rgb(path), replace(preprocessing, mean=(0.5, 0.5, 0.5))
    for at, one in enumerate(mistakes):
        p = float(probs[at, one.output])
        overlay = overlays.draw(to_show.to_size(shown[one.image_id], size), maps[at])
        yield (one.image_id, one.predicted), MistakeMap(overlay, p if one.sign > 0 else 1 - p)
