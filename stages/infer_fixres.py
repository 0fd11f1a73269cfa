"""Stage `infer_fixres@<member>`: models/fixres/<member>/*.safetensors -> data/infer_fixres/<member>.parquet.

The same as `infer`, in the member's transforms, at the one image size that `fixres` trained for.
"""

from pathlib import Path

from podium.core import cli, params
from podium.training.settings import FixresSettings


def main(member: str, root: Path = Path()) -> None:
    """Predict with all folds' models of one member's phase at another size."""
    from podium.inference import fold_models  # torch: seconds, not spent on a mistake in the words or settings

    size = params.load(f"fixres.{member}", FixresSettings, root).image_size
    path = root / f"data/infer_fixres/{member}.parquet"
    fold_models.of_member(member, "fixres", path, root=root, image_sizes=[size], name=f"infer_fixres@{member}")


if __name__ == "__main__":
    cli.run(main)
