"""The names of the blend's members, from params.yaml."""

from typing import Any

from podium.core import params
from podium.predictions.tta import JOINT_PROBE


def has_joint_probe(values: dict[str, Any]) -> bool:
    """Say whether there is a joint probe: it needs the features of two members."""
    return len(params.section(values, "members")) > 1


def blend_names(values: dict[str, Any]) -> list[str]:
    """Return the names of members, of external predictions and of the joint probe, sorted."""
    joint = [JOINT_PROBE] if has_joint_probe(values) else []
    return sorted([*params.section(values, "members"), *params.section(values, "external"), *joint])
