"""Losses of logits and soft targets (batch, n_classes); hard targets are one-hot rows.

All of them are linear in the targets: the loss of a mixed image is the mean of its classes' losses, by their shares.
A prediction is the softmax of the logits, whatever the loss. `bce`, `focal` and `asymmetric` train a separate sigmoid
for each class: the softmax keeps their order of the classes, and the temperature of `ensemble` calibrates it. Where an
image has a set of labels, the sigmoids are the prediction, and one of these losses trains them. `logit_adjusted`
predicts as if all classes were equally frequent, and `ensemble` puts the class priors back as far as that helps.
"""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

FOCAL_GAMMA = 2.0  # the paper's best
ASYMMETRIC_GAMMAS, ASYMMETRIC_CLIP = (1.0, 4.0), 0.05  # timm's: of positives, of negatives; negatives below it cost 0
_SMALLEST = 1e-8  # of a probability


class SoftTargetLoss(nn.Module):
    """A loss of soft targets, averaged over the batch.

    Class weights weigh images, by their targets before smoothing. torch weighs each class's term instead, the smoothing
    mass too, so that the loss of a rare class would be smallest where it has most of every image's probability.

    Args:
        class_weights: (n_classes,), or None.
        label_smoothing: share of every target that is spread over all classes.
        name: one of `PhaseSettings.loss`.
        log_prior: (n_classes,) of the training images, for "logit_adjusted".
        sets: whether each class is a label that an image has or lacks, whatever the others.
    """

    def __init__(
        self,
        class_weights: torch.Tensor | None,
        label_smoothing: float,
        *,
        name: str = "cross_entropy",
        log_prior: torch.Tensor | None = None,
        sets: bool = False,
    ) -> None:
        super().__init__()
        self.sets = sets
        self.class_weights, self.label_smoothing = class_weights, label_smoothing
        self.sigmoid_loss, self.log_prior = SIGMOID_LOSSES.get(name), log_prior

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the loss of logits and targets (batch, n_classes)."""
        return self.of_images(logits, targets).mean()

    def of_images(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the loss of each image (batch,), weighed by its classes."""
        losses = self._losses(logits, targets)
        return losses if self.class_weights is None else losses * (targets @ self.class_weights)

    def _losses(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the loss of each image (batch,), all classes alike."""
        if self.sigmoid_loss is not None:  # summed over classes, so that one lr suits few classes and many
            n_values = 2 if self.sets else targets.shape[1]
            smooth = targets * (1 - self.label_smoothing) + self.label_smoothing / n_values
            return self.sigmoid_loss(logits, smooth).sum(1)
        if self.log_prior is not None:
            logits = logits + self.log_prior
        return functional.cross_entropy(logits, targets, label_smoothing=self.label_smoothing, reduction="none")


class WeighedImagesLoss(nn.Module):
    """Another loss, averaged over a batch whose images have weights: each row of targets sums to its image's weight."""

    def __init__(self, loss: SoftTargetLoss) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the loss of logits and targets (batch, n_classes)."""
        weights = targets.sum(1)
        return (self.loss.of_images(logits, targets / weights[:, None]) * weights).mean()


def _bce(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return binary cross-entropies (batch, n_classes). Source: Wightman et al. 2021, arXiv 2110.00476."""
    return functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")


def _focal(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return focal losses (batch, n_classes), without the paper's alpha, because class weights do the same.

    torchvision's loss is meant for targets of 0 and 1: its minimum for a target between them lies beyond the target.

    Source: Lin et al. 2017, arXiv 1708.02002.
    """
    of_one, of_zero = (
        sigmoid_focal_loss(logits, torch.full_like(logits, hard), alpha=-1, gamma=FOCAL_GAMMA) for hard in (1, 0)
    )
    focal: torch.Tensor = targets * of_one + (1 - targets) * of_zero
    return focal


def _asymmetric(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return asymmetric losses (batch, n_classes) with timm's defaults: easy negatives count least.

    Source: Ridnik et al. 2021, arXiv 2009.14119; timm.loss.AsymmetricLossMultiLabel is their mean over images.
    """
    p = torch.sigmoid(logits)
    q = (1 - p + ASYMMETRIC_CLIP).clamp(max=1)
    of_one = -p.clamp(min=_SMALLEST).log() * (1 - p) ** ASYMMETRIC_GAMMAS[0]
    of_zero = -q.clamp(min=_SMALLEST).log() * (1 - q) ** ASYMMETRIC_GAMMAS[1]
    asymmetric: torch.Tensor = targets * of_one + (1 - targets) * of_zero
    return asymmetric


SIGMOID_LOSSES: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "bce": _bce,
    "focal": _focal,
    "asymmetric": _asymmetric,
}


def of_sets(name: str) -> str:
    """Return the loss that trains sigmoids where `name` is set: the default, cross-entropy, is their `bce`."""
    return "bce" if name == "cross_entropy" else name


def balanced_weights(targets: torch.Tensor, n_classes: int, shares: torch.Tensor | None = None) -> torch.Tensor:
    """Return class weights: the inverse of each class's count, scaled to a mean of 1 over `targets`.

    A class without images counts as one image: soft labels may have a part of it.

    Args:
        targets: class indices (n_images,).
        n_classes: of the contest.
        shares: of the images that an epoch draws (n_images,), which count as that many; None if all are 1.
    """
    counts = _counts(targets, n_classes, shares)
    return counts.sum() / (counts.clamp(min=1) * (counts > 0).sum())


def log_class_shares(targets: torch.Tensor, n_classes: int, shares: torch.Tensor | None = None) -> torch.Tensor:
    """Return the log of each class's share of `targets`; a class without images counts as one image.

    Cross-entropy of logits plus this is the logit-adjusted loss. Source: Menon et al. 2020, arXiv 2007.07314.

    Args:
        targets: class indices (n_images,).
        n_classes: of the contest.
        shares: as of `balanced_weights`.
    """
    counts = _counts(targets, n_classes, shares)
    return (counts.clamp(min=1) / counts.sum()).log()


def _counts(targets: torch.Tensor, n_classes: int, shares: torch.Tensor | None) -> torch.Tensor:
    return torch.bincount(targets, shares, minlength=n_classes).float()
