"""Compare a finished run's blend with linear probes and other trainings: `python -m docs.measure.against_probes ROOT`.

ROOT is the folder of the run (params.yaml, data/split, data/probe, data/joint_probe, data/ensemble). The probes are
each member's logistic regression on frozen features at the training size, averaged over TTA transforms; their mean; and
the one regression on all features. All predictions are out of fold. The blend's are nested: its choices were made on
other folds. The submission that each would make is compared with the blend's own, test image by test image.

`--trained FOLDER` adds trainings by docs.measure.ablation and docs.measure.by_timm that were called with `--out
FOLDER/<member>`: each variant's mean over the members. If they have some of the folds only, all methods are scored on
these.
"""

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from docs.measure import one_class
from podium.core import cli, params, tables, targets
from podium.core.errors import InputError
from podium.scoring import evaluation_set, intervals, scores

Method = tuple[pd.DataFrame, pd.DataFrame | None]  # train and test probabilities by image
BLEND = "Podium's blend"


def main(*words: str) -> None:
    """Print accuracy with its 95% interval, log loss, and differing test labels of every method."""
    parser = argparse.ArgumentParser(prog="python -m docs.measure.against_probes", description="Blend and probes.")
    parser.add_argument("root", type=Path)
    parser.add_argument("--trained", type=Path, help="a folder of trainings by docs.measure.ablation, by member")
    args = parser.parse_args(words)
    root: Path = args.root
    one_class.require(root)
    used = tables.read(root / "data/split/folds.csv", tables.FOLDS).query("use == 'train'").sort_values("image_id")
    classes = targets.class_names(used["label"])
    methods = _methods(root, classes)
    if args.trained:
        trained = _trained(args.trained, classes)
        methods = trained | methods
        scored = set.intersection(*(set(train.index) for train, _ in trained.values()))
        used = used[used["image_id"].isin(scored)]
        print(f"{len(used)} images of the folds {sorted(used['fold'].unique())}\n")
    _print(methods, used, classes)


def _print(methods: Mapping[str, Method], used: pd.DataFrame, classes: list[str]) -> None:
    metric = scores.SCORES["accuracy"]
    images = evaluation_set.of_folds(used, sorted(used["fold"].unique()), classes, metric)
    blend = methods[BLEND][1]
    print("| method | accuracy out of fold | log loss | other test labels than the blend's |\n|---|---|---|---|")
    for name, (train, test) in methods.items():
        probs = train.loc[used["image_id"]].to_numpy()
        low, high = intervals.score_interval(metric, images.targets, probs, images.groups)
        accuracy, loss = metric.function(images.targets, probs), scores.log_loss(images.targets, probs)
        differ = "not predicted"
        if test is not None and blend is not None:
            differ = f"{(test.to_numpy().argmax(1) != blend.loc[test.index].to_numpy().argmax(1)).sum()} of {len(test)}"
        print(f"| {name} | {accuracy:.4f} ({low:.4f} to {high:.4f}) | {loss:.4f} | {differ} |")


def _trained(folder: Path, classes: list[str]) -> dict[str, Method]:
    """Return train probabilities by image of each variant: the mean over members and seeds that all have."""
    columns = [tables.PROBABILITY + name for name in classes]
    found: dict[str, list[pd.DataFrame]] = {}
    for path in sorted(folder.glob("*/*/*")):  # member, variant, seed
        if files := sorted(path.glob("*.parquet")):
            table = pd.concat([pd.read_parquet(file) for file in files]).set_index("image_id")[columns]
            found.setdefault(path.parent.name, []).append(table.astype(np.float64))
    if not found:
        raise InputError(f"{folder}: no predictions in <member>/<variant>/<seed>/<fold>.parquet")
    return {f"{name}: mean of {len(each)} trainings": (_mean(each).dropna(), None) for name, each in found.items()}


def _methods(root: Path, classes: list[str]) -> dict[str, Method]:
    """Return train and test probabilities by image of every method."""
    columns = [tables.PROBABILITY + name for name in classes]
    members = params.read(root)["members"]
    probes = {}
    for name in sorted(members):
        table = pd.read_parquet(root / f"data/probe/{name}.parquet")
        size = members[name]["model"]["image_size"]
        probes[f"probe of {name}"] = _by_image(table[table["image_size"] == size], columns)
    found: dict[str, Method] = {**probes}
    if len(probes) > 1:
        trains, tests = zip(*probes.values(), strict=True)
        found["mean of the probes"] = (_mean(trains), _mean(tests))
        joint = pd.read_parquet(root / "data/joint_probe/predictions.parquet")
        found["joint probe"] = _by_image(joint, columns)
    oof, test = (pd.read_parquet(root / f"data/ensemble/{name}.parquet") for name in ("oof", "test"))
    found[BLEND] = (oof.set_index("image_id")[columns], test.set_index("image_id")[columns])
    return found


def _by_image(table: pd.DataFrame, columns: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Average an image's predictions over transforms, and over folds for test images."""
    subsets = (table[table["subset"] == subset] for subset in ("train", "test"))
    train, test = (rows.groupby("image_id")[columns].mean().astype(np.float64) for rows in subsets)
    return train, test


def _mean(of_probes: Iterable[pd.DataFrame]) -> pd.DataFrame:
    first, *others = of_probes
    return sum(others, first) / (1 + len(others))


if __name__ == "__main__":
    cli.run(main)
