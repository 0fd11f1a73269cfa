"""Stage `soup@<member>`: models/finetune/*/<fold>.safetensors -> models/soup/<member>/ and data/soup/<member>.parquet.

For members of the top-level map `soup`: every fold's model has the mean weights of this member's model and those of the
members that its entry names. Like `infer`, it predicts held-out train images and all test images.
"""

from pathlib import Path

from podium.core import cli


def main(member: str, root: Path = Path()) -> None:
    """Average weights and predict with them."""
    from podium.inference import soup  # torch takes seconds to import: not for a wrong argument

    soup.run(member, root)


if __name__ == "__main__":
    cli.run(main)
