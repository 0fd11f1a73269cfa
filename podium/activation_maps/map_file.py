"""The file of the stage `activation_maps`: the maps of the blend's surest mistakes, as pictures."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from podium.activation_maps.network_choice import NetworkChoice
from podium.activation_maps.overlays import SIDE
from podium.core import array_file

PATH = Path("data/activation_maps/maps.safetensors")


@dataclass(frozen=True)
class MistakeMap:
    """The map of one mistake.

    Attributes:
        overlay: the image under the map (SIDE, SIDE, 3), RGB.
        p: what the network gives the wrongly predicted class.
    """

    overlay: NDArray[np.uint8]
    p: float


@dataclass(frozen=True)
class MistakeMaps:
    """The maps of the surest mistakes.

    Attributes:
        network: that was asked; None where there is none.
        reason: why there are no maps, "" where there are.
        by_mistake: (image id, predicted class) -> its map.
    """

    network: NetworkChoice | None
    reason: str = ""
    by_mistake: Mapping[tuple[str, str], MistakeMap] = field(default_factory=dict)


def write(path: Path, found: MistakeMaps) -> None:
    """Write maps; the same maps give the same bytes."""
    overlays = [one.overlay for one in found.by_mistake.values()]
    rows = [[*key, round(one.p, 4)] for key, one in found.by_mistake.items()]
    network = None if found.network is None else asdict(found.network)
    stacked = np.stack(overlays) if overlays else np.zeros((0, SIDE, SIDE, 3), np.uint8)
    array_file.write(path, {"overlays": stacked}, {"network": network, "reason": found.reason, "mistakes": rows})


def read(path: Path) -> MistakeMaps:
    """Read a file of `write`."""
    arrays, meta = array_file.read(path)
    network = None if meta["network"] is None else NetworkChoice(**meta["network"])
    pairs = zip(meta["mistakes"], arrays["overlays"], strict=True)
    by_mistake = {(str(name), str(label)): MistakeMap(overlay, float(p)) for (name, label, p), overlay in pairs}
    return MistakeMaps(network, str(meta["reason"]), by_mistake)
