"""A note on members that train on random crops and predict at no size above the training size."""

from collections.abc import Iterable
from typing import Any

from podium.core.errors import some
from podium.inference.settings import MemberSettings
from podium.preflight.settings import Podium
from podium.training.settings import FixresSettings


def note(p: Podium) -> str:
    """Return the note, "" if no member needs it.

    A random crop enlarges what it shows, so a network finds objects smaller in whole images than in training. A larger
    image size at prediction, or a phase `fixres`, corrects that. Source: Touvron et al. 2019, arXiv 1906.06423.
    """
    names = [name for name, member in p.members.items() if _finds_objects_smaller(member, p.fixres.get(name))]
    if not names:
        return ""
    return (
        f"{some(names)}: trained on random crops, which enlarge objects, and infer.image_sizes has no size above"
        " model.image_size; add one, e.g. 1.14 and 1.29 times as large (Touvron et al. 2019)"
    )


def _finds_objects_smaller(member: MemberSettings, fixres: FixresSettings | None) -> bool:
    last = member.finetune if member.finetune.epochs > 0 else member.pretrain
    sizes = [*member.infer.image_sizes, *([] if fixres is None else [fixres.image_size])]
    return last.epochs > 0 and _has_random_crop(last.augmentation) and max(sizes) <= member.model.image_size


def _has_random_crop(ops: Iterable[dict[str, Any]]) -> bool:
    """Say whether a list of ops, or a list nested in it, has a random crop, e.g. RandomResizedCrop."""
    return any(
        (str(name).startswith("Random") and "Crop" in str(name))
        or (isinstance(arguments, dict) and _has_random_crop(arguments.get("transforms") or []))
        for op in ops
        for name, arguments in op.items()
    )
