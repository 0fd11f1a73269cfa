"""A folder that predicts without this project: ONNX networks, recipe, a small predict.py, model card and hashes."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from podium.core import progress, tables
from podium.core.colours import RGB
from podium.core.errors import InputError
from podium.ensembling import recipe_schema
from podium.ensembling.recipe_schema import RecipeFile, RecipeMember
from podium.models.settings import TorchSettings
from podium.predictions.tta import PROBE
from podium.probes import classifier_file, novelty
from podium.serving import model_card, new_predictions, onnx_export, selection_of_members, zip_files
from podium.serving.network_passes import NetworkBuilder

HERE = Path(__file__).parent
SCRIPTS = {  # file of the bundle -> its source
    "predict.py": HERE / "standalone/predict.py",
    "blend.py": HERE / "standalone/blend.py",
    "cases.py": HERE / "standalone/cases.py",
    "resize.py": HERE / "standalone/resize.py",
    "ids.py": HERE.parent / "contest/ids.py",
    "decode.py": HERE.parent / "images/decode.py",
    "heic.py": HERE.parent / "images/heic.py",
    "errors.py": HERE.parent / "core/errors.py",
}
IMPORTS = {  # in the bundle its files lie beside each other, and resize.py stands in for OpenCV
    "from podium.contest.ids import ImageIndex": "from ids import ImageIndex",
    "from podium.images import decode": "import decode",
    "from podium.images import heic": "import heic",
    "from podium.core.errors import legible": "from errors import legible",
    "from podium.core.errors import InputError": "from errors import InputError",
    "from podium.core.errors import InputError, some": "from errors import InputError, some",
    "from podium.serving.standalone import blend, cases, resize": "import blend\nimport cases\nimport resize",
    "from podium.serving.standalone.cases import CaseMeans": "from cases import CaseMeans",
    "import cv2": "import resize as cv2",
}
UNSEALED = 'MANIFEST_SHA256 = ""'

Arrays = dict[str, NDArray[np.generic]]


def write(out: Path, select: str, root: Path) -> RecipeFile:
    """Write a bundle's folder, and a zip beside it; return the recipe of what was selected.

    Args:
        out: the folder; an earlier bundle there is replaced.
        select: "all", "best" or a member's name.
        root: of the project.

    Raises:
        InputError: `out` holds something else, or as `new_predictions.load` and `onnx_export.Exporter.write`.
    """
    _require_replaceable(out)
    predictor = new_predictions.load(root)
    recipe = selection_of_members.select(predictor.recipe, select, root)
    if recipe.prepare.channels != RGB:
        raise InputError(f"a bundle predicts RGB images alone, and prepare.channels is {recipe.prepare.channels}")
    with replacing_folder(out) as temporary:
        builder = NetworkBuilder(_in_fp32(recipe), root, TorchSettings(device="cpu"))
        tables.write_json(_networks(builder, temporary), temporary / "networks.json")
        np.savez(temporary / "arrays.npz", **_arrays(builder))  # type: ignore[arg-type]
        tables.write_json(recipe.plain(), temporary / "recipe.json")
        tables.write_text(model_card.text(recipe, select, root), temporary / "model_card.md")
        tables.write_text(model_card.licences(recipe), temporary / "LICENCES.md")
        _write_scripts(temporary)
    zip_files.write(out)
    return recipe


@contextmanager
def replacing_folder(out: Path) -> Iterator[Path]:
    """Yield an empty folder beside `out`; if the block succeeds, it takes the place of `out`.

    What a killed process left beside `out` is removed. `out` is moved before it is removed: without its manifest it
    would no longer be known as a bundle.
    """
    temporary, old = (out.with_name(f"{out.name}.{end}") for end in ("tmp", "old.tmp"))
    for leftover in (temporary, old):
        shutil.rmtree(leftover, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if out.exists():
            out.replace(old)
        temporary.replace(out)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _require_replaceable(out: Path) -> None:
    if out.exists() and not (out / "manifest.json").is_file():
        raise InputError(f"{out}: exists and is no bundle; give another folder: make bundle OUT=<folder>")


def _in_fp32(recipe: RecipeFile) -> RecipeFile:
    """Return a recipe whose networks predict in fp32, which is what their ONNX files do."""
    networks = {
        name: network.model_copy(update={"model": network.model.model_copy(update={"precision": "fp32"})})
        for name, network in recipe.networks.items()
    }
    return recipe.model_copy(update={"networks": networks})


def _networks(builder: NetworkBuilder, folder: Path) -> dict[str, dict[str, object]]:
    """Export every network; return its files and its input by kind and name."""
    (folder / "networks").mkdir()
    found: dict[str, dict[str, object]] = {"trained": {}, "frozen": {}}
    exporter, last = onnx_export.Exporter(), ""
    wanted = list(_wanted(builder.recipe))
    for kind, name, sizes in tqdm(wanted, "bundle", unit="network", disable=not progress.shown()):
        if kind == "frozen":
            model, preprocessing = builder.frozen(name)
            member, model = f"frozen {name}", onnx_export.FrozenFeatures(model)
        else:
            phase, member, fold = name.split("/")
            model, preprocessing = builder.trained(member, phase, fold)
        if member != last:  # the networks of a member's folds and phases follow each other
            exporter, last = onnx_export.Exporter(), member
        files = exporter.write(model, folder / "networks", f"{kind}_{name.replace('/', '_')}", sizes)
        paths = {size: f"networks/{file}" for size, file in files.items()}
        found[kind][name] = {"files": paths, "input": preprocessing.to_dict()}
    return found


def _wanted(recipe: RecipeFile) -> Iterator[tuple[str, str, list[int]]]:
    """Yield the kind, name and image sizes of each network."""
    frozen: dict[str, set[int]] = {}
    for member in _used(recipe):
        if member.source == "joint_probe":
            for name, network in recipe.networks.items():
                frozen.setdefault(name, set()).update(network.feature_sizes)
        for phase in member.phases if member.source == "network" else ():
            if phase == PROBE:
                frozen.setdefault(member.name, set()).update(member.image_sizes)
            else:
                yield from (("trained", f"{phase}/{member.name}/{fold}", member.image_sizes) for fold in recipe.folds)
    if recipe.novelty is not None:
        known = recipe.novelty.member
        frozen.setdefault(known, set()).update(recipe.networks[known].feature_sizes)
    yield from (("frozen", name, sorted(sizes)) for name, sizes in sorted(frozen.items()))


def _used(recipe: RecipeFile) -> list[RecipeMember]:
    return [member for index, member in enumerate(recipe.members) if recipe.contributes(index)]


def _arrays(builder: NetworkBuilder) -> Arrays:
    """Return the probes' classifiers and the references of the novelty."""
    found: Arrays = {}
    for member in _used(builder.recipe):
        if member.source == "joint_probe":
            path = classifier_file.JOINT
        elif PROBE in member.phases:
            path = classifier_file.of_member(member.name)
        else:
            continue
        classifiers = builder.classifiers(path)
        for (size, fold), (weights, biases) in classifiers.fitted.items():
            key = f"{member.name}/{size}/{fold}"
            found |= {f"{key}.weights": weights, f"{key}.biases": biases}
        for fold, index in classifiers.single.items():
            found[f"{member.name}/{fold}.single"] = np.array(index)
    if builder.recipe.novelty is not None:
        found["novelty"] = novelty.read(builder.root / recipe_schema.NOVELTY, 1.0).references
    return found


def _write_scripts(folder: Path) -> None:
    """Copy the scripts, write the manifest, and put its hash into predict.py."""
    for name, source in SCRIPTS.items():
        text = source.read_text(encoding="utf-8")
        for before, after in IMPORTS.items():
            text = text.replace(f"{before}\n", f"{after}\n")
        tables.write_text(text, folder / name)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "predict.py")
    manifest = {path.relative_to(folder).as_posix(): tables.file_hash(path) for path in files}
    tables.write_json(manifest, folder / "manifest.json")
    sealed = f'MANIFEST_SHA256 = "{tables.file_hash(folder / "manifest.json")}"'
    script = (folder / "predict.py").read_text(encoding="utf-8")
    tables.write_text(script.replace(UNSEALED, sealed), folder / "predict.py")


def digest(folder: Path) -> str:
    """Return the SHA-256 of a bundle's predict.py, which holds the hash of everything else."""
    return tables.file_hash(folder / "predict.py")
