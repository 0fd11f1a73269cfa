import ast
import csv
import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from PIL import Image, ImageOps

from demo import brush, contest, draw, motifs, ornaments, scenes
from demo.strokes import CHARACTERS, FU, OTHERS

DEMO = Path(draw.__file__).parent
SMALL = {"seed": 3, "n_train": 24, "n_test": 22}


def settings(**changes):
    values = yaml.safe_load((DEMO / "params.yaml").read_text(encoding="utf-8"))["draw"]
    return {**values, **SMALL, **changes}


def drawn(root, workers=1, **changes):
    (root / "params.yaml").write_text(yaml.safe_dump({"draw": settings(**changes)}))
    draw.main(root, workers)
    return root / "images"


def hashes(images):
    files = sorted(path for path in images.rglob("*") if path.is_file())
    return {path.relative_to(images).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def table(path):
    with path.open(encoding="utf-8") as file:
        return {row["image_id"]: row["label"] for row in csv.DictReader(file)}


@pytest.fixture(scope="module", autouse=True)
def silent():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PODIUM_PROGRESS", "0")
        yield


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return drawn(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def plan():
    seed, counts, _ = draw.settings(settings())
    return contest.plan(seed, counts)


@pytest.fixture(scope="module")
def full_plan():
    return contest.plan(0, {"train": 720, "test": 1200})


def test_same_seed_same_bytes_whatever_the_workers_and_leftovers(images, tmp_path):
    (tmp_path / "images/train").mkdir(parents=True)
    (tmp_path / "images/train/stale.jpg").touch()
    assert hashes(drawn(tmp_path, workers=2)) == hashes(images)


def test_another_seed_draws_other_images(plan):
    other = contest.plan(4, {"train": 24, "test": 22})
    assert not {p.name for p in plan["train"]} & {p.name for p in other["train"]}


def test_tables_name_every_file_once(images):
    train, test = ({path.name for path in (images / subset).iterdir()} for subset in ("train", "test"))
    assert (len(train), len(test)) == (24, 22)
    assert set(table(images / "train_labels.csv")) == train
    assert set(table(images / "private_labels.csv")) == set(table(images / "sample_submission.csv")) == test
    assert set(table(images / "sample_submission.csv").values()) == {"0"}
    assert set(table(images / "private_labels.csv").values()) == {"0", "1"}


def test_labels_are_those_of_the_plan(images, plan):
    for subset, name in (("train", "train_labels.csv"), ("test", "private_labels.csv")):
        assert table(images / name) == {p.name: str(int(p.has_fu)) for p in plan[subset]}


def test_the_submission_is_not_sorted(images):
    order = list(table(images / "sample_submission.csv"))
    assert order != sorted(order)


def test_readable_images_have_their_planned_size(images, plan):
    for picture in plan["train"] + plan["test"]:
        if picture.planted in ("", "copy", "exif", "palette"):
            with Image.open(images / picture.subset / picture.name) as image:
                assert ImageOps.exif_transpose(image).size == (picture.width, picture.height)


def test_sizes_and_shapes_are_in_range(full_plan):
    pictures = full_plan["train"] + full_plan["test"]
    sides = np.array([(p.width, p.height) for p in pictures])
    aspects = sides[:, 0] / sides[:, 1]
    assert sides.min() >= 150
    assert sides.max() <= 900
    assert 0.4 <= aspects.min() < 0.5
    assert 2 < aspects.max() <= 3


def test_classes_are_balanced_and_no_file_property_leaks_the_label(full_plan):
    for pictures in full_plan.values():
        fu = np.array([p.has_fu for p in pictures])
        assert 0.48 < fu.mean() < 0.52
        facts = np.array([(p.width, p.height, p.quality, p.quality == 0, int(p.name[:8], 16)) for p in pictures])
        correlations = [np.corrcoef(fu, fact)[0, 1] for fact in facts.T.astype(float)]
        assert np.abs(correlations).max() < 4 / np.sqrt(len(pictures))


def test_names_are_all_different(full_plan):
    stems = [Path(p.name).stem for pictures in full_plan.values() for p in pictures]
    assert len(set(stems)) == len(stems)


def planted(plan, kind):
    return [p for pictures in plan.values() for p in pictures if p.planted == kind]


def test_truncated_files_cannot_be_read(images, plan):
    truncated = planted(plan, "truncated")
    assert [p.subset for p in truncated] == ["train", "test"]
    for picture in truncated:
        path = images / picture.subset / picture.name
        assert path.stat().st_size > 0
        assert cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR) is None
        with pytest.raises(OSError, match=r"."), Image.open(path) as image:
            image.load()


def test_the_palette_png_has_a_palette(images, plan):
    (picture,) = planted(plan, "palette")
    with Image.open(images / "train" / picture.name) as image:
        assert (image.format, image.mode) == ("PNG", "P")


def test_the_exif_jpeg_is_upright_only_after_its_orientation_is_applied(images, plan):
    (picture,) = planted(plan, "exif")
    _, _, difficulty = draw.settings(settings())
    rng = np.random.default_rng(picture.seed)
    upright = scenes.paint(picture.width, picture.height, picture.has_fu, difficulty, rng).astype(float)
    with Image.open(images / "train" / picture.name) as image:
        assert image.getexif()[0x0112] == 6
        assert image.size == (picture.height, picture.width)
        turned = np.asarray(ImageOps.exif_transpose(image), float)
    assert np.abs(turned - upright).mean() < 12


def test_copies_have_equal_bytes_and_recoded_ones_similar_pixels(images, plan):
    originals = {p.seed: p for pictures in plan.values() for p in pictures if not p.planted}
    for copy in planted(plan, "copy") + planted(plan, "recoded"):
        original = originals[copy.seed]
        paths = [images / p.subset / p.name for p in (copy, original)]
        same_bytes = paths[0].read_bytes() == paths[1].read_bytes()
        assert same_bytes == (copy.planted == "copy")
        assert copy.has_fu == original.has_fu
        small = [np.asarray(Image.open(path).convert("L").resize((16, 16)), float).ravel() for path in paths]
        assert np.corrcoef(*small)[0, 1] > 0.98


def test_too_few_images_for_the_planted_ones_are_an_error():
    with pytest.raises(ValueError, match="n_test: must be at least 20"):
        contest.plan(0, {"train": 20, "test": 19})


@pytest.mark.parametrize("change", [{"typo": 1}, {"noise": None}])
def test_unknown_and_missing_settings_are_named(change):
    values = {key: value for key, value in settings(**change).items() if value is not None}
    with pytest.raises(ValueError, match=next(iter(change))):
        draw.settings(values)


@pytest.mark.parametrize("change", [{"contrast": 0}, {"characters": 1.1}, {"min_glyph": 0.9}, {"max_glyph": 1.5}])
def test_settings_out_of_range_are_named(change):
    with pytest.raises(ValueError, match=f"out of range: .*{next(iter(change))}"):
        draw.settings(settings(**change))


def test_every_character_is_written_inside_its_square_and_unlike_the_others():
    hand = brush.Hand(width=0.08, pressure=1.0, wobble=0.0, dryness=0.0)
    masks = {name: brush.write(name, 64, hand, np.random.default_rng(0)) for name in CHARACTERS}
    for mask in masks.values():
        assert mask.shape == (64, 64)
        assert 0.15 < (mask > 128).mean() < 0.6
        assert not np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]]).any()
    for other in OTHERS:
        assert np.corrcoef(masks[FU].ravel(), masks[other].ravel())[0, 1] < 0.75


@pytest.mark.parametrize("name", ornaments.ORNAMENTS)
def test_every_ornament_fills_some_of_its_square(name):
    assert 0.1 < (ornaments.draw(name, 64) > 128).mean() < 0.85


@pytest.mark.parametrize("name", motifs.MOTIFS)
def test_the_main_figure_is_in_the_middle_of_every_motif(name):
    """Motifs with and without the figure differ only inside the figure, around the motif's centre."""
    side = 60
    palette = motifs.Palette((200, 20, 20), (250, 220, 120), (240, 200, 90))
    figures = [np.full((side, side), 255, np.uint8), np.zeros((side, side), np.uint8)]
    with_it, without = (motifs.MOTIFS[name]([figure], palette, np.random.default_rng(5)) for figure in figures)
    layers = [np.dstack([patch.pixels, patch.alpha]).astype(int) for patch in (with_it, without)]
    y, x = np.nonzero(np.abs(layers[0] - layers[1]).sum(axis=2))
    assert len(x) > 0.8 * side * side
    assert np.abs(x - with_it.centre[0]).max() <= side / 2 + 1
    assert np.abs(y - with_it.centre[1]).max() <= side / 2 + 1


@pytest.mark.parametrize("has_fu", [True, False])
def test_pictures_of_every_shape_can_be_painted(has_fu):
    _, _, difficulty = draw.settings(settings(characters=0.5, clutter=3))
    for seed, (width, height) in enumerate([(150, 375), (450, 150), (200, 200), (151, 160)] * 3):
        picture = scenes.paint(width, height, has_fu, difficulty, np.random.default_rng(seed))
        assert (picture.shape, picture.dtype) == ((height, width, 3), np.uint8)
        assert picture.std() > 5


def imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_the_demo_imports_no_stage_and_lists_its_imports():
    needed, todo = {"__init__.py"}, ["draw.py"]
    while todo:
        name = todo.pop()
        needed.add(name)
        names = list(imports(DEMO / name))
        assert not [n for n in names if n.split(".")[0] in ("podium", "stages", "tools")]
        imported = {f"{n.removeprefix('demo.')}.py" for n in names if n.startswith("demo.")}
        todo += [f for f in imported - needed if (DEMO / f).exists()]
    deps = yaml.safe_load((DEMO / "dvc.yaml").read_text(encoding="utf-8"))["stages"]["draw"]["deps"]
    assert sorted(deps) == sorted(needed)
