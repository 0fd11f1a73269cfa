"""A soup: each fold's model has the mean weights of several members' models of this fold.

Source: Wortsman et al. 2022, arXiv 2203.05482. Members that start from the same weights end in the same basin of the
loss, so the mean of their weights predicts about as the mean of their predictions does, in one pass.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from podium.core import params, pixels, seeding, tables
from podium.core.errors import InputError
from podium.core.pixels import PixelPack
from podium.inference import fold_models
from podium.inference.settings import InferSettings, SoupSettings
from podium.models import backbones, devices
from podium.models.backbones import Checkpoint
from podium.models.devices import Numerics
from podium.models.plain_images import PlainImages
from podium.models.preprocessing import Preprocessing
from podium.models.settings import ModelSettings, TorchSettings

PHASE = "soup"
BATCH = 32  # images whose mean and variance a batch norm takes at once
STATISTICS = ("running_mean", "running_var")


def run(member: str, root: Path) -> None:
    """Average the weights of a member and of those that its soup names, fold by fold, and predict all images.

    Raises:
        InputError: a setting is wrong, or the models are not of one network.
    """
    soup = params.load(f"{PHASE}.{member}", SoupSettings, root)
    model = params.load(f"members.{member}.model", ModelSettings, root)
    infer = params.load(f"members.{member}.infer", InferSettings, root)
    device = devices.start(params.load("torch", TorchSettings, root))
    numerics = devices.Numerics(device, model.precision, model.channels_last)
    folds = [str(fold) for fold in params.section(params.read(root), "folds")]
    models, name = root / f"models/{PHASE}/{member}", f"{PHASE}@{member}"
    table = tables.read(root / "data/split/folds.csv", tables.FOLDS)
    pack = pixels.open_pack(root / "data/prepare/train/pixels.arrow")
    for fold in folds:
        paths = [root / f"models/finetune/{one}/{fold}.safetensors" for one in (member, *soup.members)]
        used = table[(table["use"] == "train") & (table["fold"] != fold)]
        order = np.random.default_rng(seeding.derive(model.seed, member, fold, PHASE)).permutation(len(used))
        image_ids = list(used["image_id"].sort_values().iloc[order])  # or a batch might be of one class
        network, meta = cooked(paths, pack, image_ids, model.image_size, numerics)
        backbones.save(models / f"{fold}.safetensors", network, meta)
    fold_models.predict_folds(
        root / f"data/{PHASE}/{member}.parquet",
        models,
        None,
        root=root,
        folds=folds,
        image_sizes=infer.image_sizes,
        transforms=infer.transforms,
        batch_size=infer.batch_size,
        numerics=numerics,
        name=name,
    )


def cooked(
    paths: Sequence[Path], pack: PixelPack, image_ids: Sequence[str], image_size: int, numerics: Numerics
) -> tuple[nn.Module, dict[str, object]]:
    """Build the network with the mean weights of a fold's models; return it with its metadata.

    The mean of batch norms' statistics is not the statistics of the mean network. Where the models' statistics differ,
    they are measured anew on the fold's training images, resized as for prediction. Where all are the same, they were
    frozen in training, and stay.

    Args:
        paths: of the models of one fold.
        pack: of the train images.
        image_ids: of the fold's training images, in random order.
        image_size: pixels.
        numerics: of the member.
    """
    checkpoints = [backbones.read(path) for path in paths]
    mean, meta = mean_weights(checkpoints, paths), checkpoints[0].meta
    network = backbones.create(meta["backbone"], n_classes=len(meta["classes"]), model_kwargs=meta["model_kwargs"])
    backbones.load(network, mean, str(paths[0]))
    network = numerics.place(network)
    if not _same_statistics(checkpoints):
        images = PlainImages(pack, image_ids, Preprocessing.from_dict(meta["preprocessing"]), image_size)
        measure_statistics(network, images, numerics)
    return network, meta


def mean_weights(checkpoints: Sequence[Checkpoint], paths: Sequence[Path]) -> dict[str, torch.Tensor]:
    """Return the mean of all weights by name; whole numbers (counters) are the first model's.

    Raises:
        InputError: the models differ in more than the values of their weights.
    """
    first = checkpoints[0]
    for one, path in zip(checkpoints, paths, strict=True):
        shapes = [{name: tensor.shape for name, tensor in each.state.items()} for each in (first, one)]
        if one.meta != first.meta or shapes[0] != shapes[1]:
            raise InputError(f"{path}: another network, start or preprocessing than {paths[0]}: no soup of the two")
    return {
        name: torch.stack([one.state[name].double() for one in checkpoints]).mean(0).to(tensor.dtype)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in first.state.items()
    }


@torch.no_grad()
def measure_statistics(network: nn.Module, images: PlainImages, numerics: Numerics) -> None:
    """Set the mean and variance of all batch norms to their averages over batches of images; leaves evaluation mode.

    An incomplete last batch is left out, unless it is the only one. torch.optim.swa_utils.update_bn does the same.
    """
    norms = [one for one in network.modules() if isinstance(one, nn.modules.batchnorm._BatchNorm)]
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all batches
        norm.train()
    n_batches = max(1, len(images) // BATCH)
    for _, raw in zip(range(n_batches), images.batches(BATCH, numerics.device), strict=False):
        with numerics.autocast():
            network(numerics.layout(images.preprocessing.normalise(numerics.moved(raw))))
    network.eval()


def _same_statistics(checkpoints: Sequence[Checkpoint]) -> bool:
    first, *others = (one.state for one in checkpoints)
    names = [name for name in first if name.endswith(STATISTICS)]
    return all(torch.equal(first[name], other[name]) for other in others for name in names)
