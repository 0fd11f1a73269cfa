"""Image checks: each finds its own kind of image, agrees with cleanvision on files, and depends on nothing else."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from podium.analysis import image_checks
from podium.analysis.image_checks import CHECKS
from podium.analysis.settings import Thresholds
from podium.core import pixels
from podium.images import image_files
from podium.images.arrays import Scaling

PROJECT = Path(__file__).parents[1]
THRESHOLDS = Thresholds().model_dump()


def photo(seed: int, height: int = 96, width: int = 128) -> np.ndarray:
    """Coarse coloured blocks with noise: nothing is odd about it."""
    rng = np.random.default_rng(seed)
    blocks = np.kron(rng.integers(20, 230, (8, 8, 3)), np.ones((height // 8, width // 8, 1)))
    return (blocks + rng.integers(0, 20, blocks.shape)).astype(np.uint8)


def grey(image: np.ndarray) -> np.ndarray:
    return np.repeat(image[..., :1], 3, axis=2)


def odd_images() -> dict[str, np.ndarray]:
    """Photos of one size, and one image for each check, named after it."""
    smooth = 255 * np.outer(np.hanning(96), np.hanning(128)) ** 0.5  # many grey levels, and no edge
    return {f"photo{k}": photo(k) for k in range(8)} | {
        "blurry": np.stack([smooth, smooth, 0.9 * smooth], axis=2).astype(np.uint8),
        "dark": photo(51) // 4,
        "light": 243 + photo(52) // 21,
        "low_information": np.where(photo(53)[..., :1] > 120, 250, 20).astype(np.uint8) * np.ones(3, np.uint8),
        "grayscale": grey(photo(54)),
        "odd_aspect_ratio": photo(55, 48, 256),
        "odd_size": photo(56, 192, 256),
    }


def facts_of(images: Mapping[str, np.ndarray]) -> pd.DataFrame:
    rows = [(i, a.shape[1], a.shape[0], "RGB") for i, a in images.items()]
    return pd.DataFrame(rows, columns=["image_id", "width", "height", "mode"])


def measured(images: Mapping[str, np.ndarray]) -> pd.DataFrame:
    return image_checks.measure(images, sorted(images))


def found(images: Mapping[str, np.ndarray], **thresholds: float) -> dict[tuple[str, str], tuple[str, str]]:
    """(image, check) -> (value, threshold)."""
    rows = image_checks.find(measured(images), facts_of(images), "train", THRESHOLDS | thresholds)
    assert {row[1] for row in rows} <= {"train"}
    return {(image_id, check): (value, threshold) for image_id, _, check, value, threshold in rows}


def test_every_check_finds_what_it_is_for_and_nothing_in_photos() -> None:
    got = found(odd_images())
    assert {(check, check) for check in CHECKS} <= got.keys()
    assert {image for image, _ in got} == set(CHECKS)
    for (_, check), (value, threshold) in got.items():
        if check not in {"grayscale", "odd_size"}:
            assert 0 <= float(value) < float(threshold) == THRESHOLDS[check]
    assert got["grayscale", "grayscale"] == ("stored as RGB", "")
    assert got["odd_size", "odd_size"] == ("221.7", "110.9 to 110.9")


def imagelab(paths: Mapping[str, Path]) -> pd.DataFrame:
    """The findings of cleanvision itself on files, by image."""
    from cleanvision import Imagelab

    lab = Imagelab(filepaths=[str(path) for path in paths.values()], verbose=False)
    lab.find_issues({check: {} for check in CHECKS}, n_jobs=1, verbose=False)
    return lab.issues.set_index(pd.Index(list(paths)))


def test_flags_and_scores_are_those_of_imagelab_on_files(tmp_path: Path) -> None:
    images = odd_images()
    paths = {i: tmp_path / f"{i}.png" for i in images}
    for i, image in images.items():
        is_grey = (image == image[..., :1]).all()
        Image.fromarray(image[..., 0] if is_grey else image).save(paths[i])
    issues = imagelab(paths)
    got = found(images)
    for check in CHECKS:
        flagged = issues[issues[f"is_{check}_issue"]]
        assert {image for image, c in got if c == check} == set(flagged.index), check
        if check in THRESHOLDS:
            values = {i: float(got[i, check][0]) for i in flagged.index}
            assert values == pytest.approx(dict(flagged[f"{check}_score"]), abs=5e-5), check


PALETTE = {("antbee", "train"): {("467abb40.gif", "dark")}}  # cleanvision takes the indices of colours for brightness


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Palette images with Transparency")
@pytest.mark.parametrize(("contest", "subset"), [("weather", "test")])  # all take a minute
def test_flags_on_real_contests_are_those_of_imagelab_on_their_files(contest: str, subset: str) -> None:
    """But for palette images and grey RGB files, for which cleanvision goes by the file's mode."""
    folder = Path(os.environ.get("PODIUM_SHARED", PROJECT.parent / "shared")) / "data" / contest / subset
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    read = [image_files.read(file, scaling=Scaling(320, 120, 16, 3, None)) for file in image_files.walk(folder)[0][::3]]
    images = {facts["image_id"]: image for facts, image in read if image is not None}
    facts = pd.DataFrame([facts for facts, _ in read])
    got = {(row[0], row[2]) for row in image_checks.find(measured(images), facts, subset, THRESHOLDS)}
    issues = imagelab({i: folder / i for i in images})
    theirs = {(i, check) for check in CHECKS for i in issues.index[issues[f"is_{check}_issue"]]}
    assert theirs - got == PALETTE.get((contest, subset), set())
    for image_id, check in got - theirs:
        with Image.open(folder / image_id) as image:
            red, green, blue = image.convert("RGB").split()
            assert (check, image.mode) == ("grayscale", "RGB")
            assert red.tobytes() == green.tobytes() == blue.tobytes()


def test_the_default_thresholds_are_cleanvisions() -> None:
    defaults = image_checks._manager().get_default_params()
    assert {c: p["threshold"] for c, p in defaults.items() if "threshold" in p} == THRESHOLDS


@pytest.mark.parametrize("check", THRESHOLDS)
def test_a_threshold_acts_on_its_check_alone(check: str) -> None:
    usual, none = found(odd_images()), found(odd_images(), **{check: 0})
    assert none == {key: row for key, row in usual.items() if key[1] != check}
    more = found(odd_images(), **{check: 1})
    assert sum(c == check for _, c in more) > sum(c == check for _, c in usual)


def test_grey_is_what_has_equal_channels_in_either_encoding_of_a_pack(tmp_path: Path) -> None:
    images = {"grey": grey(photo(1)), "colour": photo(2), "nearly": grey(photo(3))}
    images["nearly"][:16, :16, 2] ^= 64
    for encoding in ("raw", "jpeg"):
        with pixels.Writer(tmp_path / "pack", encoding=encoding) as writer:
            for image_id, image in images.items():
                writer.add(image_id, image)
        table = image_checks.measure(pixels.open_pack(tmp_path / "pack"), sorted(images))
        assert dict(zip(table["image_id"], table["color_space"], strict=True)) == {
            "grey": "L",
            "colour": "RGB",
            "nearly": "RGB",
        }


def test_sizes_are_those_of_the_files_not_of_the_pack() -> None:
    images = {f"{k:02}": photo(k) for k in range(9)}
    facts = facts_of(images)
    facts.loc[facts["image_id"] == "03", ["width", "height"]] = [4000, 1000]
    rows = image_checks.find(measured(images), facts.iloc[::-1], "test", THRESHOLDS)
    assert rows == [
        ("03", "test", "odd_aspect_ratio", "0.2500", "0.35"),
        ("03", "test", "odd_size", "2000.0", "110.9 to 110.9"),
    ]


def test_unmeasured_images_have_no_say(tmp_path: Path) -> None:
    images = {f"{k:02}": photo(k) for k in range(9)}
    facts = facts_of(images)
    broken = pd.DataFrame([(f"broken{k}", 0, 0, "") for k in range(30)], columns=facts.columns)
    assert image_checks.find(measured(images), pd.concat([broken, facts]), "train", THRESHOLDS) == []
    assert image_checks.find(pd.DataFrame(), broken, "train", THRESHOLDS) == []
    assert image_checks.measure({}, []).empty


@pytest.mark.parametrize("n", [1, 2])
def test_one_and_two_images(n: int) -> None:
    assert found({str(k): photo(k, 96, 128 + 64 * k) for k in range(n)}) == {}


def test_brightness_of_a_large_picture_is_that_of_all_its_pixels() -> None:
    """Bright specks of a pixel: blending neighbours would lose them, and call the picture dark."""
    rng = np.random.default_rng(0)
    image = np.where(rng.random((900, 1200, 1)) < 0.02, 255, 20).astype(np.uint8) * np.ones(3, np.uint8)
    property_ = image_checks._manager().image_properties["dark"]
    row = measured({"specks": image}).loc[0]
    assert {key: row[key] for key in ("brightness_perc_99", "brightness_perc_5")} == pytest.approx(
        {key: property_.calculate(Image.fromarray(image))[key] for key in ("brightness_perc_99", "brightness_perc_5")}
    )


def test_cleanvision_is_loaded_late_without_torch_and_without_a_word_about_the_home(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder can be made in here")
    program = (
        "import sys; from stages import analyze; assert 'cleanvision' not in sys.modules;"
        "analyze.image_checks._manager(); assert 'cleanvision' in sys.modules; sys.exit('torch' in sys.modules)"
    )
    environment = os.environ | {"MPLCONFIGDIR": str(tmp_path / "file" / "matplotlib")}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
