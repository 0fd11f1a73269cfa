"""Stage `infer@<member>`: models/finetune/<member>/*.safetensors -> data/infer/<member>.parquet.

Every fold's model predicts its own held-out train images (out of fold; skipped ones too) and all test
images, at each of the member's image sizes and views.
"""

from pathlib import Path

from stages.lib import cli, params
from stages.lib.settings.compute import TorchSettings
from stages.lib.settings.members import InferSettings
from stages.lib.settings.training import ModelSettings


def main(member: str, root: Path = Path()) -> None:
    """Predict with all folds' models of one member."""
    from stages.lib import compute, inference  # torch: seconds, not spent on a mistake in the words or settings

    model = params.load(f"members.{member}.model", ModelSettings, root)
    p = params.load(f"members.{member}.infer", InferSettings, root)
    t = params.load("torch", TorchSettings, root)
    device = compute.start(device=t.device, threads=t.threads)
    inference.run(
        root / f"data/infer/{member}.parquet",
        root / f"models/finetune/{member}",
        root=root,
        folds=[str(fold) for fold in params.section(params.read(root), "folds")],
        image_sizes=p.image_sizes,
        views=p.views,
        batch_size=p.batch_size,
        numerics=compute.Numerics(device, model.precision, model.channels_last),
        name=f"infer@{member}",
    )


if __name__ == "__main__":
    cli.run(main)
