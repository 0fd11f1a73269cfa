"""Build timm models, load weights with every key checked, and save them as safetensors with their metadata."""

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import timm
import torch
from timm.models import adapt_input_conv, load_state_dict
from torch import nn

from podium.core import tables
from podium.core.array_file import META_KEY
from podium.core.colours import RGB
from podium.core.errors import InputError, some
from podium.models import family_registry

family_registry.register_all()

RESERVED = {"num_classes", "pretrained", "checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"}


@dataclass(frozen=True)
class Checkpoint:
    """Weights by name, and the metadata stored with them."""

    state: dict[str, torch.Tensor]
    meta: dict[str, Any]


def create(
    backbone: str, *, n_classes: int | None, model_kwargs: Mapping[str, Any], drop_path: float = 0.0
) -> nn.Module:
    """Build a timm model with random weights.

    Args:
        backbone: a name that timm knows, those of podium/models/families included.
        n_classes: outputs of the new head; None leaves the backbone's published head.
        model_kwargs: passed on to timm unchanged.
        drop_path: stochastic depth rate; 0 is not passed on, because not every backbone has this argument.

    Raises:
        InputError: timm does not know the backbone, or the backbone does not have an argument.
    """
    kwargs = dict(model_kwargs)
    if reserved := sorted(RESERVED & kwargs.keys()):
        raise InputError(f"backbone {backbone!r}: remove {some(reserved)} from model_kwargs: Podium sets them itself")
    if n_classes is not None:
        kwargs["num_classes"] = n_classes
    if drop_path > 0:
        kwargs["drop_path_rate"] = drop_path
    if not timm.is_model(backbone):
        near = difflib.get_close_matches(backbone, timm.list_models(), cutoff=0.4)
        raise InputError(f"backbone {backbone!r}: timm {timm.__version__} has no such model; near names: {some(near)}")
    try:
        model: nn.Module = timm.create_model(backbone, pretrained=False, **kwargs)
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise InputError(f"backbone {backbone!r} cannot be built with {kwargs}: {error}") from None
    return model


def from_hub(backbone: str, model_kwargs: Mapping[str, Any]) -> tuple[nn.Module, dict[str, Any]]:
    """Build a model with timm's pretrained weights; return the model and its configuration (mean, std, ...).

    Raises:
        InputError: timm has no weights for the backbone, or the hub cannot be reached.
    """
    create(backbone, n_classes=None, model_kwargs=model_kwargs)
    try:
        model: nn.Module = timm.create_model(backbone, pretrained=True, **model_kwargs)
    except Exception as error:  # the hub's client raises dozens of error classes, all with the same remedy
        raise InputError(
            f"backbone {backbone!r}: no weights from the hub ({type(error).__name__}: {error}). Without "
            "access to the hub, use a file: `weights: file` and `weights_file: path` (.safetensors or .pth)"
        ) from None
    return model, dict(model.pretrained_cfg)  # type: ignore[arg-type]


def head_names(model: nn.Module) -> tuple[str, ...]:
    """Return the names of the classifier modules, e.g. ("fc",)."""
    names = getattr(model, "pretrained_cfg", {}).get("classifier") or ()
    return (names,) if isinstance(names, str) else tuple(names)


def is_head(parameter: str, model: nn.Module) -> bool:
    """Return whether a parameter's name belongs to the classifier."""
    return any(parameter.startswith(f"{name}.") for name in head_names(model))


def norms(model: nn.Module) -> list[nn.Module]:
    """Return normalisation modules with learned weights: batch, layer, group and RMS norms, timm's own included.

    They are recognised by the name of their class, because timm's norms share no base class.
    """
    return [m for m in model.modules() if "norm" in type(m).__name__.lower() and [*m.parameters(recurse=False)]]


def find_linear_head(model: nn.Module) -> nn.Linear | None:
    """Return the model's classifier; None if it is not one linear layer with a bias."""
    names = head_names(model)
    head = model.get_submodule(names[0]) if len(names) == 1 else None
    return head if isinstance(head, nn.Linear) and head.bias is not None else None


def linear_head(model: nn.Module, key: str) -> nn.Linear:
    """Return the model's classifier.

    Raises:
        InputError: the classifier is not one linear layer with a bias; names `key`.
    """
    head = find_linear_head(model)
    if head is None:
        raise InputError(
            f"{key}: probe needs one linear classifier with a bias, this backbone has {head_names(model) or 'none'};"
            " set keep"
        )
    return head


def read_file(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Read a user's .safetensors or .pth (never unpickled); return tensors and the metadata of a safetensors file.

    Raises:
        InputError: the file is missing, has another ending, cannot be read, or holds more than tensors.
    """
    if path.suffix not in {".safetensors", ".pth", ".pt", ".bin"}:
        raise InputError(f"{path}: weights must be .safetensors, or torch's .pth, .pt or .bin")
    try:
        state = load_state_dict(str(path), weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{path}: no such weights file") from None
    except Exception as error:  # torch and safetensors raise a dozen error classes for a broken file
        raise InputError(f"{path}: cannot be read as weights ({type(error).__name__}: {error})") from None
    if not state or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise InputError(f"{path}: must be a map of names to tensors; save the model's state_dict()")
    return state, _file_metadata(path)


def _file_metadata(path: Path) -> dict[str, str]:
    if path.suffix != ".safetensors":
        return {}
    with safetensors.safe_open(str(path), framework="pt") as opened:
        return dict(opened.metadata() or {})


def mean_and_std(
    mean: Sequence[float] | None, std: Sequence[float] | None, metadata: Mapping[str, str], key: str
) -> tuple[Sequence[float], Sequence[float]]:
    """Return the input's mean and std from the member's settings or from a safetensors file's metadata.

    Raises:
        InputError: neither has them (timm's default could be wrong without a warning), or both do and differ.
    """
    if META_KEY in metadata:
        raise InputError(
            f"{key}.weights_file: these weights were trained here on all folds but one. Starting from them would be"
            " leakage: their training images would be scored as held out. Use weights that were not trained on this"
            " contest"
        )
    stored = [
        _numbers(metadata[name], f"{key}.weights_file: its {name}") for name in ("mean", "std") if name in metadata
    ]
    if mean is not None and std is not None:
        if len(stored) == 2 and stored != [list(mean), list(std)] and len(mean) == RGB:
            raise InputError(
                f"{key}: mean {mean} and std {std} differ from the weights file's {stored}; remove them here"
            )
        return mean, std
    if len(stored) < 2:
        raise InputError(
            f"{key}: the weights file does not hold its mean and std (safetensors metadata `mean` and `std`, JSON"
            " lists of 3 numbers): set `mean` and `std` here, to the values that it was trained with. They stand on the"
            " model's page, or in timm.get_pretrained_cfg(<backbone>); ImageNet's are mean: [0.485, 0.456, 0.406] and"
            " std: [0.229, 0.224, 0.225]"
        )
    return stored[0], stored[1]


def _numbers(text: str, source: str) -> list[float]:
    """Read three numbers in [0, 1] from a file's metadata."""
    try:
        values = json.loads(text)
    except json.JSONDecodeError:
        values = None
    if (
        not isinstance(values, list)
        or len(values) != 3
        or not all(isinstance(v, int | float) and 0 <= v <= 1 for v in values)
    ):
        raise InputError(f"{source} is {text!r}, not a JSON list of 3 numbers from 0 to 1")
    return values


def per_channel(values: Sequence[float], channels: int) -> Sequence[float]:
    """Return mean or std of each channel, from those of RGB: repeated, or their mean for grey."""
    if len(values) == channels:
        return values
    if channels == 1:
        return (sum(values) / len(values),)
    return tuple(values[at % len(values)] for at in range(channels))


def with_channels(model: nn.Module, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return weights whose first layer takes as many channels as the model's: RGB weights repeated or summed, by timm.

    Weights that differ in more than the channels stay as they are, so that `load` names them.
    """
    wanted = model.state_dict()
    adapted = dict(state)
    for name, tensor in state.items():
        shape = tuple(wanted[name].shape) if name in wanted else ()
        is_first = tensor.ndim == len(shape) == 4 and tensor.shape[1] == RGB
        if is_first and shape == (tensor.shape[0], shape[1], *tensor.shape[2:]) and shape[1] != RGB:
            adapted[name] = adapt_input_conv(shape[1], tensor)
    return adapted


def load(model: nn.Module, state: Mapping[str, torch.Tensor], source: str) -> str:
    """Load weights into a model; return a message if the head is new, else "".

    If the weights have no head, or one of another shape, the model's new head stays unchanged.

    Raises:
        InputError: other keys are missing, unexpected or of another shape; lists them.
    """
    matching, message = matching_weights(model, state, source)
    model.load_state_dict(matching, strict=False)
    return message


def matching_weights(
    model: nn.Module, state: Mapping[str, torch.Tensor], source: str
) -> tuple[dict[str, torch.Tensor], str]:
    """Return the weights that `load` would load and its message; the model may be on the meta device."""
    wanted = model.state_dict()
    head = {k for k in {*wanted, *state} if is_head(k, model)}
    head_fits = all(k in state and k in wanted and state[k].shape == wanted[k].shape for k in head)
    matching = {k: v for k, v in state.items() if head_fits or k not in head}
    _compare(wanted, matching, set() if head_fits else head, source)
    other_head = [f"{k} {tuple(state[k].shape)}" for k in sorted(head) if k in state]
    why = f"because the weights have another: {some(other_head)}" if other_head else "because the weights have none"
    return matching, "" if head_fits else f"{source}: new head, {why}"


def _compare(
    wanted: Mapping[str, torch.Tensor], given: Mapping[str, torch.Tensor], head: set[str], source: str
) -> None:
    faults = {
        "missing": [k for k in wanted if k not in given and k not in head and not k.endswith("num_batches_tracked")],
        "unexpected": [k for k in given if k not in wanted],
        "wrongly shaped": [
            f"{k} {tuple(given[k].shape)} for {tuple(wanted[k].shape)}"
            for k in wanted
            if k in given and given[k].shape != wanted[k].shape
        ],
    }
    lines = [f"  {name} ({len(keys)}): {some(keys, 20)}" for name, keys in faults.items() if keys]
    if lines:
        raise InputError(
            f"{source}: these weights do not fit the backbone (is it another backbone, or are model_kwargs"
            " missing?)\n" + "\n".join(lines)
        )


def save(path: Path, model_or_state: nn.Module | Mapping[str, torch.Tensor], meta: Mapping[str, Any]) -> None:
    """Write weights as safetensors with `meta` (plain data) as metadata; the same inputs give the same bytes."""
    state = model_or_state.state_dict() if isinstance(model_or_state, nn.Module) else model_or_state
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in sorted(state.items())}
    with tables.replacing(path) as temporary:
        safetensors.torch.save_file(tensors, str(temporary), metadata={META_KEY: json.dumps(meta, sort_keys=True)})


def read(path: Path) -> Checkpoint:
    """Read a file of `save`.

    Raises:
        InputError: `save` did not write the file.
    """
    state, metadata = read_file(path)
    if META_KEY not in metadata:
        raise InputError(f"{path}: lacks the metadata of weights that a stage wrote; run `dvc repro` to rebuild it")
    return Checkpoint(state, json.loads(metadata[META_KEY]))


def licence(backbone: str) -> str:
    """Return the licence of timm's pretrained weights, "" where timm does not state it."""
    config = timm.get_pretrained_cfg(backbone, allow_unregistered=True)
    return str(getattr(config, "license", None) or "")
