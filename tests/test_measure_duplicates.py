from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from docs.measure import growing, planting
from docs.measure import measure_duplicates as measuring
from podium.core import pixels, tables
from tests.photos import jpeg, photo


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Four train and two test photos; one of each is one photo in two qualities, and a file is no image."""
    files = {f"train/{k}.png": photo(k) for k in range(4)} | {"test/7.png": photo(7), "test/0.png": jpeg(photo(0), 50)}
    for name, image in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / name)
    (tmp_path / "train/broken.png").write_bytes(b"no image")
    return [tmp_path / "train", tmp_path / "test"]


@pytest.fixture(autouse=True)
def _no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODIUM_WORKERS", "0")


@pytest.fixture
def judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Write a list of judged pairs of one row."""
    monkeypatch.setattr(measuring, "LIST", tmp_path / "judged.csv")

    def write(row: str) -> None:
        measuring.LIST.write_text(f"contest,a,b,verdict,why\n{row}\n")

    return write


def run(capsys: pytest.CaptureFixture[str], folders: list[Path], *words: str) -> str:
    measuring.main("planted", "tiny", *map(str, folders), "--short-side", "96", *words)
    return capsys.readouterr().out


def test_a_row_per_kind_and_wrong_links_are_counted(
    capsys: pytest.CaptureFixture[str],
    folders: list[Path],
    judged: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kinds = [kind for kind in planting.KINDS if kind.name in ("saved as PNG", "left to right", "by 90 degrees")]
    lost = planting.Kind("no target", "lost", lambda image: np.roll(image, image.shape[1] // 2, axis=1))
    monkeypatch.setattr(planting, "KINDS", [*kinds, lost])
    judged("tiny,train/0.png,test/0.png,same,one photo")
    out = run(capsys, folders)
    assert "2 pairs" not in out
    assert "tiny: 0 groups of equal pixels, 1 pairs: {'same': 1}" in out
    assert "| exact >= 100% | saved as PNG | 6 of 6 | 100.0% | 0 |" in out
    assert "| mirrored >= 98% | left to right | 6 of 6 | 100.0% | 0 |" in out
    assert "| turned >= 90% | by 90 degrees | 6 of 6 | 100.0% | 0 |" in out
    assert "| none | lost | 0 of 6 | 0.0% | 0 |" in out
    judged("tiny,train/0.png,test/0.png,different,as if")
    assert "| exact >= 100% | saved as PNG | 6 of 6 | 100.0% | 4 |" in run(capsys, folders), "with the copies' links"


@pytest.mark.parametrize(
    ("row", "printed"),
    [
        ("other,train/0.png,test/0.png,same,", "  not judged: train/0.png,test/0.png (near, 0.99"),
        ("tiny,test/0.png,train/0.png,different,", "  different: train/0.png,test/0.png (near, 0.99"),
        ("tiny,train/1.png,train/2.png,same,", "  same, but not found: train/1.png,train/2.png"),
    ],
)
def test_differences_from_the_judged_list_are_printed(
    capsys: pytest.CaptureFixture[str],
    folders: list[Path],
    judged: Callable[[str], None],
    row: str,
    printed: str,
) -> None:
    judged(row)
    contest = measuring.read("tiny", folders, 96)
    natural = measuring.search(contest.prints)
    measuring.judge(contest, natural)
    assert printed in capsys.readouterr().out
    measuring.draw(contest, natural, folders[0].parent / "sheets")
    with Image.open(folders[0].parent / "sheets/tiny_0.png") as sheet:
        assert sheet.width > 200


@pytest.mark.parametrize("kind", planting.KINDS, ids=lambda kind: f"{kind.group}, {kind.name}")
def test_every_kind_changes_what_it_says(kind: planting.Kind) -> None:
    image = photo(1, 100, 140)
    copy = planting.saved(np.ascontiguousarray(kind.change(image)), kind.format, kind.quality)
    assert np.array_equal(copy, image) == (kind.group == "exact")
    assert (copy.shape == image.shape) == (kind.group in ("exact", "re-encoded", "mirrored", "brightness")) or (
        kind.name == "by 180 degrees"
    )


def test_the_committed_list_is_sound() -> None:
    table = tables.read(measuring.LIST, measuring.JUDGED)
    assert set(table["verdict"]) <= {"same", "scene", "different"}
    assert set(table["contest"]) == {"demo", "weather"}
    assert (table["why"] != "").all()
    names = [measuring._name(spelled) for spelled in [*table["a"], *table["b"]]]
    assert {subset for subset, _ in names} == {"train", "test"}


def test_varied_photos_differ_but_for_the_last(tmp_path: Path) -> None:
    with pixels.Writer(tmp_path / "photos.arrow", encoding="raw") as writer:
        for k in range(5):
            writer.add(str(k), photo(k))
    varied = growing.vary(pixels.open_pack(tmp_path / "photos.arrow"), 0)
    assert len(varied) == growing.EVERY
    assert len({image.tobytes() for image in varied}) == growing.EVERY
    assert np.array_equal(varied[-1], planting.saved(varied[-2], "JPEG", 60))
    again = growing.vary(pixels.open_pack(tmp_path / "photos.arrow"), 0)
    assert all(np.array_equal(a, b) for a, b in zip(varied, again, strict=True))


def test_growth_prints_a_row_per_number_of_images(capsys: pytest.CaptureFixture[str], folders: list[Path]) -> None:
    measuring.main("growth", *map(str, folders), "--images", "50", "100", "--short-side", "64")
    out = capsys.readouterr().out
    assert "| 50 |" in out
    assert "| 100 |" in out
    assert "2 of 2" in out
