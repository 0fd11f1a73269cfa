"""Stage `infer_fixres@<member>`: models/fixres/<member>/*.safetensors -> data/infer_fixres/<member>.parquet.

The same as `infer`, in the member's views, at the one image size that `fixres` trained for.
"""

from pathlib import Path

from stages.lib import cli, params
from stages.lib.settings.compute import TorchSettings
from stages.lib.settings.members import InferSettings
from stages.lib.settings.training import FixresSettings, ModelSettings


def main(member: str, root: Path = Path()) -> None:
    """Predict with all folds' models of one member's phase at another size."""
    from stages.lib import compute, inference  # torch: seconds, not spent on a mistake in the words or settings

    model = params.load(f"members.{member}.model", ModelSettings, root)
    p = params.load(f"members.{member}.infer", InferSettings, root)
    t = params.load("torch", TorchSettings, root)
    device = compute.start(device=t.device, threads=t.threads)
    inference.run(
        root / f"data/infer_fixres/{member}.parquet",
        root / f"models/fixres/{member}",
        root=root,
        folds=[str(fold) for fold in params.section(params.read(root), "folds")],
        image_sizes=[params.load(f"fixres.{member}", FixresSettings, root).image_size],
        views=p.views,
        batch_size=p.batch_size,
        numerics=compute.Numerics(device, model.precision, model.channels_last),
        name=f"infer_fixres@{member}",
    )


if __name__ == "__main__":
    cli.run(main)
