"""FcaNet: a ResNet whose channel attention uses 16 frequencies instead of the mean alone.

Squeeze-and-excitation weighs a channel by its mean over the image. That mean is the channel's lowest frequency in a
discrete cosine transform. FcaNet divides the channels among 16 frequencies.

Parameters and buffers have the names of the authors' released checkpoints (torchvision's ResNet names, and
`layerN.M.att.fc.0.weight`, `.att.fc.2.weight`, `.att.dct_layer.weight`), so these checkpoints load unchanged.
`weights: hub` downloads them from the authors' release to torch's cache. They were trained on ImageNet; the licence is
MIT. Their names have no hash that a download could be checked against.

Source: Qin et al. 2021, FcaNet: Frequency Channel Attention Networks, arXiv 2012.11879. Checkpoints, mean and std:
github.com/cfzd/FcaNet, hubconf.py and main.py.
"""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import timm
import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import build_model_with_cfg, generate_default_cfgs, model_entrypoint, register_model
from timm.models.resnet import BasicBlock, Bottleneck, ResNet
from torch import nn

NAMES = ("fcanet34", "fcanet50", "fcanet101", "fcanet152")
RELEASE = "https://github.com/cfzd/FcaNet/releases/download/v1.0"

GRIDS = (56, 28, 14, 7)  # side, by stage, of the grid of the transform: the feature map's size for images of 224
BASE_GRID = 7  # the grid for which the frequencies below are given
FREQUENCIES = (  # (vertical, horizontal): the 16 with the best ImageNet accuracy on their own (section 4.2)
    *((0, 0), (0, 1), (6, 0), (0, 5), (0, 2), (1, 0), (1, 2), (4, 0)),
    *((5, 0), (1, 6), (3, 0), (0, 4), (0, 6), (0, 3), (3, 5), (2, 2)),
)
REDUCTION = 16  # channels per hidden unit of the attention


def dct_basis(grid: int) -> torch.Tensor:
    """Return the orthonormal DCT-II of `grid` points as (frequency, position), float64; rows are unit vectors."""
    frequency, position = torch.meshgrid(torch.arange(grid), torch.arange(grid), indexing="ij")
    basis = math.sqrt(2 / grid) * torch.cos(math.pi / grid * frequency.double() * (position + 0.5))
    basis[0] /= math.sqrt(2)
    return basis


def dct_weights(channels: int, grid: int, frequencies: Sequence[tuple[int, int]] = FREQUENCIES) -> torch.Tensor:
    """Return each channel's cosine wave, (channels, grid, grid), float64; each frequency gets equally many.

    Args:
        channels: a multiple of the number of frequencies.
        grid: points a side, a multiple of 7.
        frequencies: (vertical, horizontal) on the 7 x 7 grid; a grid n times as wide takes n times the frequency.

    Raises:
        ValueError: the channels cannot be divided equally.
    """
    if channels % len(frequencies):
        raise ValueError(f"{channels} channels cannot be divided equally among {len(frequencies)} frequencies")
    basis, scale = dct_basis(grid), grid // BASE_GRID
    waves = torch.stack([torch.outer(basis[v * scale], basis[h * scale]) for v, h in frequencies])
    return waves.repeat_interleave(channels // len(frequencies), dim=0)


def pooling_matrix(size: int, grid: int, like: torch.Tensor) -> torch.Tensor:
    """Return adaptive average pooling from `size` to `grid` points as a matrix (size, grid), on the device of `like`.

    As in torch's adaptive_avg_pool, point i of the grid is the mean of positions floor(i * size / grid)
    up to, not including, ceil((i + 1) * size / grid).
    """
    point = torch.arange(grid, device=like.device)
    start, end = point * size // grid, ((point + 1) * size + grid - 1) // grid
    position = torch.arange(size, device=like.device)[:, None]
    return ((position >= start) & (position < end)).to(like.dtype) / (end - start)


class MultiSpectralPooling(nn.Module):
    """One number per channel: the coefficient of the channel's frequency in its feature map."""

    def __init__(self, channels: int, grid: int, frequencies: Sequence[tuple[int, int]] = FREQUENCIES) -> None:
        super().__init__()
        self.weight: torch.Tensor
        self.register_buffer(
            "weight", dct_weights(channels, grid, frequencies).float()
        )  # not learned, but in checkpoints

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map features (B, C, H, W) to (B, C); as if maps of another size were average-pooled to the grid."""
        size = (x.shape[-2], x.shape[-1])
        weight = self.weight if self.weight.shape[-2:] == size else self._unpooled(*size)
        return (x * weight).sum(dim=(2, 3))

    def _unpooled(self, height: int, width: int) -> torch.Tensor:
        """Return weights (C, height, width) for the unpooled map that equal `weight` on the pooled one.

        Pooling and weighting are both linear, so the weights can be enlarged instead of pooling the map. That costs
        once a batch rather than once an image. It also keeps gradients deterministic on CUDA, where those of torch's
        adaptive pooling are not.
        """
        with _full_precision(self.weight.device.type):
            rows = pooling_matrix(height, self.weight.shape[-2], self.weight)
            columns = pooling_matrix(width, self.weight.shape[-1], self.weight)
            return rows @ self.weight @ columns.T


class FrequencyAttention(nn.Module):
    """Squeeze-and-excitation on frequencies: weighs each channel by a factor in (0, 1)."""

    def __init__(self, channels: int, grid: int, frequencies: Sequence[tuple[int, int]] = FREQUENCIES) -> None:
        super().__init__()
        self.dct_layer = MultiSpectralPooling(channels, grid, frequencies)
        hidden = channels // REDUCTION
        self.fc = nn.Sequential(
            nn.Linear(channels, hidden, bias=False),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, channels, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map features (B, C, H, W) to features of the same shape."""
        factors: torch.Tensor = self.fc(self.dct_layer(x))  # (B, C)
        return x * factors[:, :, None, None]


class FcaBottleneck(Bottleneck):  # type: ignore[misc]
    """timm's bottleneck block with the attention `att` after its last batch norm, before the sum."""

    att: nn.Module  # set by FcaNet: a block does not know its stage, and the grid depends on the stage

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map features (B, C_in, H, W) to (B, C_out, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.act1(self.bn1(self.conv1(x)))
        x = self.aa(self.act2(self.drop_block(self.bn2(self.conv2(x)))))
        x = self.att(self.bn3(self.conv3(x)))
        if self.drop_path is not None:
            x = self.drop_path(x)
        out: torch.Tensor = self.act3(x + shortcut)
        return out


class FcaBasicBlock(BasicBlock):  # type: ignore[misc]
    """timm's block of two 3x3 convolutions with the attention `att` after its last batch norm, before the sum."""

    att: nn.Module  # as in FcaBottleneck

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map features (B, C_in, H, W) to (B, C_out, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.aa(self.act1(self.drop_block(self.bn1(self.conv1(x)))))
        x = self.att(self.bn2(self.conv2(x)))
        if self.drop_path is not None:
            x = self.drop_path(x)
        out: torch.Tensor = self.act2(x + shortcut)
        return out


class FcaNet(ResNet):  # type: ignore[misc]
    """timm's ResNet of FcaBottlenecks or FcaBasicBlocks; takes the same arguments.

    As in the authors' code, the last batch norm of a block starts at 1. At timm's 0 no gradient would reach the
    attention in the first step.
    """

    def __init__(
        self,
        *,
        layers: Sequence[int],
        block: type[nn.Module] = FcaBottleneck,
        zero_init_last: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(block=block, layers=layers, zero_init_last=zero_init_last, **kwargs)
        for stage, grid in zip((self.layer1, self.layer2, self.layer3, self.layer4), GRIDS, strict=True):
            for each in stage:
                weight = (each.conv2 if block is FcaBasicBlock else each.conv3).weight
                each.att = FrequencyAttention(weight.shape[0], grid).to(device=weight.device, dtype=weight.dtype)

    def load_pretrained(self, checkpoint_path: str) -> None:
        """Load an authors' checkpoint, every key checked; timm calls this where `custom_load` is set.

        timm's own way would unpickle the file without restrictions if the restricted reader raised a TypeError.
        """
        self.load_state_dict(torch.load(checkpoint_path, map_location="cpu", weights_only=True))


def _cfg(file: str) -> dict[str, Any]:
    return {
        "url": f"{RELEASE}/{file}",
        "custom_load": True,  # FcaNet.load_pretrained
        "license": "mit",
        "input_size": (3, 224, 224),
        "num_classes": 1000,
        "pool_size": (7, 7),
        "crop_pct": 0.875,
        "interpolation": "bilinear",
        "mean": IMAGENET_DEFAULT_MEAN,
        "std": IMAGENET_DEFAULT_STD,
        "first_conv": "conv1",
        "classifier": "fc",
    }


default_cfgs = generate_default_cfgs({f"{name}.in1k": _cfg(name.replace("net", "") + ".pth") for name in NAMES})


def fcanet34(pretrained: bool = False, **kwargs: Any) -> FcaNet:
    """Build FcaNet-34; ImageNet top-1 75.1 % by the authors' page."""
    return _build("fcanet34", pretrained, block=FcaBasicBlock, layers=(3, 4, 6, 3), **kwargs)


def fcanet50(pretrained: bool = False, **kwargs: Any) -> FcaNet:
    """Build FcaNet-50: 28.07 million parameters with 1000 classes; ImageNet top-1 78.5 % in the paper."""
    return _build("fcanet50", pretrained, layers=(3, 4, 6, 3), **kwargs)


def fcanet101(pretrained: bool = False, **kwargs: Any) -> FcaNet:
    """Build FcaNet-101: 49.29 million parameters with 1000 classes; ImageNet top-1 79.6 % in the paper."""
    return _build("fcanet101", pretrained, layers=(3, 4, 23, 3), **kwargs)


def fcanet152(pretrained: bool = False, **kwargs: Any) -> FcaNet:
    """Build FcaNet-152; ImageNet top-1 80.1 % by the authors' page."""
    return _build("fcanet152", pretrained, layers=(3, 8, 36, 3), **kwargs)


def register() -> None:
    """Register the models with timm; calling it again does nothing."""
    for builder in (fcanet34, fcanet50, fcanet101, fcanet152):
        if not timm.is_model(builder.__name__) or model_entrypoint(builder.__name__) is not builder:
            register_model(builder)


def _build(name: str, pretrained: bool, **kwargs: Any) -> FcaNet:
    model: FcaNet = build_model_with_cfg(FcaNet, name, pretrained, **kwargs)
    return model


def _full_precision(device_type: str) -> AbstractContextManager[object]:
    """Switch autocast off, which would round the weights to 8 bits (the meta device has no autocast)."""
    if not torch.amp.is_autocast_available(device_type):
        return nullcontext()
    return torch.autocast(device_type, enabled=False)
