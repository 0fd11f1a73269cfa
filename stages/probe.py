"""Stage `probe@<member>`: models/weights/<member>.safetensors -> data/probe/<member>.parquet and .safetensors.

A logistic regression on the features of the backbone's initial weights predicts every train image out of fold (skipped
ones too) and all test images, at the image sizes and in the transforms of `infer`. It is the baseline of the ablation
study, and a candidate like the phases of training. A large contest uses a linear discriminant (linear_probe.MAX_WORK).
With `weights: none` the features are random, which is a baseline as well. The features themselves, averaged over
the sizes, are for the joint probe; models/classifiers/<member>.safetensors, the fitted classifiers, are for new images.
"""

from pathlib import Path

from podium.core import cli, params
from podium.inference.settings import InferSettings
from podium.models.settings import ModelSettings, TorchSettings


def main(member: str, root: Path = Path()) -> None:
    """Compute one member's features once, then fit and predict every fold on them."""
    model = params.load(f"members.{member}.model", ModelSettings, root)
    infer = params.load(f"members.{member}.infer", InferSettings, root)
    torch = params.load("torch", TorchSettings, root)
    fold_names = [str(fold) for fold in params.section(params.read(root), "folds")]
    from podium.probes import member_probe  # torch takes seconds to import: not for a wrong setting

    images = member_probe.read_images(root, fold_names)
    probe = member_probe.MemberProbe(member, model, torch, infer.transforms, images, root)
    found = probe.run(infer.image_sizes)
    for size, one in found.items():
        print(f"probe@{member}: regularisation at {size} pixels: {one.strengths_in_words}")
    n_images = next(iter(found.values())).score.n_images
    scores = "; ".join(f"at {size} pixels {one.score}" for size, one in found.items())
    print(f"probe@{member}: a linear classifier on frozen features, {n_images} images out of fold: {scores}")


if __name__ == "__main__":
    cli.run(main)
