"""Gradient checkpointing by timm: activations are computed again in the backward pass, which takes time, not memory.

Source: Chen et al. 2016, arXiv 1604.06174.
"""

from types import TracebackType

import torch
from torch import nn

from podium.core.errors import InputError


def enable(model: nn.Module, key: str) -> None:
    """Let a timm model compute the activations of its blocks again in the backward pass.

    Raises:
        InputError: the model cannot; names `key`, the setting.
    """
    switch = getattr(model, "set_grad_checkpointing", None)
    try:
        if switch is None:
            raise InputError("it has no set_grad_checkpointing")
        switch(True)
    except (InputError, AssertionError) as error:  # timm's models without it assert that it is off
        raise InputError(f"params.yaml: {key}: the backbone cannot do it ({error}); remove it") from None


class StatisticsKept:
    """A context manager for backward passes: a batch norm that runs a second time does not count its batch again."""

    def __init__(self, model: nn.Module) -> None:
        norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
        self._norms = [(norm, norm.momentum, norm.num_batches_tracked, _spare_count(norm)) for norm in norms]

    def __enter__(self) -> None:
        """Begin a backward pass."""
        for norm, _, _, spare in self._norms:
            norm.momentum, norm.num_batches_tracked = 0.0, spare

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        for norm, momentum, n_batches, _ in self._norms:
            norm.momentum, norm.num_batches_tracked = momentum, n_batches


def _spare_count(norm: nn.modules.batchnorm._BatchNorm) -> torch.Tensor | None:
    """Return what counts the batches of a second run; a SyncBatchNorm cannot run without a count."""
    count = norm.num_batches_tracked
    return torch.zeros_like(count) if isinstance(norm, nn.SyncBatchNorm) and count is not None else None
