from typing import Any

import pytest
import timm
import torch
from torch import nn

from podium.core.errors import InputError
from podium.training import schedules


def net() -> nn.Module:
    return timm.create_model("resnet10t", num_classes=2, channels=[8, 8, 8, 8], stem_width=8)


def make(model: nn.Module, **changes: object) -> torch.optim.Optimizer:
    settings = {
        "name": "sgd",
        "lr": 1.0,
        "momentum": 0.9,
        "weight_decay": 0.1,
        "layer_decay": None,
        "head_lr_factor": 1,
    }
    return schedules.build_optimizer(model, **{**settings, **changes})  # type: ignore[arg-type]


def rates(name: str, *, epochs: int = 10, warmup: float = 0, **changes: object) -> list[float]:
    optimizer = make(net())
    settings = {"min_lr": 0.0, "decay_epochs": (), "decay_rate": 0.1, **changes}
    built = schedules.build_scheduler(
        optimizer,
        name=name,
        epochs=epochs,
        updates_per_epoch=4,
        warmup_epochs=warmup,
        **settings,  # type: ignore[arg-type]
    )
    lrs = []
    for step in range(4 * epochs):
        built.step_update(step)
        lrs.append(optimizer.param_groups[0]["lr"])
    return lrs


def test_constant_is_constant() -> None:
    assert set(rates("constant")) == {1.0}


def test_step_falls_at_its_epochs() -> None:
    lrs = rates("step", decay_epochs=(3, 6))
    assert lrs == pytest.approx([1.0] * 12 + [0.1] * 12 + [0.01] * 16)


def test_cosine_falls_to_its_minimum() -> None:
    lrs = rates("cosine", min_lr=0.1)
    assert lrs == sorted(lrs, reverse=True)
    assert lrs[0] == pytest.approx(1.0)
    assert lrs[20] == pytest.approx(0.55)
    assert lrs[-1] == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("name", ["constant", "cosine"])
def test_warm_up_rises_by_the_same_step_from_the_first_update_on(name: str) -> None:
    lrs = rates(name, warmup=1.5)
    assert lrs[:6] == pytest.approx([(step + 1) / 7 for step in range(6)])
    assert lrs[6] > 0.9


@pytest.mark.parametrize(
    ("name", "kwargs", "spared"),
    [
        ("vit_tiny_patch16_224", {"img_size": 32, "depth": 2}, {"pos_embed", "cls_token"}),
        (
            "swin_tiny_patch4_window7_224",
            {"img_size": 56, "depths": (2,), "embed_dim": 24, "num_heads": (3,)},
            {f"layers.0.blocks.{block}.attn.relative_position_bias_table" for block in range(2)},
        ),
    ],
)
def test_position_and_bias_tables_and_class_tokens_do_not_decay(
    name: str, kwargs: dict[str, Any], spared: set[str]
) -> None:
    model = timm.create_model(name, num_classes=2, **kwargs)
    assert spared <= {name for name, _ in model.named_parameters()}
    for layer_decay in (None, 0.5):
        decayed = {
            id(p) for g in make(model, layer_decay=layer_decay).param_groups if g["weight_decay"] for p in g["params"]
        }
        names = {name for name, p in model.named_parameters() if id(p) in decayed}
        assert names
        assert not names & spared


def test_every_parameter_is_in_one_group_and_norms_do_not_decay() -> None:
    model = net()
    for layer_decay in (None, 0.5):
        groups = make(model, layer_decay=layer_decay, head_lr_factor=10).param_groups
        ids = [id(p) for group in groups for p in group["params"]]
        assert sorted(ids) == sorted(id(p) for p in model.parameters())
        for group in groups:
            assert all((p.ndim > 1) == (group["weight_decay"] > 0) for p in group["params"])


def test_layer_decay_and_head_factor_scale_the_schedule() -> None:
    model = net()
    optimizer = make(model, layer_decay=0.5, head_lr_factor=10)
    schedule = schedules.build_scheduler(
        optimizer,
        name="constant",
        epochs=2,
        updates_per_epoch=2,
        warmup_epochs=0,
        min_lr=0,
        decay_epochs=(),
        decay_rate=0.1,
    )
    schedule.step_update(0)
    lr = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    names = dict(model.named_parameters())
    assert lr[id(names["fc.weight"])] == pytest.approx(10)
    assert lr[id(names["conv1.0.weight"])] < lr[id(names["layer4.0.conv1.weight"])] <= 1


def test_unknown_optimizers_and_momentum_without_effect_are_refused() -> None:
    with pytest.raises(InputError, match="nosuch"):
        schedules.check_optimizer("nosuch", None)
    with pytest.raises(InputError, match="momentum"):
        schedules.check_optimizer("adamw", 0.9)
    with pytest.raises(InputError, match="second derivatives"):
        schedules.check_optimizer("adahessian", None)
    schedules.check_optimizer("sgd", 0.9)
