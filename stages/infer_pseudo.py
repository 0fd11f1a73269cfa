"""Stage `infer_pseudo@<member>`: models/pseudo/<member>/*.safetensors -> data/infer_pseudo/<member>.parquet.

The same as `infer`, with the weights of the phase `pseudo`.
"""

from pathlib import Path

from podium.core import cli


def main(member: str, root: Path = Path()) -> None:
    """Predict with all fold models of one member after its phase `pseudo`."""
    from podium.inference import fold_models  # torch takes seconds to import: not for a wrong argument

    path, name = root / f"data/infer_pseudo/{member}.parquet", f"infer_pseudo@{member}"
    fold_models.predict_member(member, "pseudo", path, root=root, image_sizes=None, name=name)


if __name__ == "__main__":
    cli.run(main)
