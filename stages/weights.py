"""Stage `weights@<member>`: hub, file or none -> models/weights/<member>.safetensors, every key checked."""

from pathlib import Path

from podium.core import cli, params
from podium.models.settings import ModelSettings


def main(member: str, root: Path = Path()) -> None:
    """Check and save the weights a member starts from."""
    p = params.load(f"members.{member}.model", ModelSettings, root)
    from podium.models import initial_weights  # torch: seconds, not spent on a mistake in the settings

    n_values = initial_weights.save(p, member, root)
    print(f"weights@{member}: {p.backbone} from {p.weights}, {n_values:,} values")


if __name__ == "__main__":
    cli.run(main)
