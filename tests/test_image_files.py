"""Walking an image folder: every file is a row, in a fixed order, and nothing outside it is read."""

import os
from pathlib import Path

import pytest
from PIL import Image

from podium import contracts
from podium.core.errors import InputError
from podium.images import image_files
from podium.images.arrays import Scaling


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.png", "a/c.png", "a/B.png", "a/b.png"):
        put(tmp_path / "images" / name)
    return tmp_path / "images"


def put(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 3), "red").save(path, "PNG")


def problems(folder: Path) -> dict[str, str]:
    return {file.image_id: file.problem for file in image_files.walk(folder)[0]}


def test_files_are_sorted_by_id(folder):
    assert list(problems(folder)) == ["a/B.png", "a/b.png", "a/c.png", "b.png"]
    assert set(problems(folder).values()) == {""}


def test_hidden_names_are_ignored_and_counted(folder):
    for name in (".gitkeep", "a/._b.png", ".cache/x.png", ".cache/y.png", "Thumbs.db", "a/__MACOSX/b.png"):
        put(folder / name)
    files, ignored = image_files.walk(folder)
    assert (len(files), ignored) == (4, 5)


LITTER = ["@eaDir/x.jpg/THUMB.png", "#recycle/b.png", "b.png:Zone.Identifier", "System Volume Information/x.png"]


def test_what_systems_leave_behind_is_ignored_and_counted(folder):
    for name in LITTER:
        put(folder / "a" / name)
    files, ignored = image_files.walk(folder)
    assert (len(files), ignored) == (4, len(LITTER))
    assert image_files.class_folders(folder / "a") == []


def test_a_file_is_an_image_by_its_content_or_by_the_ending_of_its_name(folder):
    contents = {
        "README.txt": b"words",
        "a/b.json": b"{}",
        "model": b"\x80\x04",
        "empty": b"",
        "cut.PNG": b"",
        "b.png": b"<html>",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    put(folder / "scan.dat")
    put(folder / "no_ending")
    images, others = image_files.split(image_files.walk(folder)[0])
    assert others == ["README.txt", "a/b.json", "empty", "model"]
    assert {"scan.dat", "no_ending", "cut.PNG", "b.png"} < set(images)
    for file in image_files.walk(folder)[0]:
        facts, _ = image_files.read(file, scaling=Scaling(9, 1, 16, 3, None))
        assert facts["problem"].startswith(contracts.NOT_AN_IMAGE) == (file.image_id in others)


def test_links_stay_inside(folder):
    put(folder.parent / "secret" / "s.png")
    (folder / "out.png").symlink_to(folder.parent / "secret/s.png")
    (folder / "out").symlink_to(folder.parent / "secret")
    (folder / "within.png").symlink_to("a/c.png")
    (folder / "again").symlink_to("a")
    (folder / "gone.png").symlink_to("no.png")
    (folder / "circle").symlink_to("circle")
    found = problems(folder)
    assert [i for i in found if found[i] == ""] == ["a/B.png", "a/b.png", "a/c.png", "b.png", "within.png"]
    assert all("leaves the image folder" in found[i] for i in ("out.png", "out"))
    assert "link to a folder" in found["again"]
    assert all("leads nowhere" in found[i] for i in ("gone.png", "circle"))
    for file in image_files.walk(folder)[0]:
        facts, pixels = image_files.read(file, scaling=Scaling(9, 1, 16, 3, None))
        assert (pixels is None) == bool(facts["problem"]) == (facts["sha256"] == "")


def test_the_folder_may_be_a_link_itself(folder):
    (folder.parent / "link").symlink_to(folder)
    assert problems(folder.parent / "link") == problems(folder)


def test_what_is_no_file_is_not_opened(folder):
    os.mkfifo(folder / "pipe.png")
    assert problems(folder)["pipe.png"] == "no regular file: remove it"


def test_odd_names(folder):
    good = ["a, b.png", 'quo"te.png', "é 福.png", " s .png", "NA", "back\\slash.png", "b.PNG"]
    for name in [*good, "tab\t.png", "line\n.png", "cr\r.png"]:
        put(folder / name)
    put(folder / os.fsdecode(b"latin\xe9.png"))
    found = problems(folder)
    assert all(found[name] == "" for name in good)
    bad = ["cr\\r.png", "latin\\xe9.png", "line\\n.png", "tab\\t.png"]
    assert [i for i in found if "rename it" in found[i]] == bad


@pytest.mark.parametrize("name", ["a</ScRiPt><img src=x onerror=alert(1)>.png", "<!--<script>.png"])
def test_a_name_that_would_run_in_the_page_of_plots_is_refused(folder, name):
    put(folder / name)
    assert "would run" in problems(folder)[name]


def test_an_unreadable_file_is_a_row(folder):
    file = image_files.ImageFile("gone.png", folder / "gone.png", "")
    facts, pixels = image_files.read(file, scaling=Scaling(9, 1, 16, 3, None))
    assert (facts["problem"], pixels) == ("cannot be read: No such file or directory", None)


def test_a_folder_that_cannot_be_listed_is_an_error(folder):
    with pytest.raises(InputError, match="gone: cannot be listed"):
        image_files.walk(folder / "gone")
