import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from podium.pictures import drawing, gallery
from podium.pictures.drawing import EMPTY, GAP, MARK, TILE, SheetSection, Tile

RED = (255, 0, 0)


def plain(height: int = 30, width: int = 60, colour: tuple[int, int, int] = RED) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


def png(canvas: Image.Image) -> bytes:
    buffer = io.BytesIO()
    canvas.save(buffer, format="PNG")
    return buffer.getvalue()


def red_box(canvas: Image.Image) -> tuple[int, int]:
    """Height and width of what is drawn in pure red."""
    rows, columns = np.nonzero((np.asarray(canvas) == RED).all(axis=2))
    return int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1


@pytest.mark.parametrize(
    ("size", "drawn"),
    [
        ((30, 60), (60, 120)),
        ((600, 300), (120, 60)),
        ((120, 120), (120, 120)),
        ((1, 1000), (1, 120)),
        ((3, 2), (120, 80)),
    ],
)
def test_a_tile_keeps_the_aspect_ratio(size: tuple[int, int], drawn: tuple[int, int]) -> None:
    assert red_box(drawing.sheet("", [SheetSection("", [Tile(plain(*size), ())])])) == drawn


def test_tiles_of_another_size() -> None:
    canvas = drawing.sheet("", [SheetSection("", [Tile(plain(), ("a",))] * 5)], columns=4, tile_size=240)
    assert canvas.width == 4 * (240 + GAP) + GAP
    assert red_box(canvas) == (2 * 120 + 120 + GAP + drawing.CAPTION, 4 * 240 + 3 * GAP)


def test_same_sheet_same_bytes_and_width() -> None:
    sections = [
        SheetSection("one", [Tile(plain(), ("a", "b"))] * 11),
        SheetSection("", [Tile(None, ("lost",), marked=True)]),
    ]
    first, second = (drawing.sheet("title", sections) for _ in range(2))
    assert png(first) == png(second)
    assert first.width == 8 * (TILE + GAP) + GAP


@pytest.mark.parametrize("text", ["福", "ñandú 😀", "two\nlines\t", "", "x" * 3000, "שלום", "\x00\udcff"])
def test_any_text_can_be_drawn(tmp_path: Path, text: str) -> None:
    canvas = drawing.sheet(text, [SheetSection(text, [Tile(plain(), (text, text))])])
    drawing.write(canvas, tmp_path / "new" / "a.png")
    with Image.open(tmp_path / "new" / "a.png") as image:
        assert image.size == canvas.size


def test_text_stays_in_its_column_and_keeps_its_end() -> None:
    short = drawing._shorten("a_very_long_folder/with_a_long_name_000123.jpg", drawing.SMALL, TILE)
    assert drawing._font(drawing.SMALL).getlength(short) <= TILE
    assert short.startswith("a_very")
    assert short.endswith("123.jpg")


def test_characters_without_a_glyph_get_different_codes() -> None:
    assert drawing.legible("cloudy 1.0") == "cloudy 1.0"
    assert drawing.legible("福") != drawing.legible("春")


@pytest.mark.parametrize(
    ("name", "slug"),
    [("Cloudy Sky", "cloudy_sky"), ("../../etc", "etc"), ("福", "class"), ("a" * 99, "a" * 40), ("1.0", "1_0")],
)
def test_a_slug_is_a_safe_file_name(name: str, slug: str) -> None:
    assert drawing.slug(name) == slug


def test_a_sample_is_stable_and_spread() -> None:
    ids = [f"{k:04}" for k in range(1000)]
    chosen = drawing.spread(ids, 48)
    assert chosen == drawing.spread(list(reversed(ids)), 48) == sorted(chosen)
    assert len(set(chosen)) == 48
    assert len(set(chosen) - set(drawing.spread([*ids, "new"], 48))) <= 1
    assert all(any(low <= int(i) < low + 250 for i in chosen) for low in range(0, 1000, 250))


def test_flowing_sections_share_a_row_and_do_not_overlap() -> None:
    sections = [
        SheetSection(str(k), [Tile(plain(60, 60, (k, 0, 255)), ("i",))] * n) for k, n in enumerate([5, 3, 2, 8])
    ]
    flowing, stacked = (drawing.sheet("t", sections, flow=flow) for flow in (True, False))
    assert flowing.height < stacked.height
    for canvas in (flowing, stacked):
        for k, section in enumerate(sections):
            drawn = (np.asarray(canvas) == (k, 0, 255)).all(axis=2).sum()
            assert drawn == len(section.tiles) * TILE**2


@pytest.mark.parametrize("n", [0, 1, 2, 24, 25, 200, 500, 1000, 3000])
def test_every_class_is_on_one_page(n: int) -> None:
    classes = [f"福 {k:04}" for k in range(n)]
    pages = gallery.class_pages(reversed(classes))
    assert [label for page in pages.values() for label in page] == classes
    assert list(pages) == sorted(pages)
    assert len(pages) == n if n <= gallery.MAX_OWN_SHEETS else len(pages) <= n // 20 + 1
    assert all(drawing.slug(name) == name.replace(".png", "_png") for name in pages)


@pytest.mark.parametrize(("n_classes", "tiles"), [(2, 48), (24, 48), (25, 8), (200, 8), (1000, 4), (3000, 2)])
def test_the_more_classes_the_fewer_images_of_each(n_classes: int, tiles: int) -> None:
    pack = dict.fromkeys((f"{k}" for k in range(100)), plain(60, 60))
    canvas = gallery.class_page({"福": list(pack), "b": list(pack)}, pack, n_classes)
    assert (np.asarray(canvas) == RED).all(axis=2).sum() == 2 * tiles * TILE**2


def clusters_of(*groups: str) -> pd.DataFrame:
    return pd.DataFrame([(i, g[0]) for g in groups for i in g], columns=["image_id", "cluster"], dtype="str")


def test_conflicting_clusters_come_first_and_are_marked() -> None:
    pack = {**dict.fromkeys("abcd", plain(60, 60, (0, 0, 255))), **dict.fromkeys("xy", plain(60, 60))}
    label_of = {**dict.fromkeys("abc", "one"), "d": "", "x": "one", "y": "two"}
    clusters = clusters_of("abcd", "xy")
    assert gallery.conflicts(clusters, label_of, {"d"}) == ["x"]
    assert gallery.conflicts(clusters, label_of, {"d", "y"}) == []  # an override dropped y
    pixels = np.asarray(gallery.cluster_sheet(clusters, label_of, {"d"}, pack))
    first_column = pixels[:, GAP + TILE // 2]
    assert (first_column == MARK).all(axis=1).any()
    assert np.nonzero((first_column == RED).all(axis=1))[0][0] < 100
    for labels, unused in ((dict.fromkeys(label_of, "one"), {"d"}), (label_of, {"d", "y"})):
        unmarked = np.asarray(gallery.cluster_sheet(clusters, labels, unused, pack))
        assert not (unmarked == MARK).all(axis=2).any()


def test_a_large_cluster_shows_its_odd_label() -> None:
    members = [f"{k:02}" for k in range(30)]
    label_of = {**dict.fromkeys(members, "one"), "29": "two"}
    pack = {**dict.fromkeys(members, plain()), "29": plain(60, 60, (0, 255, 0))}
    clusters = pd.DataFrame({"image_id": members, "cluster": "00"})
    sheet = np.asarray(gallery.cluster_sheet(clusters, label_of, set(), pack))
    assert (sheet == (0, 255, 0)).all(axis=2).sum() > TILE**2 // 2


def test_empty_tables_can_be_drawn() -> None:
    columns = (
        "image_id",
        "cluster",
        "subset",
        "check",
        "value",
        "threshold",
        "test_image_id",
        "train_image_id",
        "kind",
    )
    empty = pd.DataFrame({c: pd.Series(dtype="str") for c in columns}).assign(similarity=0.0)
    sheets = (
        gallery.cluster_sheet(empty, {}, set(), {}),
        gallery.leak_sheet(empty, {}, {}, {}),
        gallery.finding_sheet(empty, {}),
    )
    assert all(canvas.height < TILE for canvas in sheets)


def leaks_of(*pairs: tuple[str, str, float]) -> pd.DataFrame:
    table = pd.DataFrame(pairs, columns=["test_image_id", "train_image_id", "similarity"])
    return table.astype({"test_image_id": "str", "train_image_id": "str"}).assign(kind="near")


def test_a_test_image_comes_before_its_duplicates_and_the_most_similar_come_first() -> None:
    test = {"t": plain(60, 60, (0, 255, 0)), "u": plain(60, 60, (0, 0, 255))}
    train = {k: plain(60, 60) for k in "ab"}
    leaks = leaks_of(("t", "a", 0.98), ("u", "a", 0.97), ("u", "b", 1.0))
    pixels = np.asarray(gallery.leak_sheet(leaks, {"a": "one", "b": ""}, train, test))
    drawn = [pixels[90, GAP + TILE // 2 + k * (TILE + GAP)].tolist() for k in range(5)]
    assert drawn == [[0, 0, 255], [255, 0, 0], [255, 0, 0], [0, 255, 0], [255, 0, 0]]


def findings_of(check: str, **values: str) -> pd.DataFrame:
    rows = [(i, "train", check, *value.split("|")) for i, value in values.items()]
    return pd.DataFrame(rows, columns=["image_id", "subset", "check", "value", "threshold"], dtype="str")


@pytest.mark.parametrize(
    ("threshold", "values", "worst"),
    [
        ("0.3", {"a": "0.29", "b": "0.01", "c": "0.1"}, ["b", "c", "a"]),
        ("0.97", {"a": "0.98", "b": "1", "c": "0.975"}, ["b", "a", "c"]),
        ("100 to 200", {"a": "90", "b": "230", "c": "201"}, ["b", "a", "c"]),
        ("9", {"b": "1", "a": "1", "c": "10"}, ["a", "b", "c"]),
    ],
)
def test_the_worst_findings_come_first(threshold: str, values: dict[str, str], worst: list[str]) -> None:
    rows = findings_of("odd", **{i: f"{v}|{threshold}" for i, v in values.items()})
    assert list(gallery._worst(rows)["image_id"]) == worst


def test_of_many_findings_the_worst_are_shown_with_their_count() -> None:
    rows = findings_of("odd", **{f"i{k:03}": f"{k}|1000" for k in range(100)})
    section = gallery._check("odd", pd.concat([rows, rows.head(3).assign(subset="test")]), {})
    assert [tile.lines[0] for tile in section.tiles] == [f"i{k:03}" for k in range(gallery.CHECK_TILES)]
    assert section.heading == "odd: 16 of 100 train images, and 3 of test"


def test_findings_in_words_are_spread_and_sorted() -> None:
    rows = findings_of("note", **{f"i{k:03}": "turned|" for k in range(100)})
    shown = list(gallery._worst(rows)["image_id"])
    assert shown == drawing.spread(list(rows["image_id"]), gallery.CHECK_TILES)


def test_a_finding_without_pixels_has_an_empty_tile() -> None:
    rows = pd.DataFrame(
        {"image_id": ["lost"], "subset": ["train"], "check": ["unusable"], "value": ["no image"], "threshold": [""]}
    )
    assert (np.asarray(gallery.finding_sheet(rows, {})) == EMPTY).all(axis=2).sum() > TILE**2 // 2
