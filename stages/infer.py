"""Stage `infer@<member>`: models/finetune/<member>/*.safetensors -> data/infer/<member>.parquet.

Every fold model predicts its held-out train images (out of fold; skipped ones too) and all test images, at each of
the member's image sizes and TTA transforms. Where no phase has epochs the table is empty: the member is its probe.
"""

from pathlib import Path

from podium.core import cli, params, tables
from podium.inference.settings import MemberSettings


def main(member: str, root: Path = Path()) -> None:
    """Predict with all fold models of one member."""
    path = root / f"data/infer/{member}.parquet"
    if not params.load(f"members.{member}", MemberSettings, root).is_trained:
        tables.write_empty_predictions(root, path)
        print(f"infer@{member}: skipped, because no phase has epochs: this member is its probe")
        return
    from podium.inference import fold_models  # torch takes seconds to import: not for a wrong argument

    fold_models.predict_member(member, "finetune", path, root=root, image_sizes=None, name=f"infer@{member}")


if __name__ == "__main__":
    cli.run(main)
