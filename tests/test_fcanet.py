from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import scipy.fft
import timm
import torch
import torchvision
from timm.layers import SEModule
from timm.optim import create_optimizer_v2
from torch import nn

from podium.core.errors import InputError
from podium.models import backbones
from podium.models.families import fcanet

MEAN_ALONE = ((0, 0),)
NARROW = {"num_classes": 5, "channels": (32, 32, 32, 32)}  # the same depth, a fraction of the time


@pytest.fixture(autouse=True, scope="module")
def _registered() -> None:
    fcanet.register()
    fcanet.register()  # twice is once


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model("fcanet50", **NARROW, drop_path_rate=0.1).eval()


def released_state(layers: int, n_classes: int) -> dict[str, torch.Tensor]:
    """Random weights under the names and shapes of the authors' files: torchvision's, and the attention's."""
    resnet = getattr(torchvision.models, f"resnet{layers}")(num_classes=n_classes)
    state = dict(resnet.state_dict())
    for key, tensor in resnet.state_dict().items():
        last = "conv2.weight" if layers == 34 else "conv3.weight"
        if key.endswith(last):
            block, channels = key.removesuffix(last), len(tensor)
            grid = (56, 28, 14, 7)[int(block[len("layer")]) - 1]
            state[f"{block}att.dct_layer.weight"] = torch.randn(channels, grid, grid)
            state[f"{block}att.fc.0.weight"] = torch.randn(channels // 16, channels)
            state[f"{block}att.fc.2.weight"] = torch.randn(channels, channels // 16)
    return state


@pytest.mark.parametrize("grid", fcanet.GRIDS)
def test_each_channel_sees_its_coefficient_of_scipys_transform(grid: int) -> None:
    maps = np.random.default_rng(grid).normal(size=(32, grid, grid))
    spectra = scipy.fft.dctn(maps, axes=(1, 2), norm="ortho")
    seen = (fcanet.dct_weights(32, grid).numpy() * maps).sum(axis=(1, 2))
    scale = grid // 7
    wanted = [spectra[c, v * scale, h * scale] for c, (v, h) in enumerate(np.repeat(fcanet.FREQUENCIES, 2, axis=0))]
    np.testing.assert_allclose(seen, wanted, atol=1e-12)


@pytest.mark.parametrize("grid", fcanet.GRIDS)
def test_each_wave_is_scipys_inverse_transform_of_one_coefficient(grid: int) -> None:
    for wave, (v, h) in zip(fcanet.dct_weights(16, grid).numpy(), fcanet.FREQUENCIES, strict=True):
        spectrum = np.zeros((grid, grid))
        spectrum[v * grid // 7, h * grid // 7] = 1
        np.testing.assert_allclose(wave, scipy.fft.idctn(spectrum, norm="ortho"), atol=1e-12)


def test_channels_that_cannot_be_divided_are_refused() -> None:
    with pytest.raises(ValueError, match="24 channels"):
        fcanet.dct_weights(24, 7)


@pytest.mark.parametrize("grid", fcanet.GRIDS)
def test_the_lowest_frequency_alone_gives_the_mean_times_the_grid(grid: int) -> None:
    x = torch.randn(2, 4, grid, grid)
    pooled = fcanet.MultiSpectralPooling(4, grid, MEAN_ALONE)(x)
    torch.testing.assert_close(pooled, grid * x.mean(dim=(2, 3)))


@pytest.mark.parametrize("size", [14, 28])  # the grid, and a map whose pooling keeps the mean
def test_with_the_lowest_frequency_alone_it_is_squeeze_and_excitation(size: int) -> None:
    ours = fcanet.FrequencyAttention(64, 14, MEAN_ALONE)
    theirs = SEModule(64, rd_channels=4, bias=False)
    theirs.fc1.weight.data = 14 * ours.fc[0].weight.data[:, :, None, None]
    theirs.fc2.weight.data = ours.fc[2].weight.data[:, :, None, None]
    x = torch.randn(3, 64, size, size)
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("size", [(7, 7), (14, 14), (24, 32), (3, 5), (19, 19)])
def test_another_size_is_seen_as_if_average_pooled_to_the_grid(size: tuple[int, int]) -> None:
    pooling = fcanet.MultiSpectralPooling(16, 14)
    x = torch.randn(2, 16, *size)
    torch.testing.assert_close(pooling(x), pooling(nn.functional.adaptive_avg_pool2d(x, 14)), atol=1e-5, rtol=1e-5)


def test_autocast_leaves_the_waves_in_full_precision() -> None:
    pooling = fcanet.MultiSpectralPooling(16, 14)
    x = torch.randn(2, 16, 19, 19)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        seen = pooling(x)
    assert torch.equal(seen, pooling(x))


@pytest.mark.parametrize(("name", "millions"), [("fcanet50", 28.07), ("fcanet101", 49.29)])
def test_models_have_the_papers_number_of_parameters_on_the_meta_device(name: str, millions: float) -> None:
    with torch.device("meta"):
        model = timm.create_model(name)
        assert model(torch.zeros(2, 3, 40, 72)).shape == (2, 1000)
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.005)


@pytest.mark.parametrize(("name", "layers"), [("fcanet34", 34), ("fcanet50", 50), ("fcanet101", 101)])
def test_a_state_dict_of_the_released_form_loads_strictly(tmp_path: Path, name: str, layers: int) -> None:
    torch.save(released_state(layers, n_classes=10), tmp_path / "fca.pth")
    state = torch.load(tmp_path / "fca.pth", weights_only=True)
    with torch.device("meta"):
        model = timm.create_model(name, num_classes=10)
    model.load_state_dict(state, strict=True, assign=True)
    assert {k: v.shape for k, v in model.state_dict().items()} == {k: v.shape for k, v in state.items()}


def test_the_deepest_one_is_torchvisions_resnet_and_the_attention_on_the_meta_device() -> None:
    with torch.device("meta"):
        ours, theirs = timm.create_model("fcanet152"), torchvision.models.resnet152()
    shapes = {k: v.shape for k, v in ours.state_dict().items() if ".att." not in k}
    assert shapes == {k: v.shape for k, v in theirs.state_dict().items()}


@pytest.mark.parametrize("layers", [34, 50])
def test_with_constant_factors_it_is_torchvisions_resnet(layers: int) -> None:
    """The sigmoid of 0 is a half: the attention then halves what the last batch norm gives."""
    ours = timm.create_model(f"fcanet{layers}", num_classes=5).eval()
    state = {k: torch.zeros_like(v) if k.endswith("att.fc.2.weight") else v for k, v in ours.state_dict().items()}
    ours.load_state_dict(state)
    theirs = getattr(torchvision.models, f"resnet{layers}")(num_classes=5).eval()
    last = ("bn2.weight", "bn2.bias") if layers == 34 else ("bn3.weight", "bn3.bias")
    halved = {k: v / 2 if k.endswith(last) else v for k, v in state.items() if ".att." not in k}
    theirs.load_state_dict(halved)
    x = torch.randn(2, 3, 64, 96)
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("size", [96, 128, 224, 250])
def test_it_takes_images_of_any_size(model: nn.Module, size: int) -> None:
    with torch.inference_mode():
        features = model.forward_features(torch.randn(1, 3, size, size))
        assert features.shape == (1, 128, -(-size // 32), -(-size // 32))
        assert model.forward_head(features).isfinite().all()


def test_gradients_reach_every_parameter() -> None:
    torch.manual_seed(0)
    model = timm.create_model("fcanet50", **NARROW)
    for checkpointing in (False, True):
        model.zero_grad()
        model.set_grad_checkpointing(checkpointing)
        model(torch.randn(2, 3, 64, 64)).square().sum().backward()
        unmoved = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
        assert not unmoved


def test_the_seed_gives_the_weights() -> None:
    def drawn(seed: int) -> Iterator[torch.Tensor]:
        torch.manual_seed(seed)
        return iter(timm.create_model("fcanet50", **NARROW).state_dict().values())

    assert all(torch.equal(a, b) for a, b in zip(drawn(3), drawn(3), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(drawn(3), drawn(4), strict=True))


def test_it_has_the_handles_of_a_timm_model() -> None:
    model = timm.create_model("fcanet50", **NARROW, in_chans=1)
    assert model.get_classifier() is model.fc
    assert model.pretrained_cfg["classifier"] == "fc"
    assert model.pretrained_cfg["mean"] == pytest.approx((0.485, 0.456, 0.406))
    assert model.pretrained_cfg["std"] == pytest.approx((0.229, 0.224, 0.225))
    model.reset_classifier(7)
    assert model(torch.randn(2, 1, 32, 32)).shape == (2, 7)


def test_the_lr_decays_layer_by_layer(model: nn.Module) -> None:
    optimizer = create_optimizer_v2(model, opt="sgd", lr=0.1, layer_decay=0.5)
    scale = {id(p): group["lr_scale"] for group in optimizer.param_groups for p in group["params"]}
    names = ("conv1.weight", "layer1.0.att.fc.0.weight", "layer1.0.conv1.weight", "layer4.2.conv1.weight", "fc.weight")
    stem, attention, first, last, head = (scale[id(model.get_parameter(name))] for name in names)
    assert stem < attention == first < last < head == 1
    assert len(scale) == sum(1 for _ in model.parameters())


@pytest.mark.parametrize("layers", [34, 50, 101, 152])
def test_the_hub_is_the_authors_release(layers: int) -> None:
    config = timm.get_pretrained_cfg(f"fcanet{layers}")
    assert config.url == f"https://github.com/cfzd/FcaNet/releases/download/v1.0/fca{layers}.pth"
    assert config.has_weights


def released_in_the_cache(monkeypatch: pytest.MonkeyPatch, folder: Path, content: object) -> None:
    """Put a file where torch would have downloaded it."""
    monkeypatch.setenv("TORCH_HOME", str(folder))
    path = folder / "hub/checkpoints/fca50.pth"
    path.parent.mkdir(parents=True)
    torch.save(content, path)


def test_the_hubs_weights_come_from_the_released_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    narrow = {"channels": (32, 32, 32, 32)}
    torch.manual_seed(3)
    state = timm.create_model("fcanet50", **narrow).state_dict()
    released_in_the_cache(monkeypatch, tmp_path, state)
    model, config = backbones.from_hub("fcanet50", narrow)
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert config["mean"] == pytest.approx((0.485, 0.456, 0.406))


@pytest.mark.parametrize("content", [{"a": 1}, OSError("not tensors")])
def test_a_released_file_of_other_things_is_refused_and_not_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: object
) -> None:
    released_in_the_cache(monkeypatch, tmp_path, content)
    with pytest.raises(InputError, match="weights_file"):
        backbones.from_hub("fcanet50", {"channels": (32, 32, 32, 32)})
