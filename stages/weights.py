"""Stage `weights@<member>`: timm's hub, a file or random weights -> models/weights/<member>.safetensors.

Every key of the weights is checked against the backbone.
"""

from pathlib import Path

from podium.core import cli, params
from podium.models.settings import ModelSettings


def main(member: str, root: Path = Path()) -> None:
    """Check and save the initial weights of a member."""
    p = params.load(f"members.{member}.model", ModelSettings, root)
    from podium.models import initial_weights  # torch takes seconds to import: not for a wrong setting

    n_values = initial_weights.save(p, member, root)
    print(f"weights@{member}: {p.backbone} from {p.weights}, {n_values:,} values")


if __name__ == "__main__":
    cli.run(main)
