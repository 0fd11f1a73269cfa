"""Stage `infer@<member>`: models/finetune/<member>/*.safetensors -> data/infer/<member>.parquet.

Every fold model predicts its held-out train images (out of fold; skipped ones too) and all test images, at each of
the member's image sizes and TTA transforms.
"""

from pathlib import Path

from podium.core import cli


def main(member: str, root: Path = Path()) -> None:
    """Predict with all fold models of one member."""
    from podium.inference import fold_models  # torch takes seconds to import: not for a wrong argument

    path = root / f"data/infer/{member}.parquet"
    fold_models.predict_member(member, "finetune", path, root=root, image_sizes=None, name=f"infer@{member}")


if __name__ == "__main__":
    cli.run(main)
