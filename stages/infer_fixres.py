"""Stage `infer_fixres@<member>`: models/fixres/<member>/*.safetensors -> data/infer_fixres/<member>.parquet.

The same as `infer`, with the member's TTA transforms, but only at the image size of `fixres`.
"""

from pathlib import Path

from podium.core import cli, params
from podium.training.settings import FixresSettings


def main(member: str, root: Path = Path()) -> None:
    """Predict with all fold models of one member after its phase `fixres`."""
    from podium.inference import fold_models  # torch takes seconds to import: not for a wrong argument

    size = params.load(f"fixres.{member}", FixresSettings, root).image_size
    path = root / f"data/infer_fixres/{member}.parquet"
    fold_models.predict_member(member, "fixres", path, root=root, image_sizes=[size], name=f"infer_fixres@{member}")


if __name__ == "__main__":
    cli.run(main)
