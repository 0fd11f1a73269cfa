"""Image folders that cannot be what they seem, found by the names of their files before any is opened."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from podium.contest import labels
from podium.contest.settings import ContestSettings
from podium.core.colours import GREY, RGB
from podium.core.errors import InputError, some
from podium.images import arrays, decoders, heic, image_files
from podium.images.settings import PrepareSettings

# endings of files that hold no image that `prepare` can read
NO_IMAGES = {
    ".nii": "NIfTI volumes",
    ".npz": "NumPy archives",
    ".parquet": "tables of numbers",
    ".json": "JSON",
    ".bson": "BSON",
    ".tfrec": "TFRecord",
    ".tfrecord": "TFRecord",
    ".wav": "audio",
    ".aif": "audio",
    ".aiff": "audio",
    ".flac": "audio",
    ".mp3": "audio",
    ".ogg": "audio",
}


def require_images(images: Sequence[str], others: Sequence[str], key: str, folder: str) -> None:
    """Refuse a folder without an image but with files of a kind that looks like data of images.

    Args:
        images: ids of the folder's images.
        others: ids of its other files.
        key: of params.yaml that names the folder.
        folder: its path.

    Raises:
        InputError: names the kind and what to do.
    """
    kinds = Counter(NO_IMAGES.get(PurePosixPath(file).suffix.lower(), "") for file in others)
    del kinds[""]
    if kinds and not images:
        (kind, count), *_ = kinds.most_common()
        raise InputError(
            f"params.yaml: {key}: {folder} holds {count} files of {kind} and no image: Podium reads images such as"
            " JPEG, PNG, TIFF or DICOM, and arrays of NumPy (.npy), so write one of these per image first"
        )
    if lacking := decoders.lacking(list(images)):
        raise InputError(f"params.yaml: {key}: {folder} holds DICOM files, and {lacking}")


def heic_warnings(images: Sequence[str], key: str, folder: str) -> list[str]:
    """Warn of HEIC files that nothing here reads, before `prepare` decodes images."""
    found = [image for image in images if PurePosixPath(image).suffix.lower() in heic.ENDINGS]
    if not found or heic.register():
        return []
    return [
        f"WARNING: {key}: {len(found)} of {len(images)} images of {folder} are HEIC ({some(found, 3)}), which need the"
        " package pi-heif: run `.venv/bin/python -m pip install pi-heif`, or they count as unreadable"
    ]


def value_range_warnings(images: Sequence[str], settings: PrepareSettings) -> list[str]:
    """Warn of prepare.value_range where no train image seems to be of a kind that it is for."""
    if settings.value_range is None or settings.channels != RGB or not images:
        return []
    endings = decoders.ENDINGS["NPY"] | decoders.ENDINGS["DICOM"]
    if any(PurePosixPath(image).suffix.lower() in endings for image in images):
        return []
    return [
        "WARNING: prepare.value_range is for arrays (.npy) and DICOM, and no train image is called so; for 16-bit"
        " images see prepare.bit_depth"
    ]


def require_channels(images: Sequence[str], key: str, folder: Path, settings: PrepareSettings) -> None:
    """Refuse a folder whose first NumPy array has another shape than `prepare` takes, before it is decoded.

    Raises:
        InputError: names the file and its shape.
    """
    if (found := arrays.first_shape(folder, images)) is None:  # `prepare` reports a damaged one
        return
    name, shape = found
    if len(shape) not in (2, 3):
        raise InputError(
            f"params.yaml: {key}: {name} in {folder} is an array of shape {shape}: save (height, width), or with the"
            " channels behind or in front"
        )
    channels = {shape[0], shape[-1]} if len(shape) == 3 else {GREY}
    if settings.channels not in channels and (settings.channels, GREY) != (RGB, min(channels)):
        raise InputError(
            f"params.yaml: prepare.channels is {settings.channels}, and {name} in {folder} ({key}) has the shape"
            f" {shape}: set prepare.channels: {min(channels)}, and model_kwargs: {{in_chans: {min(channels)}}} in each"
            " member"
        )


def require_two_classes(classes: Sequence[str], image_ids: Sequence[str], c: ContestSettings) -> None:
    """Refuse labels of one class, with a hint where the class folders lie one level deeper.

    Raises:
        InputError: there are fewer than two classes.
    """
    if len(classes) > 1:
        return
    inner = sorted({image_id.split("/")[1] for image_id in image_ids if image_id.count("/") > 1})
    hint = ""
    if c.layout == "folders" and classes and inner:
        hint = (
            f"; {classes[0]} holds the folders {some(inner, 3)}: if these are the classes, say images.train:"
            f" {c.images.train.rstrip('/')}/{classes[0]}"
        )
    if c.layout == "folders" and any("\\" in image_id and "/" not in image_id for image_id in image_ids):
        hint = f"; file names hold {labels.LOST_FOLDERS}"
    found = f"only one class, {classes[0]!r}" if classes else "no labelled image that can be used"
    raise InputError(f"params.yaml: contest: there is {found}; a classifier needs two{hint}")


def messages(image_ids: Sequence[str], c: ContestSettings, root: Path) -> list[str]:
    """Warn of class folders without an image, and of folders within class folders.

    Args:
        image_ids: of the train images.
        c: settings of the contest.
        root: of the project.
    """
    if c.layout != "folders":
        return []
    first = {image_id.split("/")[0] for image_id in image_ids if "/" in image_id}
    pairs = {tuple(image_id.split("/")[:2]) for image_id in image_ids if image_id.count("/") > 1}
    # with contest.lists, other folders are left out on purpose
    empty = [name for name in image_files.class_folders(root / c.images.train) if name not in first]
    found = []
    if empty and not c.lists.selects("train"):
        found.append(f"WARNING: class folders without an image, so these classes are missing: {some(empty)}")
    outer = sorted({pair[0] for pair in pairs})
    if len(outer) == 1 < len(pairs) and len(first) > 1:
        inner = some(sorted(pair[1] for pair in pairs), 3)
        found.append(
            f"WARNING: the class folder {outer[0]} holds the folders {inner}, and the other class folders hold images:"
            f" if the inner folders are the classes, say contest.images.train: {c.images.train.rstrip('/')}/{outer[0]},"
            " and name the folder of the test images in contest.images.test"
        )
    elif len(pairs) > len(outer):
        found.append(
            f"WARNING: class folders hold folders: the class is the first of both, so there are {len(first)} classes;"
            f" if it is the second ({len(pairs)} folders, e.g. {'/'.join(min(pairs))}), say layout: names and"
            " columns.pattern: '^[^/]+/(?P<label>[^/]+)/'"
        )
    return found
