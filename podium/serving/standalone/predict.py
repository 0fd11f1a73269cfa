"""Predict images with the models of this folder: `python predict.py <folder or file> [predictions.csv] [cases.csv]`.

cases.csv says which images are one case, where the contest averages several (cases.py); `none` takes each by itself.
It needs numpy, pillow and onnxruntime. It refuses to run if a file of the folder is not the one that was bundled.
"""

import csv
import hashlib
import io
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

try:
    import onnxruntime
except ModuleNotFoundError:
    raise SystemExit("predict.py needs onnxruntime, numpy and pillow: pip install onnxruntime numpy pillow") from None
from numpy.typing import NDArray
from PIL import Image as PillowImage

from podium.core.errors import InputError
from podium.images import decode
from podium.serving.standalone import blend, cases, resize
from podium.serving.standalone.cases import CaseMeans

Pixels = NDArray[np.uint8]
Floats = NDArray[Any]

HOME = Path(__file__).parent
MANIFEST_SHA256 = ""  # `make bundle` fills it in
CHUNK = 64  # images that are decoded and predicted together
BATCH = 8  # images that a network gets at once
CROP = 7 / 8  # of a crop's side


def _zoomed(images: Floats, down: float, across: float) -> Floats:
    """Crop images (batch, 3, side, side) and enlarge the crop to their side again, as podium/models/predict.py does."""
    side = images.shape[2]
    inside = round(side * CROP)
    top, left = (int((side - inside) * share) for share in (down, across))
    return resize.enlarged(images[:, :, top : top + inside, left : left + inside], side)


TTA: dict[str, Callable[[Floats], Floats]] = {  # of images (batch, 3, side, side)
    "identity": lambda images: images,
    "hflip": lambda images: images[..., ::-1],
    "vflip": lambda images: images[..., ::-1, :],
    "rot90": lambda images: np.rot90(images, 1, (2, 3)),
    "rot180": lambda images: np.rot90(images, 2, (2, 3)),
    "rot270": lambda images: np.rot90(images, 3, (2, 3)),
    "transpose": lambda images: images.transpose(0, 1, 3, 2),
    "transverse": lambda images: images[..., ::-1, ::-1].transpose(0, 1, 3, 2),
    "crop_centre": lambda images: _zoomed(images, 0.5, 0.5),
    "crop_top_left": lambda images: _zoomed(images, 0, 0),
    "crop_top_right": lambda images: _zoomed(images, 0, 1),
    "crop_bottom_left": lambda images: _zoomed(images, 1, 0),
    "crop_bottom_right": lambda images: _zoomed(images, 1, 1),
}


def main(images: str, out: str = "predictions.csv", case_table: str = "") -> None:
    """Write a table with a row per file."""
    bundle = load(HOME)
    files = find(Path(images))
    if not files:
        raise SystemExit(f"{images}: no file there")
    try:
        folder = Path(images).resolve().name if Path(images).is_dir() else ""
        of_images = cases.of_images([name for name, _ in files], bundle.recipe.get("cases"), case_table, folder)
    except InputError as error:
        raise SystemExit(str(error)) from None
    with Path(out).open("w", encoding="utf-8", newline="") as opened:
        writer = csv.writer(opened, lineterminator="\n")
        columns = [f"p:{name}" for name in bundle.recipe["classes"]]
        of_case = [] if of_images is None else ["case"]
        writer.writerow(["image_id", *of_case, "label", "unlike_training", "novelty", "problem", *columns])
        if of_images is not None:
            writer.writerows(bundle.rows_of_cases(files, of_images))
        for start in range(0, len(files) if of_images is None else 0, CHUNK):
            writer.writerows(bundle.rows(files[start : start + CHUNK]))
            _show(start, files)
    print(f"\n{out}", file=sys.stderr)


def _show(start: int, files: list[tuple[str, Path]]) -> None:
    print(f"\r{min(start + CHUNK, len(files))} of {len(files)} images", end="", file=sys.stderr, flush=True)


def load(home: Path) -> "Bundle":
    """Check every file of a bundle and open it."""
    text = (home / "manifest.json").read_bytes()
    if MANIFEST_SHA256 and hashlib.sha256(text).hexdigest() != MANIFEST_SHA256:
        raise SystemExit("manifest.json is not the bundle's: get the bundle again")
    manifest = json.loads(text)
    for name, sha256 in manifest.items():
        path = home / name
        found = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "nothing"
        if found != sha256:
            raise SystemExit(f"{name} is not the bundle's file: get the bundle again")
    recipe = json.loads((home / "recipe.json").read_text(encoding="utf-8"))
    networks = json.loads((home / "networks.json").read_text(encoding="utf-8"))
    arrays = np.load(home / "arrays.npz", allow_pickle=False)
    return Bundle(home, recipe, networks, {name: arrays[name] for name in arrays.files})


def find(images: Path) -> list[tuple[str, Path]]:
    """Return the files of a folder with their paths inside it, sorted, without hidden ones; or the file itself."""
    if images.is_file():
        return [(images.name, images)]
    found = []
    for place, folders, names in os.walk(images):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = [Path(place) / name for name in names if not name.startswith(".")]
        found += [(path.relative_to(images).as_posix(), path) for path in paths]
    return sorted(found)


@dataclass
class Bundle:
    """The models and numbers of a bundle.

    Attributes:
        networks: "trained" and "frozen" -> name -> its ONNX files by image size ("any" for all) and its input.
        arrays: the probes' classifiers and the references of the novelty.
    """

    home: Path
    recipe: dict[str, Any]
    networks: dict[str, dict[str, Any]]
    arrays: dict[str, Floats]
    _sessions: dict[str, Any] = field(default_factory=dict)

    def rows(self, files: list[tuple[str, Path]]) -> list[list[Any]]:
        """Predict a chunk of files: their rows of the table."""
        decoded = [self._decoded(name, path) for name, path in files]
        probs, ratios = self.predict([one.pixels for one in decoded if one.pixels is not None])
        return self._rows([(name, one.problem) for (name, _), one in zip(files, decoded, strict=True)], probs, ratios)

    def rows_of_cases(self, files: list[tuple[str, Path]], of_images: list[str]) -> list[list[Any]]:
        """Predict files by the mean of each case: their rows of the table."""
        means, chunks = CaseMeans.of([name for name, _ in files], of_images), []
        for start in range(0, len(files), CHUNK):
            here = files[start : start + CHUNK]
            decoded = [self._decoded(name, path) for name, path in here]
            places = start + np.flatnonzero([one.pixels is not None for one in decoded])
            ratios = self._add([one.pixels for one in decoded if one.pixels is not None], places, means)
            chunks.append(([(name, one.problem) for (name, _), one in zip(here, decoded, strict=True)], places, ratios))
            _show(start, files)
        read = any(len(places) for _, places, _ in chunks)
        probs = self._of_cases(means) if read else np.zeros((means.n_cases, len(self.recipe["classes"])))
        rows = []
        for named, places, ratios in chunks:
            rows += self._rows(named, probs[means.of_image[places]], ratios)
        return [[row[0], case, *row[1:]] for row, case in zip(rows, of_images, strict=True)]

    def _rows(self, named: list[tuple[str, str]], probs: Floats, ratios: Floats | None) -> list[list[Any]]:
        """Return the rows of files with their problems; `probs` and `ratios` are of the readable ones."""
        rows: list[list[Any]] = []
        place = 0
        for name, problem in named:
            if problem:
                rows.append([name, "", "", "", problem, *[""] * len(self.recipe["classes"])])
                continue
            label = self.recipe["labels"][int(probs[place].argmax())]
            ratio = None if ratios is None else float(ratios[place])
            unlike = ["", ""] if ratio is None else ["yes" if ratio > 1 else "no", round(ratio, 4)]
            rows.append([name, label, *unlike, "", *(float(p) for p in probs[place])])
            place += 1
        return rows

    def predict(self, pixels: list[Pixels]) -> tuple[Floats, Floats | None]:
        """Return probabilities (images, classes) and the novelty (images,)."""
        if not pixels:
            return np.zeros((0, len(self.recipe["classes"]))), None
        passes = ImagePasses(self, pixels)
        return self._blended(passes.member), passes.novelty()

    def _add(self, pixels: list[Pixels], places: NDArray[np.int64], means: CaseMeans) -> Floats | None:
        """Add the predictions of images, which lie at `places`, to their cases; return the novelty (images,)."""
        if not pixels:
            return None
        passes = ImagePasses(self, pixels)
        for fold in self.recipe["folds"]:
            for member in self.members:
                if member is not None:
                    means.add((member["name"], fold), places, passes.mean(member, fold))
        return passes.novelty()

    def _of_cases(self, means: CaseMeans) -> Floats:
        """Return probabilities (cases, classes): the mean comes before the calibration."""

        def mean(member: dict[str, Any] | None, fold: str) -> Floats | None:
            return None if member is None else blend.calibrated(means.mean((member["name"], fold)), member, fold)

        return self._blended(mean)

    def _blended(self, of_member: Callable[[dict[str, Any] | None, str], Floats | None]) -> Floats:
        folds = self.recipe["folds"]
        total = sum(blend.blended(self.recipe, [of_member(m, fold) for m in self.members]) for fold in folds)
        return blend.decided(self.recipe, np.asarray(total) / len(folds))

    @property
    def members(self) -> list[dict[str, Any] | None]:
        """Return the members of the blend, None for one of weight 0."""
        weights = self.recipe["blend"]["weights"] or [1] * len(self.recipe["members"])
        return [member if weight > 0 else None for member, weight in zip(self.recipe["members"], weights, strict=True)]

    def run(self, kind: str, name: str, inputs: Floats) -> Floats:
        """Return the output of a network for inputs (batch, 3, side, side)."""
        files = self.networks[kind][name]["files"]
        file = files.get("any") or files[str(inputs.shape[-1])]
        if file not in self._sessions:
            self._sessions[file] = onnxruntime.InferenceSession(
                str(self.home / file), _session_options(), providers=["CPUExecutionProvider"]
            )
        session = self._sessions[file]
        return np.asarray(session.run(None, {session.get_inputs()[0].name: np.ascontiguousarray(inputs)})[0])

    def _decoded(self, name: str, path: Path) -> decode.DecodedImage:
        prepare = self.recipe["prepare"]
        limits = {key: prepare[key] for key in ("short_side", "max_megapixels", "decoding")}
        limits["bit_depth"] = prepare["bit_depth"] or decode.FULL_DEPTH
        try:
            with path.open("rb") as opened:
                found = decode.decode(opened, name=name, **limits)
        except OSError as error:
            return decode.DecodedImage(problem=f"cannot be read: {error.strerror}")
        if prepare["encoding"] == "jpeg" and found.pixels is not None:
            return decode.DecodedImage(pixels=_through_jpeg(found.pixels))
        return found


@dataclass
class ImagePasses:
    """What the networks say of a chunk of images; features are computed once."""

    bundle: Bundle
    pixels: list[Pixels]
    _features: dict[tuple[str, int], Floats] = field(default_factory=dict)
    _inputs: dict[tuple[str, int], Floats] = field(default_factory=dict)

    def member(self, member: dict[str, Any] | None, fold: str) -> Floats | None:
        """Return a member's calibrated probabilities (images, classes) by one fold's models."""
        if member is None:
            return None
        return blend.calibrated(self.mean(member, fold), member, fold)

    def novelty(self) -> Floats | None:
        """Return cosine distance from the nearest training image / the threshold (images,)."""
        known = self.bundle.recipe["novelty"]
        if known is None:
            return None
        network = self.bundle.recipe["networks"][known["member"]]
        place = network["transforms"].index(known["transform"])
        features = self.mean_features(known["member"])[:, place]
        cosines = _unit(features) @ _unit(self.bundle.arrays["novelty"]).T
        return np.asarray((1 - cosines.max(axis=1)) / known["threshold"])

    def mean_features(self, name: str) -> Floats:
        """Return the mean of frozen features over a member's sizes (images, transforms, features)."""
        sizes = self.bundle.recipe["networks"][name]["feature_sizes"]
        return np.asarray(np.mean([self.features(name, size) for size in sizes], axis=0))

    def features(self, name: str, size: int) -> Floats:
        """Return frozen features (images, transforms, features)."""
        if (name, size) not in self._features:
            transforms = self.bundle.recipe["networks"][name]["transforms"]
            outputs = [self._outputs("frozen", name, size, transform) for transform in transforms]
            self._features[name, size] = np.stack(outputs, axis=1)
        return self._features[name, size]

    def mean(self, member: dict[str, Any], fold: str) -> Floats:
        """Return the mean over a member's sizes, transforms and phases."""
        if member["source"] == "joint_probe":
            networks = self.bundle.recipe["networks"]
            parts = [self.mean_features(name).mean(axis=1) for name in sorted(networks)]
            return self._by_classifier("joint_probe", 0, fold, np.concatenate(parts, axis=1))
        found = []
        for phase, size, transform in (
            (p, s, t) for p in member["phases"] for s in member["image_sizes"] for t in member["transforms"]
        ):
            if phase == "probe":
                place = self.bundle.recipe["networks"][member["name"]]["transforms"].index(transform)
                features = self.features(member["name"], size)[:, place]
                found.append(self._by_classifier(member["name"], size, fold, features))
            else:
                logits = self._outputs("trained", f"{phase}/{member['name']}/{fold}", size, transform)
                found.append(blend.softmax(logits.astype(np.float64)))
        return np.asarray(np.mean(found, axis=0))

    def _by_classifier(self, name: str, size: int, fold: str, features: Floats) -> Floats:
        arrays, key = self.bundle.arrays, f"{name}/{size}/{fold}"
        if f"{key}.weights" not in arrays:  # all training images outside the fold are of one class
            n_classes = len(self.bundle.recipe["classes"])
            return np.tile(np.eye(n_classes)[int(arrays[f"{name}/{fold}.single"])], (len(features), 1))
        return blend.softmax(features @ arrays[f"{key}.weights"].T + arrays[f"{key}.biases"])

    def _outputs(self, kind: str, name: str, size: int, transform: str) -> Floats:
        inputs = self._at_size(self.bundle.networks[kind][name]["input"], size)
        batches = [inputs[start : start + BATCH] for start in range(0, len(inputs), BATCH)]
        return np.concatenate([self.bundle.run(kind, name, TTA[transform](batch)) for batch in batches])

    def _at_size(self, settings: dict[str, Any], size: int) -> Floats:
        """Return the images as a network's input (images, 3, size, size)."""
        key = json.dumps(settings, sort_keys=True), size
        if key not in self._inputs:
            mean, std = (np.array(settings[name], np.float32).reshape(3, 1, 1) * 255 for name in ("mean", "std"))
            resized = [to_size(image, size, settings).transpose(2, 0, 1).astype(np.float32) for image in self.pixels]
            self._inputs[key] = (np.stack(resized) - mean) / std
        return self._inputs[key]


def _unit(features: Floats) -> Floats:
    values = features.astype(np.float64)
    return np.asarray(values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-9))


def to_size(image: Pixels, size: int, settings: dict[str, Any]) -> Pixels:
    """Resize an image to (size, size, 3): squash, crop the centre, or pad with the mean colour."""
    height, width = image.shape[:2]
    if (height, width) == (size, size):
        return image
    if settings["resize"] == "squash":
        return _scaled(image, size, size)
    if settings["resize"] == "crop":
        side = max(1, round(min(height, width) * settings["crop_fraction"]))
        top, left = (height - side) // 2, (width - side) // 2
        return _scaled(image[top : top + side, left : left + side], size, size)
    factor = size / max(height, width)
    height, width = max(1, round(height * factor)), max(1, round(width * factor))
    canvas = np.empty((size, size, 3), np.uint8)
    canvas[:] = np.round(np.array(settings["mean"]) * 255).astype(np.uint8)
    top, left = (size - height) // 2, (size - width) // 2
    canvas[top : top + height, left : left + width] = _scaled(image, height, width)
    return canvas


def _session_options() -> onnxruntime.SessionOptions:
    """Return options with a thread for each core that the process may use; by default all cores are used and spin."""
    options = onnxruntime.SessionOptions()
    has_affinity = hasattr(os, "sched_getaffinity")
    options.intra_op_num_threads = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _scaled(image: Pixels, height: int, width: int) -> Pixels:
    shrinks = height * width < image.shape[0] * image.shape[1]
    return resize.resize(image, (width, height), resize.INTER_AREA if shrinks else resize.INTER_CUBIC)


def _through_jpeg(pixels: Pixels) -> Pixels:
    """Store and read an image as `prepare: {encoding: jpeg}` did."""
    if max(pixels.shape) > 65500:
        return pixels
    stored = io.BytesIO()
    PillowImage.fromarray(pixels).save(stored, "JPEG", quality=95, subsampling=2)
    return np.asarray(PillowImage.open(stored).convert("RGB"))


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 4 or sys.argv[1] in ("-h", "--help"):
        raise SystemExit("usage: python predict.py <folder or file> [predictions.csv] [cases.csv or none]")
    main(*sys.argv[1:])
