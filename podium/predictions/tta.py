"""Test-time augmentation: at which sizes, in which transforms and with which phases' weights a member predicts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

IDENTITY = "identity"
FLIPS = ("hflip", IDENTITY)  # of an image that is as likely mirrored, but not upside down
CROP = "crop_"  # how the names of crops begin
# whose weights predict
PROBE, PRETRAIN, FINETUNE, FIXRES, PSEUDO, SOUP = "probe", "pretrain", "finetune", "fixres", "pseudo", "soup"
JOINT_PROBE, ELSEWHERE = "joint_probe", "elsewhere"  # predictions that no member's own stage makes


@dataclass(frozen=True, order=True)
class Tta:
    """How a member predicts an image: the mean over sizes, TTA transforms and phases.

    Attributes:
        image_sizes: pixels.
        transforms: e.g. identity and hflip.
        phases: e.g. finetune; probe and finetune for the mean of both.
    """

    image_sizes: tuple[int, ...]
    transforms: tuple[str, ...]
    phases: tuple[str, ...] = (FINETUNE,)

    def __str__(self) -> str:
        phases = "" if self.phases == (FINETUNE,) else f" {'+'.join(self.phases)}"
        return f"{' '.join(map(str, self.image_sizes))} {'+'.join(self.transforms)}{phases}"


def default_tta(
    image_sizes: Sequence[int], transforms: Sequence[str], training_size: int, phase: str = FINETUNE
) -> Tta:
    """Return the TTA that a member is trained for: its training size and all transforms.

    Where the training size is not predicted, it is the first size.
    """
    size = training_size if training_size in image_sizes else image_sizes[0]
    return Tta((size,), tuple(sorted(transforms)), (phase,))


def alternative_ttas(
    default: Tta,
    image_sizes: Sequence[int],
    *,
    training_size: int,
    fixres_size: int | None = None,
    has_pretrain: bool = False,
    has_pseudo: bool = False,
    has_soup: bool = False,
) -> tuple[Tta, ...]:
    """Return the single predictions that are compared with the default TTA.

    They are the other sizes, the default size in the identity transform alone (and in `FLIPS`, where more transforms
    are predicted, and without crops, where these and others are), the probe at every size, phase 1 at the training
    size, `fixres` at its size, and `pseudo` and `soup` at every size.

    Args:
        default: of `default_tta`; of the probe where no phase is trained.
        image_sizes: pixels, of `infer`.
        training_size: pixels.
        fixres_size: pixels; None where the member has no phase `fixres`.
        has_pretrain: whether phase 1 was trained, and another phase after it.
        has_pseudo: whether the member has the phase `pseudo`.
        has_soup: whether the member has a soup.
    """
    phases = (default.phases,) if default.phases == (PROBE,) else (default.phases, (PROBE,))
    phases = (*phases, *((phase,) for phase, has in ((PSEUDO, has_pseudo), (SOUP, has_soup)) if has))
    sizes = [Tta((size,), default.transforms, phase) for phase in phases for size in sorted(image_sizes)]
    whole = tuple(name for name in default.transforms if not name.startswith(CROP))
    parts = dict.fromkeys(part for part in ((IDENTITY,), FLIPS, whole) if part)
    in_fewer = [replace(default, transforms=part) for part in parts if set(part) < set(default.transforms)]
    phase_1 = [Tta((training_size,), default.transforms, (PRETRAIN,))] if has_pretrain else []
    third = [] if fixres_size is None else [Tta((fixres_size,), default.transforms, (FIXRES,))]
    return (*(tta for tta in sizes if tta != default), *in_fewer, *phase_1, *third)


def average_ttas(default: Tta, alternatives: Iterable[Tta], harmful: Iterable[Tta] = ()) -> list[Tta]:
    """Return averages of single predictions that do no harm: over sizes, over phases, and over both.

    Phases are averaged in pairs: `finetune` and the probe, phase 1, or `fixres`, at sizes that both predict.

    Args:
        default: of `default_tta`.
        alternatives: of `alternative_ttas`.
        harmful: those of them that lose to the default TTA.
    """
    left_out = set(harmful)
    alike = [tta for tta in alternatives if tta.transforms == default.transforms and tta not in left_out]
    sizes = {
        phase: sorted({size for tta in [default, *alike] if tta.phases == (phase,) for size in tta.image_sizes})
        for phase in (FINETUNE, PROBE, PRETRAIN, FIXRES, PSEUDO, SOUP)
    }
    common = tuple(size for size in sizes[FINETUNE] if size in sizes[PROBE])
    averages = [Tta(tuple(found), default.transforms, (phase,)) for phase, found in sizes.items() if len(found) > 1]
    both = {default.image_sizes, common} if sizes[FINETUNE] and set(default.image_sizes) <= set(common) else set()
    averages += [Tta(found, default.transforms, (FINETUNE, PROBE)) for found in sorted(both)]
    averages += [
        Tta(tuple(sizes[phase]), default.transforms, (FINETUNE, phase))
        for phase in (PRETRAIN, FIXRES)
        if sizes[phase] and set(sizes[phase]) <= set(sizes[FINETUNE])
    ]
    return averages


def single_ttas(tta: Tta) -> list[Tta]:
    """Return the TTAs of one size and one phase whose mean a TTA is."""
    return [replace(tta, image_sizes=(size,), phases=(phase,)) for phase in tta.phases for size in tta.image_sizes]
