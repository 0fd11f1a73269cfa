"""Whose network is asked where it looks: one member, one phase and one image size of those that the blend uses."""

from collections.abc import Collection
from dataclasses import dataclass

import pandas as pd

from podium.predictions.tta import FINETUNE, FIXRES, PRETRAIN, PROBE, PSEUDO, SOUP

LATEST_FIRST = (SOUP, PSEUDO, FIXRES, FINETUNE, PRETRAIN, PROBE)  # of phases that a member averages


@dataclass(frozen=True)
class NetworkChoice:
    """The network of a member, one for each fold.

    Attributes:
        member: its name.
        phase: whose weights it has.
        image_size: pixels.
    """

    member: str
    phase: str
    image_size: int


def choose(members: pd.DataFrame, names: Collection[str]) -> NetworkChoice | None:
    """Choose the member with the most weight in the blend; of several, or without weights, the smallest log loss.

    Of its phases the latest is chosen, and of its image sizes the largest, whose map has the most cells.

    Args:
        members: of podium.contracts.MEMBERS.
        names: of the members that have networks.

    Returns:
        None where no member has a network.
    """
    own = members[members["member"].isin(list(names))]
    if own.empty:
        return None
    best = (
        own.fillna({"weight": 0.0}).sort_values(["weight", "log_loss", "member"], ascending=[False, True, True]).iloc[0]
    )
    phases = str(best["phases"]).split()
    phase = next(phase for phase in LATEST_FIRST if phase in phases)
    return NetworkChoice(str(best["member"]), phase, max(map(int, str(best["image_sizes"]).split())))
