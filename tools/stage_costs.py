"""What the stages of a member cost, in forward passes of one image at the member's training size.

A pass takes time in proportion to the number of pixels, and a training step TRAINING times as long as a forward pass.
"""

from collections.abc import Mapping

from podium.inference.settings import MemberSettings
from podium.training.settings import FixresSettings, PhaseSettings

# Forward passes: 3.1 of vit_tiny_patch16_224 and 4.8 of mobilenetv2_100 on a CPU (docs/log.md, 2026-11-29)
TRAINING = 4
OF_A_FOLD = ("pretrain", "finetune", "fixres", "pseudo", "distill")  # stages that run once for each fold


def forward_passes(
    member: MemberSettings, phases: Mapping[str, PhaseSettings], n_folds: int, n_train: int, n_test: int
) -> dict[str, float]:
    """Return the cost of a run of each stage, e.g. of "finetune" for one fold.

    Args:
        member: its settings.
        phases: its optional phases, by stage.
        n_folds: of params.yaml.
        n_train: images.
        n_test: images.
    """
    own, learned = member.model.image_size, n_train * (n_folds - 1) / n_folds
    predicted = len(member.infer.transforms) * (n_train + n_test * n_folds)

    def at(size: int) -> float:
        return (size / own) ** 2

    every = sum(at(size) for size in {own, *member.infer.image_sizes})
    both = member.pretrain.epochs and member.finetune.epochs
    found = {
        "probe": every * len(member.infer.transforms) * (n_train + n_test),
        "pretrain": TRAINING * member.pretrain.epochs * at(member.pretrain_size) * learned,
        "finetune": TRAINING * member.finetune.epochs * learned,
        "infer": every * predicted if member.is_trained else 0.0,
        "infer_pretrain": at(member.pretrain_size) * predicted if both else 0.0,
    }
    for stage, phase in phases.items():
        size = phase.image_size if isinstance(phase, FixresSettings) else own
        images = learned if isinstance(phase, FixresSettings) else n_train + n_test  # or with soft labels
        found[stage] = TRAINING * phase.epochs * at(size) * images
        found[f"infer_{stage}"] = at(size) * predicted
    return found
