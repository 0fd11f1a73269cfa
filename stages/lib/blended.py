"""What params.yaml says is blended: its maps `members`, `fixres` and `external`, as sources of predictions."""

from pathlib import Path
from typing import Any

from stages.lib import params, resolution, sources
from stages.lib.settings.members import MemberSettings
from stages.lib.settings.training import FixresSettings, PhaseSettings


def members_of(values: dict[str, Any]) -> dict[str, MemberSettings]:
    """Return the settings of the map `members`, sorted by name: its order in params.yaml means nothing to DVC."""
    sections = sorted(params.section(values, "members").items())
    return {name: params.parse(section, f"members.{name}", MemberSettings) for name, section in sections}


def sources_of(values: dict[str, Any], root: Path) -> dict[str, sources.Source]:
    """Return all sources, sorted by name."""
    third = {
        name: params.parse(section, f"fixres.{name}", FixresSettings)
        for name, section in params.section(values, "fixres").items()
    }
    found = {name: sources.made_elsewhere(root, name) for name in params.section(values, "external")}
    for name, member in members_of(values).items():
        last: dict[str, PhaseSettings] = {
            resolution.FINETUNE: member.finetune if member.finetune.epochs > 0 else member.pretrain
        }
        if name in third:
            last[resolution.FIXRES] = third[name]
        found[name] = sources.member(
            root,
            name,
            image_sizes=member.infer.image_sizes,
            views=member.infer.views,
            training_size=member.model.image_size,
            fixres_size=third[name].image_size if name in third else None,
            weighted=[phase for phase, settings in last.items() if settings.class_weights != "none"],
        )
    return dict(sorted(found.items()))
