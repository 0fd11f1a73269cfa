"""How many trainings a run takes, and how large its models are."""

from collections.abc import Mapping

from podium.core.wording import counted
from podium.preflight.settings import BY_MEMBER, Podium

BYTES_PER_VALUE = 4  # float32


def summary(p: Podium, values: Mapping[str, int]) -> str:
    """Describe the run in one line.

    Args:
        p: the settings.
        values: by member, the number of values in one of its models.
    """
    trainings, size = 0, 0
    for name, member in p.members.items():
        phases = [member.pretrain, member.finetune, *p.optional_phases(name).values()]
        trainings += sum(phase.epochs > 0 for phase in phases) * len(p.folds)
        size += values[name] * BYTES_PER_VALUE * (1 + (len(phases) + (name in p.soup)) * len(p.folds))
    external = f" (and {len(p.external)} external)" if p.external else ""
    members, probes = (counted(len(p.members), word) for word in ("member", "probe"))
    optional = {key: len(getattr(p, key)) * len(p.folds) for key in BY_MEMBER}
    of_optional = "".join(f", {count} of them {key}" for key, count in optional.items() if count)
    return (
        f"{members}{external} x {len(p.folds)} folds: {trainings} trainings{of_optional}, {probes},"
        f" models of {size / 1e6:,.0f} MB (results in DVC's cache are not computed again)"
    )
