"""NumPy arrays, DICOM and images of other channels than three."""

import io
import json
import time
import zlib
from typing import Any

import cv2
import numpy as np
import pydicom
import pytest
import torch
from PIL import Image
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from podium.core import pixels
from podium.images import decoders, dicom
from podium.images.arrays import Scaling
from podium.images.decode import DecodedImage
from podium.models import backbones
from podium.models.preprocessing import Preprocessing

RAMP = np.arange(12 * 16, dtype=np.int64).reshape(12, 16)


def read(data: bytes, name: str = "x", **changes: Any) -> DecodedImage:
    settings = {"short_side": 100, "max_megapixels": 1, "bit_depth": 16, "channels": 3, "value_range": None}
    found = decoders.decode_file(io.BytesIO(data), name=name, scaling=Scaling(**(settings | changes)))
    facts = {name: value for name, value in vars(found).items() if name != "pixels"}
    assert json.loads(json.dumps(facts)) == facts  # `prepare` keeps them in its journal
    return found


def shown(data: bytes, **changes: Any) -> np.ndarray:
    found = read(data, **changes)
    assert (found.problem, found.pixels is None) == ("", False)
    assert (found.height, found.width) == found.pixels.shape[:2] or "short_side" in changes
    return found.pixels


def npy(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def coded(frames: list[Image.Image], kind: str) -> bytes:
    buffer = io.BytesIO()
    frames[0].save(buffer, kind, **({"save_all": True, "append_images": frames[1:]} if len(frames) > 1 else {}))
    return buffer.getvalue()


def dcm(values: np.ndarray, photometric: str = "MONOCHROME2", bits: int = 12, **tags: Any) -> bytes:
    """A DICOM file of one grey or RGB image, or of grey frames."""
    data = pydicom.Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    data.SOPClassUID, data.SOPInstanceUID = SecondaryCaptureImageStorage, data.file_meta.MediaStorageSOPInstanceUID
    colour = photometric == "RGB"
    if values.ndim == 3 and not colour:
        data.NumberOfFrames = len(values)
    data.Rows, data.Columns = values.shape[:2] if colour else values.shape[-2:]
    data.SamplesPerPixel, data.PhotometricInterpretation = 3 if colour else 1, photometric
    if colour:
        data.PlanarConfiguration = 0
    data.BitsAllocated, data.BitsStored, data.HighBit = (8, 8, 7) if bits == 8 else (16, bits, bits - 1)
    data.PixelRepresentation = int(values.min() < 0)
    data.file_meta.TransferSyntaxUID = tags.pop("syntax", ExplicitVRLittleEndian)
    for name, value in tags.items():
        setattr(data, name, value)
    data.PixelData = values.astype("<u1" if bits == 8 else "<i2" if values.min() < 0 else "<u2").tobytes()
    buffer = io.BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def test_an_array_of_bytes_keeps_its_values_in_either_order_of_axes() -> None:
    values = np.random.default_rng(0).integers(0, 256, (12, 16, 6), dtype=np.uint8)
    for written in (values, np.moveaxis(values, -1, 0)):
        np.testing.assert_array_equal(shown(npy(written), channels=6), values)
    np.testing.assert_array_equal(shown(npy(values[..., 0])), np.repeat(values[..., :1], 3, axis=2))
    np.testing.assert_array_equal(shown(npy(values[..., 0]), channels=1), values[..., :1])
    assert "6 channels, and prepare.channels is 2" in read(npy(values), channels=2).problem


def test_values_are_scaled_by_the_setting_or_by_the_bit_depth_or_by_their_own_extremes() -> None:
    values = RAMP.astype(np.float16)
    own = shown(npy(values), channels=1)
    assert (own.min(), own.max()) == (0, 255)
    wider = shown(npy(values), channels=1, value_range=(-191.0, 191.0))
    np.testing.assert_allclose(wider[..., 0], (RAMP + 191) / 382 * 255, atol=0.5001)
    deep = read(npy((RAMP * 21).astype(np.uint16)), channels=1, bit_depth=12)
    assert deep.bits == 12
    np.testing.assert_allclose(deep.pixels[..., 0], RAMP * 21 / 4095 * 255, atol=0.5001)
    assert "not finite" in read(npy(np.full((4, 4), np.nan))).problem


def test_a_large_or_damaged_array_is_a_problem_and_no_objects_are_loaded() -> None:
    assert "max_megapixels" in read(npy(np.zeros((2000, 600), np.uint8))).problem
    assert "damaged" in read(npy(RAMP)[:-9]).problem
    assert "save numbers" in read(npy(np.array([[{}]], dtype=object))).problem
    promise = io.BytesIO()
    np.lib.format.write_array_header_1_0(promise, {"descr": "|u1", "fortran_order": False, "shape": (9, 9, 10**12)})
    assert "prepare.channels is 3" in read(promise.getvalue()).problem
    assert "shape (3,)" in read(npy(np.zeros(3))).problem


def test_a_shrunk_image_of_many_channels_is_the_mean_of_each() -> None:
    values = np.random.default_rng(0).integers(0, 256, (40, 60, 7), dtype=np.uint8)
    means = values.reshape(20, 2, 30, 2, 7).mean(axis=(1, 3))
    assert np.abs(shown(npy(values), channels=7, short_side=20) - means).max() <= 0.51


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("LA", 2), ("RGBA", 4), ("CMYK", 4)])
def test_an_image_keeps_its_channels(mode: str, channels: int) -> None:
    values = np.random.default_rng(0).integers(0, 256, (12, 16, channels), dtype=np.uint8)
    image = Image.fromarray(values if channels > 1 else values[..., 0], mode if channels > 1 else None)
    np.testing.assert_array_equal(shown(coded([image], "TIFF" if mode == "CMYK" else "PNG"), channels=channels), values)


def test_grey_of_16_bits_colours_as_grey_and_a_stack_of_frames() -> None:
    deep = Image.fromarray((RAMP * 21).astype(np.uint16))
    np.testing.assert_allclose(
        shown(coded([deep], "PNG"), channels=1, bit_depth=12)[..., 0], RAMP / 195 * 255, atol=0.6
    )
    red = Image.new("RGB", (9, 8), "red")
    assert shown(coded([red], "PNG"), channels=1).shape == (8, 9, 1)
    frames = [Image.fromarray((RAMP + at).astype(np.uint8)) for at in range(5)]
    np.testing.assert_array_equal(shown(coded(frames, "TIFF"), channels=5), RAMP[..., None] + np.arange(5))
    assert "has 3 channels (RGB), and prepare.channels is 4" in read(coded([red], "PNG"), channels=4).problem


@pytest.mark.parametrize("ending", [".png", ".tiff"])
def test_colours_of_16_bits_are_read_in_16_bits_whatever_the_channels(ending: str) -> None:
    values = np.random.default_rng(0).integers(0, 4096, (12, 16, 4), dtype=np.uint16)
    rgba, bgra = values, values[..., [2, 1, 0, 3]]
    found = read(cv2.imencode(ending, bgra)[1].tobytes(), channels=4, bit_depth=12)
    assert found.bits == 12
    np.testing.assert_allclose(found.pixels, rgba / 4095 * 255, atol=0.5001)
    grey = shown(cv2.imencode(ending, bgra[..., :3])[1].tobytes(), channels=1, bit_depth=12)
    np.testing.assert_allclose(grey[..., 0], rgba[..., :3] @ [0.299, 0.587, 0.114] / 4095 * 255, atol=0.6)
    assert "prepare.channels is 6" in read(cv2.imencode(ending, bgra)[1].tobytes(), channels=6).problem


def test_transparency_is_laid_on_white_before_it_becomes_grey() -> None:
    colours = np.zeros((12, 16, 4), np.uint8)
    colours[:6, :, 3] = 255
    colours[6:, :, 1] = 60
    assert set(shown(coded([Image.fromarray(colours)], "PNG"), channels=1)[..., 0].ravel()) == {0, 255}


def test_bytes_stay_beside_a_range_for_other_values() -> None:
    values = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    np.testing.assert_array_equal(shown(npy(values), value_range=(-1000.0, 400.0)), values)
    deep = shown(npy(RAMP.astype(np.uint16)), channels=1, bit_depth=12, value_range=(0.0, 191.0))
    np.testing.assert_allclose(deep[..., 0], RAMP / 191 * 255, atol=0.5001)


def test_a_window_decides_what_is_black_and_white() -> None:
    plain = shown(dcm(RAMP), channels=1)[..., 0]
    assert (plain.min(), plain.max()) == (0, 255)
    windowed = shown(dcm(RAMP, WindowCenter="100.5", WindowWidth="51"), channels=1)[..., 0]
    np.testing.assert_allclose(windowed, np.clip((RAMP - 75) / 50, 0, 1) * 255, atol=0.51)  # PS3.3 C.11.2.1.2.1
    exact = shown(
        dcm(RAMP, WindowCenter=["100", "7"], WindowWidth=["50", "7"], VOILUTFunction="LINEAR_EXACT"), channels=1
    )
    np.testing.assert_allclose(exact[..., 0], np.clip((RAMP - 75) / 50, 0, 1) * 255, atol=0.51)
    curved = shown(dcm(RAMP, WindowCenter="100", WindowWidth="50", VOILUTFunction="SIGMOID"), channels=1)
    np.testing.assert_allclose(curved[..., 0], 255 / (1 + np.exp(-4 * (RAMP - 100) / 50)), atol=0.51)


def test_rescaled_values_and_a_setting_in_their_units() -> None:
    data = dcm(RAMP - 50, bits=16, RescaleSlope="2", RescaleIntercept="-1000", WindowCenter="0", WindowWidth="9")
    units = (RAMP - 50) * 2.0 - 1000
    by_setting = shown(data, channels=1, value_range=(-1100.0, -700.0))[..., 0]
    np.testing.assert_allclose(by_setting, np.clip((units + 1100) / 400, 0, 1) * 255, atol=0.51)


def test_monochrome1_is_inverted_and_grey_becomes_rgb() -> None:
    usual, inverted = (shown(dcm(RAMP, kind)) for kind in ("MONOCHROME2", "MONOCHROME1"))
    np.testing.assert_allclose(usual.astype(int) + inverted, 255, atol=1)
    assert usual.shape == (12, 16, 3)


def test_colours_and_frames_of_dicom() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    np.testing.assert_array_equal(shown(dcm(colours, "RGB", bits=8)), colours)
    frames = np.stack([RAMP, RAMP + 50])
    assert shown(dcm(frames), channels=2).shape == (12, 16, 2)
    assert "first of several frames" in read(dcm(frames)).note


def test_deflated_dicom_is_refused_before_it_is_unpacked() -> None:
    data = dcm(RAMP, syntax=DeflatedExplicitVRLittleEndian)
    assert "dcmconv" in read(data).problem
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    zeros = packer.compress(bytes(10**6)) + packer.flush(zlib.Z_FULL_FLUSH)
    bomb = data[: 144 + int.from_bytes(data[140:144], "little")] + zeros * 2000 + packer.flush()
    started = time.process_time()
    assert "dcmconv" in read(bomb).problem
    assert time.process_time() - started < 1


def test_dicom_without_pydicom_or_without_an_image_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    data = dcm(RAMP)
    assert "damaged" in read(data[:-9]).problem or "cannot be decoded" in read(data[:-9]).problem
    monkeypatch.setattr(dicom, "is_installed", lambda: False)
    assert "extra `dicom`" in read(data).problem
    assert "extra `dicom`" in decoders.lacking(["a/b.DCM"])
    assert decoders.lacking(["a.png"]) == ""


def test_a_pack_holds_any_number_of_channels_and_shows_them_as_rgb(tmp_path: Any) -> None:
    rng = np.random.default_rng(0)
    for channels in (1, 2, 3, 4, 6):
        image = rng.integers(0, 256, (5, 7, channels), dtype=np.uint8)
        with pixels.Writer(tmp_path / "p", encoding="raw") as writer:
            writer.add("a", image)
        np.testing.assert_array_equal(pixels.open_pack(tmp_path / "p")["a"], image)
        rgb = pixels.open_rgb(tmp_path / "p")["a"]
        assert (rgb.shape, rgb.dtype) == ((5, 7, 3), np.uint8)
        if channels == 3:
            np.testing.assert_array_equal(rgb, image)


@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
@pytest.mark.parametrize("channels", [1, 3, 6])
def test_each_channel_is_resized_and_normalised_by_itself(resize: str, channels: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 60, channels), dtype=np.uint8)
    mean = tuple(0.1 * (at + 1) for at in range(channels))
    whole = Preprocessing(mean, mean, resize).to_size(image, 30)
    assert whole.shape == (30, 30, channels)
    for at in range(channels):
        alone = Preprocessing(mean[at : at + 1], mean[at : at + 1], resize).to_size(image[..., at : at + 1], 30)
        np.testing.assert_allclose(whole[..., at : at + 1].astype(int), alone, atol=1)  # OpenCV rounds in its own way
    normalised = Preprocessing(mean, mean).normalise(torch.from_numpy(whole.transpose(2, 0, 1)[None].copy()))
    expected = (whole / 255 - mean) / mean
    np.testing.assert_allclose(normalised[0].numpy().transpose(1, 2, 0), expected, atol=1e-4)


def test_pretrained_rgb_weights_fit_other_channels() -> None:
    rgb = backbones.create("resnet10t", n_classes=0, model_kwargs={}).state_dict()
    for channels in (1, 6):
        model = backbones.create("resnet10t", n_classes=0, model_kwargs={"in_chans": channels})
        adapted = backbones.with_channels(model, rgb)
        backbones.load(model, adapted, "w")
        changed = [name for name in rgb if rgb[name].shape != adapted[name].shape]
        assert changed == ["conv1.0.weight"]
        grey = torch.rand(1, 1, 32, 32)
        same = backbones.create("resnet10t", n_classes=0, model_kwargs={}).eval()
        same.load_state_dict(rgb)
        with torch.inference_mode():  # an image whose channels are all alike gives what it gives in RGB
            ours, theirs = model.eval()(grey.repeat(1, channels, 1, 1)), same(grey.repeat(1, 3, 1, 1))
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-3)
    assert list(backbones.per_channel((0.1, 0.2, 0.3), 1)) == [pytest.approx(0.2)]
    assert backbones.per_channel((0.1, 0.2, 0.3), 4) == (0.1, 0.2, 0.3, 0.1)
