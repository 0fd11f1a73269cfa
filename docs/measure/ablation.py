"""Measure what settings of a training gain over seeds: `python -m docs.measure.ablation ROOT MEMBER --out FOLDER`.

ROOT is a project in which `dvc repro probe` is done; for the variant `distill`, `dvc repro ensemble`. Trains variants
of one member in one process, each with the same folds and seeds, and compares each variant with its baseline as
`tools.seeds` does. A variant is a few settings changed (docs/measure/variants.py). Predictions stay in FOLDER, one
folder per variant and seed; a second call reads them.
"""

import argparse
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import yaml
from numpy.typing import NDArray

from docs.measure import one_class, variants
from docs.measure.variants import BASE, TTAS, Changes
from podium.core import cli, params, pixels, tables, targets
from podium.core.errors import InputError
from podium.inference import fold_models, soup
from podium.models import devices, predict
from podium.models.plain_images import PlainImages
from podium.models.preprocessing import Preprocessing
from podium.models.settings import ModelSettings, TorchSettings
from podium.predictions import calibration, prediction_files
from podium.scoring import evaluation_set, scores
from podium.scoring.evaluation_set import EvaluationSet
from podium.training import phase, phase_run
from tools import seeds

Probs = NDArray[np.float32]


def main(*words: str) -> None:
    """Train what is not there yet and print a table."""
    parser = argparse.ArgumentParser(prog="python -m docs.measure.ablation", description="Settings over seeds.")
    parser.add_argument("root", type=Path)
    parser.add_argument("member")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--variants", nargs="+", default=list(variants.VARIANTS))
    parser.add_argument(
        "--folds", nargs="+", help="train on these alone, and print no table (docs.measure.against_probes)"
    )
    args = parser.parse_args(words)
    root, out = args.root.resolve(), args.out.resolve()
    one_class.require(root)
    values = params.read(root)
    folds = [str(fold) for fold in values["folds"]]
    for seed in args.seeds:
        for variant in args.variants:
            folder = out / variant / str(seed)
            if missing := [fold for fold in args.folds or folds if not (folder / f"{fold}.parquet").exists()]:
                settings = variants.changed(values["members"][args.member], _changes(variant, folder), seed)
                _train(root, args.member, settings, missing, folder)
    if args.folds:
        return
    if BASE in args.variants:
        for seed, other in _pairs(args.seeds):
            _predict(root, args.member, out / BASE / str(seed))
            if seed != other:
                _predict_soup(root, args.member, *(out / BASE / str(one) for one in (seed, other)))
    extra = (*TTAS, *(variants.PAIRS if len(args.seeds) > 1 else ())) if BASE in args.variants else ()
    names = [*args.variants, *extra]
    runs = [read_run(root, args.member, names, out, pair) for pair in _pairs(args.seeds)]
    pairs = [(_way(variants.BASELINES.get(name, BASE)), _way(name)) for name in names if name != BASE]
    rows = (seeds.HEAD, ["---"] * len(seeds.HEAD), *seeds.table(pairs, runs))
    print("\n".join(f"| {' | '.join(row)} |" for row in rows))


def _changes(variant: str, folder: Path) -> Changes:
    if variant == variants.TIMM:
        raise InputError(f"{folder} is missing: python -m docs.measure.by_timm writes it")
    return (variants.VARIANTS | variants.LONG | variants.NO_EXTRA)[variant]


def _pairs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Return each seed with the next one, and the last with the first."""
    return list(zip(numbers, [*numbers[1:], *numbers[:1]], strict=True))


def _train(root: Path, member: str, settings: dict[str, Any], folds: Sequence[str], folder: Path) -> None:
    """Run the phases in a copy of the project on some folds; move the last one's predictions to `folder`."""
    values = params.read(root)
    later = [part for part in phase.OPTIONAL if part in settings]
    values |= {part: {member: settings.pop(part)} for part in later}
    values["members"] = {member: settings}
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        work = Path(name)
        extra = [] if folder.parent.name == "no_extra" or not (root / "data/extra").exists() else ["data/extra"]
        teacher = ["data/ensemble/teacher"] if "distill" in later else []
        for kept in ("data/prepare", "data/split", "models/weights", "models/probe", *extra, *teacher):
            (work / kept).parent.mkdir(parents=True, exist_ok=True)
            (work / kept).symlink_to(root / kept)
        (work / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
        for fold in folds:
            weights = work / f"models/weights/{member}.safetensors"
            for part in ("pretrain", "finetune", *later):
                phase_run.run(phase.load_job(part, member, fold, work), weights)
                weights = work / f"models/{part}/{member}/{fold}.safetensors"
        finished = work / f"data/{(later or ['finetune'])[-1]}/{member}"
        if folder.parent.name == BASE:
            shutil.move(work / f"models/finetune/{member}", finished / "models")
        for file in (*finished.glob("models/*"), *finished.glob("*.parquet")):  # a fold is done when the last are there
            (folder / file.relative_to(finished)).parent.mkdir(parents=True, exist_ok=True)
            file.rename(folder / file.relative_to(finished))


def _network(root: Path, member: str) -> tuple[int, devices.Numerics]:
    """Return a member's image size in pixels, and how its networks compute."""
    settings = params.load(f"members.{member}.model", ModelSettings, root)
    device = devices.start(params.load("torch", TorchSettings, root))
    return settings.image_size, devices.Numerics(device, settings.precision, settings.channels_last)


def _predict(root: Path, member: str, folder: Path) -> None:
    """Predict each held-out fold with the baseline's models in the TTAs: FOLDER/<tta>.npy (images, classes)."""
    if all((folder / f"{name}.npy").exists() for name in TTAS):
        return
    settings, (_, numerics) = params.read(root)["members"][member], _network(root, member)
    used, classes = _used(root)
    pack = pixels.open_pack(root / "data/prepare/train/pixels.arrow")
    found = {name: np.empty((len(used), len(classes)), np.float32) for name in TTAS}
    names_by_size: dict[int, list[str]] = {}
    for name in TTAS:
        names_by_size.setdefault(variants.predicted_size(settings, name), []).append(name)
    for fold in sorted(used["fold"].unique()):
        model, preprocessing = fold_models.load_model(folder / f"models/{fold}.safetensors", classes=classes)
        here = (used["fold"] == fold).to_numpy()
        numerics.place(model)
        for size, names in names_by_size.items():
            images = PlainImages(pack, list(used["image_id"][here]), preprocessing, size)
            transforms = list(dict.fromkeys(transform for name in names for transform in TTAS[name]))
            probs = predict.probabilities(model, images, transforms=transforms, batch_size=8, numerics=numerics)
            for name in names:
                found[name][here] = np.mean([probs[transform] for transform in TTAS[name]], axis=0)
    for name, probs_of_tta in found.items():
        np.save(folder / f"{name}.npy", probs_of_tta)


def _predict_soup(root: Path, member: str, folder: Path, other: Path) -> None:
    """Predict each held-out fold with the mean weights of two baselines: FOLDER/soup_<seed>.npy (images, classes)."""
    path = folder / f"soup_{other.name}.npy"
    if path.exists():
        return
    image_size, numerics = _network(root, member)
    used, classes = _used(root)
    pack = pixels.open_pack(root / "data/prepare/train/pixels.arrow")
    found = np.empty((len(used), len(classes)), np.float32)
    for fold in sorted(used["fold"].unique()):
        here = (used["fold"] == fold).to_numpy()
        order = np.random.default_rng(0).permutation(np.flatnonzero(~here))
        paths = [one / f"models/{fold}.safetensors" for one in (folder, other)]
        network, meta = soup.cooked(paths, pack, list(used["image_id"].iloc[order]), image_size, numerics)
        preprocessing = Preprocessing.from_dict(cast(dict[str, Any], meta["preprocessing"]))
        images = PlainImages(pack, list(used["image_id"][here]), preprocessing, image_size)
        found[here] = predict.probabilities(network, images, transforms=["identity"], batch_size=8, numerics=numerics)[
            "identity"
        ]
    np.save(path, found)


def _used(root: Path) -> tuple[Any, list[str]]:
    folds = tables.read(root / "data/split/folds.csv", tables.FOLDS).sort_values("image_id", ignore_index=True)
    used = folds[folds["use"] == "train"].reset_index(drop=True)
    return used, targets.class_names(used["label"])


def read_run(root: Path, member: str, names: Sequence[str], out: Path, pair: tuple[int, int]) -> seeds.SeedRun:
    """Read what each variant predicts with the first seed of a pair; `PAIRS` take both."""
    seed, other = pair
    values, (used, classes) = params.read(root), _used(root)
    metric = scores.named(params.section(values, "contest.metric"), classes)
    images = evaluation_set.of_folds(used, [str(fold) for fold in values["folds"]], classes, metric)
    probs, shifts = {}, {}

    def trained(name: str, seed: int) -> Probs:
        found = prediction_files.read_train(
            sorted((out / name / str(seed)).glob("*.parquet")),
            image_ids=list(used["image_id"]),
            folds=list(used["fold"]),
            classes=classes,
            image_sizes=[variants.predicted_size(values["members"][member], name)],
            transforms=["identity"],
        )
        return np.asarray(found[0, 0], np.float32)

    for name in names:
        term = seeds.Term(name, None)
        if name in (*TTAS, "soup"):
            file = f"soup_{other}.npy" if name == "soup" else f"{name}.npy"
            probs[term] = cast(Probs, np.load(out / BASE / str(seed) / file))
        elif name == "two_seeds":
            probs[term] = np.mean([trained(BASE, one) for one in (seed, other)], axis=0, dtype=np.float32)
        else:
            probs[term] = trained(name, seed)
        if name in variants.WEIGHTED:
            shifts[term] = _shifts(images, len(classes))
    return seeds.SeedRun(str(seed), images, probs, shifts)


def _shifts(images: EvaluationSet, n_classes: int) -> Probs:
    return calibration.prior_shifts(images.targets, images.folds, n_classes)[images.folds]


def _way(name: str) -> seeds.Way:
    return seeds.Way(name, (seeds.Term(name, None),), False)


if __name__ == "__main__":
    cli.run(main)
