import json
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
from torch import nn

from podium.core.errors import InputError
from podium.models import backbones

SMALL = {"channels": [8, 8, 8, 8], "stem_width": 8}


def net(n_classes: int | None = 3) -> nn.Module:
    return backbones.create("resnet10t", n_classes=n_classes, model_kwargs=SMALL)


def test_weights_come_back_as_they_were_saved_and_in_the_same_bytes(tmp_path: Path) -> None:
    model = net()
    meta = {"b": [1.5], "a": "福", "c": {"d": None}}
    for name in ("one", "two"):
        backbones.save(tmp_path / f"{name}.safetensors", model, meta)
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()
    read = backbones.read(tmp_path / "one.safetensors")
    assert read.meta == meta
    other = net()
    assert backbones.load(other, read.state, "x") == ""
    for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("source_classes", [1000, 0])
def test_a_head_of_another_shape_is_replaced_with_a_message(source_classes: int) -> None:
    model, source = net(), net(source_classes)
    head = model.state_dict()["fc.weight"].clone()
    message = backbones.load(model, source.state_dict(), "w.pth")
    assert "new head" in message
    assert "w.pth" in message
    assert torch.equal(model.state_dict()["fc.weight"], head)
    assert torch.equal(model.state_dict()["conv1.0.weight"], source.state_dict()["conv1.0.weight"])


def test_a_head_of_the_same_shape_is_loaded() -> None:
    source = net()
    model = net()
    assert backbones.load(model, source.state_dict(), "w") == ""
    assert torch.equal(model.state_dict()["fc.weight"], source.state_dict()["fc.weight"])


def test_any_other_difference_is_an_error_that_lists_the_keys() -> None:
    state = net().state_dict()
    del state["conv1.0.weight"]
    state["extra.weight"] = torch.zeros(1)
    state["bn1.weight"] = torch.zeros(99)
    with pytest.raises(InputError) as raised:
        backbones.load(net(), state, "w.pth")
    for word in ("w.pth", "missing (1): conv1.0.weight", "unexpected (1): extra.weight", "bn1.weight (99,) for (16,)"):
        assert word in str(raised.value)


def test_a_failed_load_leaves_the_model_as_it_was() -> None:
    model = net()
    before = model.state_dict()["bn1.weight"].clone()
    state = {**net().state_dict(), "extra": torch.zeros(1), "bn1.weight": torch.zeros(16)}
    with pytest.raises(InputError):
        backbones.load(model, state, "w")
    assert torch.equal(model.state_dict()["bn1.weight"], before)


def test_a_pth_that_would_run_code_is_refused_unrun(tmp_path: Path) -> None:
    marker = tmp_path / "ran"

    class Local:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return (Path.touch, (marker,))

    torch.save({"state_dict": Local()}, tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"w\.pth: cannot be read as weights"):
        backbones.read_file(tmp_path / "w.pth")
    assert not marker.exists()


def test_pth_and_safetensors_hold_the_same_weights(tmp_path: Path) -> None:
    state = net().state_dict()
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "w.pth")
    safetensors.torch.save_file(state, str(tmp_path / "w.safetensors"), metadata={"mean": "[0.1, 0.2, 0.3]"})
    for name in ("w.pth", "w.safetensors"):
        read, metadata = backbones.read_file(tmp_path / name)
        assert all(torch.equal(read[k], v) for k, v in state.items())
        assert metadata == ({} if name.endswith("pth") else {"mean": "[0.1, 0.2, 0.3]"})


@pytest.mark.parametrize(
    ("name", "content"), [("w.pth", b"no"), ("w.safetensors", b"no"), ("w.onnx", b""), ("no.pth", None)]
)
def test_a_file_that_holds_no_weights_is_named(tmp_path: Path, name: str, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=name.replace(".", r"\.")):
        backbones.read_file(tmp_path / name)


def test_mean_and_std_must_be_given_once() -> None:
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.5, 0.5)
    stored = {"mean": json.dumps(mean), "std": json.dumps(std)}
    assert backbones.mean_and_std(mean, std, {}, "k") == (mean, std)
    assert backbones.mean_and_std(None, None, stored, "k") == (list(mean), list(std))
    assert backbones.mean_and_std(mean, std, stored, "k") == (mean, std)
    with pytest.raises(InputError, match=r"k: .* mean and std"):
        backbones.mean_and_std(None, None, {}, "k")
    with pytest.raises(InputError, match="differ"):
        backbones.mean_and_std(std, std, stored, "k")


@pytest.mark.parametrize("text", ["[0.5]", "0.5", "0.5 0.5 0.5", "[123.7, 1, 1]", "[null, 0, 0]"])
def test_a_mean_that_is_no_three_numbers_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="not a JSON list of 3 numbers"):
        backbones.mean_and_std(None, None, {"mean": text, "std": "[0.5, 0.5, 0.5]"}, "k")


def test_an_unknown_backbone_or_argument_is_named() -> None:
    with pytest.raises(InputError, match=r"resnet10x.*resnet10t"):
        backbones.create("resnet10x", n_classes=2, model_kwargs={})
    with pytest.raises(InputError, match="no_such"):
        backbones.create("resnet10t", n_classes=2, model_kwargs={"no_such": 1})


def test_without_the_hub_the_error_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    create = timm.create_model

    def offline(name: str, pretrained: bool = False, **kwargs: object) -> nn.Module:
        if pretrained:
            raise OSError("no route to the hub")
        return create(name, pretrained=False, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(InputError, match=r"no route.*weights: file"):
        backbones.from_hub("resnet10t", {})
