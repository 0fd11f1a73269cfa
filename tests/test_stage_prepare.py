"""The stage `prepare`: a row for every file, pixels for every readable one, the same bytes from any workers."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from podium import contracts
from podium.core import pixels, resumable_pack, tables
from podium.core.errors import InputError
from podium.images import heic, image_files, packing
from podium.images.settings import PrepareSettings
from stages import prepare

OUTPUTS = ("facts.csv", "pixels.arrow")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PODIUM_WORKERS", "1")
    monkeypatch.setenv("PODIUM_PROGRESS", "0")
    put_params(tmp_path)
    put_images(tmp_path / "c/train", 6)
    (tmp_path / "c/train/sub").mkdir()
    (tmp_path / "c/train/a.jpg").rename(tmp_path / 'c/train/sub/a, "b".png')
    (tmp_path / "c/train/zero.jpg").touch()
    (tmp_path / "c/train/notes.txt").write_text("not an image")
    cut = (tmp_path / "c/train/b.jpg").read_bytes()
    (tmp_path / "c/train/cut.jpg").write_bytes(cut[: len(cut) // 2])
    (tmp_path / "c/test").mkdir()
    (tmp_path / "c/test/.gitkeep").touch()
    return tmp_path


def put_params(root: Path, train: str = "c/train", **settings: object) -> None:
    sections = {
        "contest": {"images": {"train": train, "test": "c/test"}},
        "prepare": {"short_side": 16, "max_megapixels": 1, **settings},
    }
    (root / "params.yaml").write_text(yaml.safe_dump(sections))


def put_images(folder: Path, n: int, side: int = 20) -> None:
    folder.mkdir(parents=True)
    for i in range(n):
        noise = np.random.default_rng(i).integers(0, 256, (side, 2 * side + i % 9, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{chr(97 + i) if n < 27 else i}.jpg")


def outputs(root: Path, subset: str = "train") -> list[bytes]:
    return [(root / "data/prepare" / subset / name).read_bytes() for name in OUTPUTS]


def test_every_file_is_a_row_and_every_readable_one_is_packed(root, capsys):
    prepare.main("train", root=root)
    facts = tables.read(root / "data/prepare/train/facts.csv", contracts.FACTS).set_index("image_id")
    good = ["b.jpg", "c.jpg", "d.jpg", "e.jpg", "f.jpg", 'sub/a, "b".png']
    assert list(facts.index) == [*good[:2], "cut.jpg", *good[2:5], "notes.txt", good[5], "zero.jpg"]
    packed = pixels.open_pack(root / "data/prepare/train/pixels.arrow")
    assert packed.image_ids == good == list(facts.index[facts["problem"] == ""])
    assert packed["c.jpg"].shape == (16, round(42 * 16 / 20), 3)
    row = facts.loc["c.jpg"]
    assert (row["width"], row["height"], row["mode"], row["format"]) == (42, 20, "RGB", "JPEG")
    assert row["bytes"] == (root / "c/train/c.jpg").stat().st_size
    assert facts.loc[good[5], "note"] == "is a JPEG, named .png"
    assert facts.loc["zero.jpg", "problem"] == "empty file (0 bytes)"
    assert facts.loc["cut.jpg", "problem"].startswith("truncated")
    printed = capsys.readouterr().out
    assert "6 of 9 files are readable images, 1 with a note" in printed
    assert all(f"train: {name}: " in printed for name in ("cut.jpg", "zero.jpg"))
    assert "1 files are no images and are ignored, unless the label CSV names them: notes.txt" in printed


def test_workers_and_reruns_change_no_byte(root, monkeypatch):
    prepare.main("train", root=root)
    first = outputs(root)
    prepare.main("train", root=root)
    assert outputs(root) == first
    monkeypatch.setenv("PODIUM_WORKERS", "2")
    prepare.main("train", root=root)
    assert outputs(root) == first


def test_the_encoded_form(root):
    put_params(root, encoding="jpeg")
    prepare.main("train", root=root)
    packed = pixels.open_pack(root / "data/prepare/train/pixels.arrow")
    assert packed["c.jpg"].shape == (16, 34, 3)


@pytest.mark.parametrize(("side", "is_told"), [(31, True), (32, False)])
def test_scaled_decoding_that_changes_nothing_is_told(tmp_path, monkeypatch, capsys, side, is_told):
    monkeypatch.setenv("PODIUM_WORKERS", "1")
    put_params(tmp_path, decoding="scaled")
    put_images(tmp_path / "c/train", 2, side=side)
    Image.new("RGB", (100, 100)).save(tmp_path / "c/train/large.png")
    prepare.main("train", root=tmp_path)
    assert ("decoding: scaled has no effect" in capsys.readouterr().out) == is_told


def test_an_absolute_folder_reaches_no_output(root, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "images"
    put_images(elsewhere, 2)
    put_params(root, train=str(elsewhere))
    prepare.main("train", root=root)
    assert pixels.open_pack(root / "data/prepare/train/pixels.arrow").image_ids == ["a.jpg", "b.jpg"]
    assert str(elsewhere).encode() not in b"".join(outputs(root))


def test_values_of_12_bits_in_16_bit_files_need_a_decision(tmp_path, capsys):
    """Else they would keep 16 of 256 grey levels. Each way out that the error names works."""
    (tmp_path / "c/train").mkdir(parents=True)
    ramp = np.linspace(0, 4095, 800).reshape(20, 40).astype(np.uint16)
    for i in range(2):
        Image.fromarray(ramp // (i + 1)).save(tmp_path / f"c/train/{i}.png")
    put_params(tmp_path, short_side=20)
    with pytest.raises(InputError, match=r"prepare\.bit_depth: all 2 16-bit .* 16 of 256 .* 12, or bit_depth: 16"):
        prepare.main("train", root=tmp_path)
    levels = {}
    for depth in (12, 16, 10):
        put_params(tmp_path, short_side=20, bit_depth=depth)
        prepare.main("train", root=tmp_path)
        packed = pixels.open_pack(tmp_path / "data/prepare/train/pixels.arrow")
        levels[depth] = len(np.unique(packed["0.png"]))
        assert ("2 16-bit images hold values above" in capsys.readouterr().out) == (depth == 10)
    assert levels[12] == 256
    assert levels[16] == 17


def test_names_that_a_spreadsheet_would_run_are_warned_of(root, capsys):
    (root / "c/train/b.jpg").rename(root / "c/train/=1+1.jpg")
    prepare.main("train", root=root)
    assert "1 file names start like a formula" in capsys.readouterr().out


def test_an_empty_test_folder_gives_empty_tables(root, capsys):
    prepare.main("test", root=root)
    assert len(tables.read(root / "data/prepare/test/facts.csv", contracts.FACTS)) == 0
    assert len(pixels.open_pack(root / "data/prepare/test/pixels.arrow")) == 0
    assert "1 hidden" in capsys.readouterr().out


def test_a_train_folder_without_images_is_refused_and_nothing_is_written(root):
    put_params(root, train="c/test")
    with pytest.raises(InputError, match=r"contest\.images\.train: .* no readable image: it is empty"):
        prepare.main("train", root=root)
    (root / "c/test/a.jpg").write_text("no")
    with pytest.raises(InputError, match=r"no readable image: a\.jpg \(no image"):
        prepare.main("train", root=root)
    assert not list((root / "data/prepare/train").iterdir())


def test_wrong_calls_are_named(root):
    with pytest.raises(InputError, match="'valid' is neither train nor test"):
        prepare.main("valid", root=root)
    put_params(root, train="c/gone")
    with pytest.raises(InputError, match=r"contest\.images\.train: .*c/gone is no folder"):
        prepare.main("train", root=root)


class KilledError(BaseException):
    """Ends a run as a signal does."""


@pytest.fixture
def decoded(root, monkeypatch) -> list[str]:
    """The ids of the files that runs decode; each batch of a pack is saved at once."""
    ids: list[str] = []
    read = image_files.read_packed

    def noted(file, **options):
        ids.append(file.image_id)
        return read(file, **options)

    monkeypatch.setattr(image_files, "read_packed", noted)
    monkeypatch.setattr(pixels, "BATCH_BYTES", 3000)  # two images
    monkeypatch.setattr(resumable_pack, "SECONDS_BETWEEN", 0.0)
    monkeypatch.setattr(resumable_pack, "COST", 0.0)
    return ids


def kill_after(n_files: int, decoded: list[str], root: Path) -> Path:
    """Run the stage, kill it at a file, and return the folder of what it leaves; forget what it decoded."""
    with pytest.MonkeyPatch.context() as patch:
        read = image_files.read_packed

        def kill(file, **options):
            if len(decoded) == n_files:
                raise KilledError
            return read(file, **options)

        patch.setattr(image_files, "read_packed", kill)
        with pytest.raises(KilledError):
            prepare.main("train", root=root)
    assert not list((root / "data/prepare/train").iterdir())
    decoded.clear()
    return root / ".resume/prepare/train"


def test_a_killed_run_goes_on_after_its_last_batch_to_the_same_bytes(root, decoded, capsys):
    prepare.main("train", root=root)
    undisturbed, files = outputs(root), decoded.copy()
    for output in OUTPUTS:
        (root / "data/prepare/train" / output).unlink()
    decoded.clear()
    state = kill_after(4, decoded, root)  # b, c (a batch), cut, d
    with (state / "pixels.arrow").open("ab") as pack, (state / "journal.jsonl").open("ab") as journal:
        pack.write(b"half a batch")
        journal.write(b'{"after": 2, "end": 99')
    kill_after(4, decoded, root)  # from cut on; d and e are the next batch
    capsys.readouterr()
    prepare.main("train", root=root)
    assert decoded == files[5:]
    assert outputs(root) == undisturbed
    assert not list(state.iterdir())
    assert f"goes on after 5 of {len(files)} files" in capsys.readouterr().out


@pytest.mark.parametrize("change", ["content", "gone", "new", "setting", "damaged pack", "damaged journal"])
def test_what_changed_after_a_kill_is_decoded_again(root, decoded, change):
    state = kill_after(7, decoded, root)
    if change == "content":
        (root / "c/train/d.jpg").write_bytes((root / "c/train/f.jpg").read_bytes())
    elif change == "gone":
        (root / "c/train/d.jpg").unlink()
    elif change == "new":
        (root / "c/train/a.jpg").write_bytes((root / "c/train/f.jpg").read_bytes())
    elif change == "setting":
        put_params(root, max_megapixels=2)
    elif change == "damaged journal":
        journal = state / "journal.jsonl"
        journal.write_bytes(journal.read_bytes().splitlines(keepends=True)[0] + b'{"end": 0}\n')
    else:
        pack = state / "pixels.arrow"
        pack.write_bytes(bytes(100) + pack.read_bytes()[100:])
    prepare.main("train", root=root)
    assert decoded[0] == {"content": "cut.jpg", "gone": "cut.jpg", "new": "a.jpg"}.get(change, "b.jpg")
    found = outputs(root)
    prepare.main("train", root=root)
    assert outputs(root) == found


def peak_megabytes(root: Path) -> float:
    """Run the stage in a process of its own; return that process's peak memory (a worker holds one image)."""
    code = (
        "import resource, sys; from pathlib import Path; from stages import prepare\n"
        "prepare.main('train', root=Path(sys.argv[1]))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    run = subprocess.run([sys.executable, "-c", code, str(root)], check=True, capture_output=True, text=True)
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kilobytes elsewhere
    return int(run.stdout.splitlines()[-1]) * unit / 1e6


@pytest.fixture(scope="module")
def few_and_many(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    roots = [tmp_path_factory.mktemp("few"), tmp_path_factory.mktemp("many")]
    for root, n in zip(roots, (50, 300), strict=True):
        put_images(root / "c/train", n, side=200)
        put_params(root, short_side=200)
    return roots


@pytest.mark.slow
def test_peak_memory_does_not_grow_with_the_number_of_images(few_and_many, monkeypatch):
    monkeypatch.setenv("PODIUM_PROGRESS", "0")
    monkeypatch.setenv("PODIUM_WORKERS", "2")
    peaks = [peak_megabytes(root) for root in few_and_many]
    packed = few_and_many[1] / "data/prepare/train/pixels.arrow"
    assert packed.stat().st_size > 70e6  # what would have to fit, were it held in memory
    assert peaks[1] - peaks[0] < 20


def test_a_package_that_reads_more_files_is_part_of_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a run that was interrupted would keep its HEIC files as unreadable after pi-heif was installed."""
    monkeypatch.setattr(packing, "_version", lambda library: "")
    before = packing.key(PrepareSettings())
    monkeypatch.setattr(packing, "_version", lambda library: "1" if library == heic.PACKAGES[0] else "")
    assert packing.key(PrepareSettings()) != before
