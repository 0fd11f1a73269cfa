"""Measure a joint probe's features at several image sizes: `python -m docs.measure.joint_sizes ROOT`.

ROOT is a project in which `dvc repro weights split` is done. Computes every member's frozen features at the sizes of
`infer`, which must be as many for each, and predicts the train images out of fold by a joint probe on the features of
one size, on their mean over sizes, and on all of them side by side. Prints accuracy and log loss.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import log_loss

from docs.measure import one_class
from podium.core import cli, params
from podium.models.settings import TorchSettings
from podium.predictions.member_predictions import members_of
from podium.probes import features_file, joint_probe, linear_probe, member_probe
from podium.probes.member_probe import MemberProbe, ProbeImages

Features = NDArray[np.float32]


def main(*words: str) -> None:
    """Print a row per way of joining sizes."""
    parser = argparse.ArgumentParser(prog="python -m docs.measure.joint_sizes", description="Sizes of a joint probe.")
    parser.add_argument("root", type=Path)
    root = parser.parse_args(words).root
    one_class.require(root)
    values = params.read(root)
    images = member_probe.read_images(root, [str(fold) for fold in values["folds"]])
    torch = params.load("torch", TorchSettings, root)
    by_member: list[list[Features]] = []
    for name, member in members_of(values).items():
        probe = MemberProbe(name, member.model, torch, member.infer.transforms, images, root)
        sizes = features_file.size_order(member.infer.image_sizes, member.model.image_size)
        by_member.append([probe._of_subset("train", size, member.infer.transforms) for size in sizes])
    by_position = list(zip(*by_member, strict=True))
    ways = {f"size {place + 1}": joint_probe.side_by_side(found) for place, found in enumerate(by_position)}
    ways["mean of features"] = joint_probe.side_by_side(features_file.mean_over_sizes(found) for found in by_member)
    ways["side by side"] = joint_probe.side_by_side(one for found in by_member for one in found)
    predicted = {name: _out_of_fold(inputs, images) for name, inputs in ways.items()}
    predicted["mean of predictions"] = np.mean([predicted[f"size {i + 1}"] for i in range(len(by_position))], axis=0)
    for name, probs in predicted.items():
        known = images.targets >= 0
        targets, rows = images.targets[known], probs[known].astype(np.float64)
        score = (rows.argmax(axis=1) == targets).mean()
        print(f"| {name} | {score:.4f} | {log_loss(targets, rows / rows.sum(axis=1, keepdims=True)):.4f} |", flush=True)


def _out_of_fold(inputs: Features, images: ProbeImages) -> Features:
    found = linear_probe.predict_folds(
        inputs,
        images.targets,
        images.folds,
        inputs[:0],
        n_classes=len(images.classes),
        seeds={fold: place for place, fold in enumerate(images.fold_names)},
    )
    return found.train[:, 0]


if __name__ == "__main__":
    cli.run(main)
