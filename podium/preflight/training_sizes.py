"""A note on members that do not predict at their training size."""

from podium.core.errors import some
from podium.preflight.settings import Podium


def note(p: Podium) -> str:
    """Return the note, "" if no member needs it.

    Nothing is wrong then: the default TTA is the first size instead (podium/predictions/tta.py). But the gain of a size
    is then hidden in the last step of the ablation study, and the user may not have meant it.
    """
    found = [
        f"{name} (trained at {member.model.image_size}, first size {member.infer.image_sizes[0]})"
        for name, member in p.members.items()
        if member.is_trained and member.model.image_size not in member.infer.image_sizes
    ]
    if not found:
        return ""
    return (
        f"{some(found)}: infer.image_sizes leaves out model.image_size, so `ensemble` compares all candidates with the"
        " first size, and `ladder` has no step for the mean over transforms; add it if you did not mean this"
    )
