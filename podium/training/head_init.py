"""The first weights of a phase's classifier: those of the member's probe, or what it already has (`head_init`).

Source: Kumar et al. 2022, arXiv 2202.10054: linear probing before fine-tuning distorts the features less.
"""

from collections.abc import Sequence

from torch import nn

from podium.core.errors import InputError
from podium.models import backbones, probe_heads
from podium.training.phase import TrainingJob


def init_classifier(
    job: TrainingJob, model: nn.Module, classes: Sequence[str], *, is_first: bool, is_new: bool
) -> None:
    """Set the classifier to the head that `probe` fitted on this fold's training images, where `head_init` wants it.

    Args:
        job: the phase.
        model: with its weights loaded, on the CPU.
        classes: names in the order of the model's outputs.
        is_first: no phase before this one has epochs.
        is_new: the classifier is random, because the weights have none, or another.

    Raises:
        InputError: `head_init: probe` is impossible here.
    """
    setting = job.settings.head_init
    if setting == "keep" or (setting == "auto" and (job.model.weights == "none" or not is_first)):
        return
    key = f"params.yaml: {job.key}.head_init"
    if not is_first:
        raise InputError(f"{key}: probe has no effect after a phase with epochs, which has trained the classifier")
    if setting == "auto" and not is_new:
        print(
            f"{job.name}: the classifier of the weights fits the number of classes and stays; `head_init: probe`"
            " replaces it"
        )
        return
    probed = probe_heads.read(job.root / f"models/probe/{job.member}.safetensors", classes)
    if job.fold in probed.heads:
        probe_heads.set_classifier(backbones.linear_head(model, key), probed.heads[job.fold])
        print(f"{job.name}: the classifier starts as that of probe@{job.member}")
        return
    why = probed.missing.get(job.fold, "its file has no such fold")
    if setting == "probe":
        raise InputError(f"{key}: probe@{job.member} has no classifier for fold {job.fold}: {why}; set keep")
    print(f"{job.name}: the classifier does not start from the probe: {why}")
