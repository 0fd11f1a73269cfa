"""Stage `infer_pretrain@<member>`: models/pretrain/<member>/*.safetensors -> data/infer_pretrain/<member>.parquet.

The same as `infer` with the weights of phase 1 (with mixup; not ImageNet pretraining), at the training size alone, so
that phase 1 is a candidate where phase 2 harms. Where one of the two phases has 0 epochs the table is empty.
"""

from pathlib import Path

from podium.core import cli, params, tables
from podium.inference.settings import MemberSettings


def main(member: str, root: Path = Path()) -> None:
    """Predict with all fold models of one member after phase 1."""
    p = params.load(f"members.{member}", MemberSettings, root)
    path = root / f"data/infer_pretrain/{member}.parquet"
    if min(p.pretrain.epochs, p.finetune.epochs) == 0:
        tables.write_empty_predictions(root, path)
        print(f"infer_pretrain@{member}: skipped, because fewer than two phases are trained")
        return
    from podium.inference import fold_models  # torch takes seconds to import: not for an untrained phase

    sizes, name = [p.model.image_size], f"infer_pretrain@{member}"
    fold_models.predict_member(member, "pretrain", path, root=root, image_sizes=sizes, name=name)


if __name__ == "__main__":
    cli.run(main)
