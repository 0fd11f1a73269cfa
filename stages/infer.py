"""Stage `infer@<member>`: models/finetune/<member>/*.safetensors -> data/infer/<member>.parquet.

Every fold's model predicts its own held-out train images (out of fold; skipped ones too) and all test
images, at each of the member's image sizes and transforms.
"""

from pathlib import Path

from podium.core import cli


def main(member: str, root: Path = Path()) -> None:
    """Predict with all folds' models of one member."""
    from podium.inference import fold_models  # torch: seconds, not spent on a mistake in the words or settings

    path = root / f"data/infer/{member}.parquet"
    fold_models.of_member(member, "finetune", path, root=root, image_sizes=None, name=f"infer@{member}")


if __name__ == "__main__":
    cli.run(main)
