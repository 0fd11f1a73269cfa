"""The pack: what goes in comes out, without a copy, from any process; same images, same bytes."""

import errno
import multiprocessing
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podium.core import pixels
from podium.core.errors import InputError


def images(n: int = 5) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = [(3 + i, 40 - 2 * i, 3) for i in range(n)]
    return {f'sub/{9 - i} ä,".png': rng.integers(0, 256, shape, dtype=np.uint8) for i, shape in enumerate(shapes)}


def pack(path: Path, arrays: dict[str, np.ndarray], encoding: str = "raw") -> pixels.PixelPack:
    with pixels.Writer(path, encoding=encoding) as writer:
        for image_id, image in arrays.items():
            writer.add(image_id, image)
    return pixels.open_pack(path)


def test_raw_pixels_come_back_as_read_only_views(tmp_path):
    packed = pack(tmp_path / "a" / "p.arrow", images())
    assert packed.image_ids == sorted(images())
    assert len(packed) == 5
    assert "sub" not in packed
    for image_id, image in images().items():
        assert image_id in packed
        np.testing.assert_array_equal(packed[image_id], image)
        assert not packed[image_id].flags.writeable
        assert not packed[image_id].flags.owndata
        assert np.shares_memory(packed[image_id], packed[image_id])


def test_jpeg_is_close_rgb_and_smaller(tmp_path):
    ramp = np.stack(np.broadcast_arrays(np.arange(200)[:, None], np.arange(90)[None], 30), axis=2).astype(np.uint8)
    packed = pack(tmp_path / "p.arrow", {"a": ramp}, "jpeg")
    assert packed["a"].shape == ramp.shape
    assert np.abs(packed["a"].astype(int) - ramp).max() < 9
    assert packed.path.stat().st_size < ramp.size / 4


def test_a_side_that_jpeg_cannot_hold_stays_raw(tmp_path):
    line = np.arange(70_000, dtype=np.uint32)[:, None, None].repeat(3, 2).astype(np.uint8)
    np.testing.assert_array_equal(pack(tmp_path / "p.arrow", {"a": line}, "jpeg")["a"], line)


@settings(max_examples=15, deadline=None)
@given(shapes=st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), max_size=12), batch=st.integers(1, 2000))
def test_batches_of_any_size_hold_the_same_images(tmp_path_factory, shapes, batch):
    rng = np.random.default_rng(1)
    arrays = {str(i): rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for i, shape in enumerate(shapes)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pixels, "BATCH_BYTES", batch)
        packed = pack(tmp_path_factory.mktemp("p") / "p.arrow", arrays)
    assert packed.image_ids == sorted(arrays)
    for image_id, image in arrays.items():
        np.testing.assert_array_equal(packed[image_id], image)


@pytest.mark.parametrize("encoding", ["raw", "jpeg"])
def test_same_images_same_bytes(tmp_path, encoding):
    first, second = (pack(tmp_path / f"{i}.arrow", images(), encoding).path.read_bytes() for i in range(2))
    assert first == second


def test_an_unknown_id_is_named(tmp_path):
    with pytest.raises(InputError, match=r"p.arrow: has no image gone\.png"):
        pack(tmp_path / "p.arrow", images())["gone.png"]


def test_pickling_carries_the_path_alone_and_survives_a_change_of_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    packed = pack(Path("p.arrow"), images())
    data = pickle.dumps(packed)
    assert len(data) < 500
    monkeypatch.chdir("/")
    again = pickle.loads(data)
    np.testing.assert_array_equal(again['sub/9 ä,".png'], images()['sub/9 ä,".png'])


def test_worker_processes_read_the_same(tmp_path):
    packed = pack(tmp_path / "p.arrow", images())
    with multiprocessing.get_context("forkserver").Pool(1) as pool:
        read = pool.map(packed.__getitem__, packed.image_ids)
    for image_id, image in zip(packed.image_ids, read, strict=True):
        np.testing.assert_array_equal(image, images()[image_id])


def test_an_empty_pack(tmp_path):
    packed = pack(tmp_path / "p.arrow", {})
    assert (packed.image_ids, len(packed)) == ([], 0)


def test_an_error_leaves_what_was_there(tmp_path):
    path = tmp_path / "p.arrow"
    pack(path, images())
    before = path.read_bytes()
    with pytest.raises(ValueError, match="b: pixels must be"):
        pack(path, {"a": np.zeros((2, 2, 3), np.uint8), "b": np.zeros(3)})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "image",
    [np.zeros((2, 2), np.uint8), np.zeros((2, 2, 3)), np.zeros((0, 2, 3), np.uint8)],
)
def test_other_arrays_are_refused(tmp_path, image):
    with pytest.raises(ValueError, match="a: pixels must be"), pixels.Writer(tmp_path / "p", encoding="raw") as writer:
        writer.add("a", image)


def test_an_image_is_added_once(tmp_path):
    with pixels.Writer(tmp_path / "p", encoding="raw") as writer:
        writer.add("a", np.zeros((2, 2, 3), np.uint8))
        with pytest.raises(ValueError, match="a: added twice"):
            writer.add("a", np.zeros((2, 2, 3), np.uint8))


def test_what_is_no_pack_is_named(tmp_path):
    with pytest.raises(InputError, match=r"gone\.arrow: not found"):
        pixels.open_pack(tmp_path / "gone.arrow")
    for data in (b"", b"not an arrow file", pack(tmp_path / "p.arrow", images()).path.read_bytes()[:-40]):
        (tmp_path / "bad.arrow").write_bytes(data)
        with pytest.raises(InputError, match=r"bad\.arrow: is no pack"):
            pixels.open_pack(tmp_path / "bad.arrow")


def test_a_pack_that_the_memory_cannot_map_is_not_called_broken(tmp_path, monkeypatch):
    def refuse(path):
        raise OSError(f"Memory mapping file failed: {os.strerror(errno.ENOMEM)}")

    monkeypatch.setattr(pixels, "PixelPack", refuse)
    with pytest.raises(InputError, match=r"p\.arrow: too little memory"):
        pixels.open_pack(tmp_path / "p.arrow")
