from typing import Any

import pytest
import timm
import torch
from timm.layers import convert_sync_batchnorm
from torch import nn

from podium.core.errors import InputError
from podium.models import devices
from podium.models.devices import Numerics
from podium.models.preprocessing import Preprocessing
from podium.training import loop, losses, mixup, recomputing, schedules

NUMERICS = Numerics(torch.device("cpu"))
HALF = (0.5, 0.5, 0.5)


def net() -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model("resnet10t", num_classes=2, channels=[8, 8, 8, 8], stem_width=8)


def batches(n: int, batch: int = 4) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    made = []
    for _ in range(n):
        targets = torch.arange(batch) % 2
        images = torch.randint(0, 100, (batch, 3, 32, 32), generator=generator, dtype=torch.uint8)
        made.append((images + 120 * targets.view(-1, 1, 1, 1).to(torch.uint8), targets))
    return made


def fit(model: nn.Module, stream: list[Any], **changes: Any) -> tuple[nn.Module, list[loop.Epoch]]:
    settings = {"epochs": 2, "steps_per_epoch": len(stream) // 2, "frozen": "nothing", "lr": 0.01, **changes}
    lr, name, layer_decay = settings.pop("lr"), settings.pop("optimizer", "adamw"), settings.pop("layer_decay", None)
    loop.set_mode(model, settings["frozen"])
    optimizer = schedules.build_optimizer(
        model, name=name, lr=lr, momentum=None, weight_decay=0.0, layer_decay=layer_decay, head_lr_factor=1.0
    )
    scheduler = schedules.build_scheduler(
        optimizer,
        name="constant",
        epochs=settings["epochs"],
        updates_per_epoch=settings["steps_per_epoch"],
        warmup_epochs=0,
        min_lr=0.0,
        decay_epochs=(),
        decay_rate=0.1,
    )
    epochs_done: list[loop.Epoch] = []
    fixed = {"accumulate": 1, "clip_grad": None, "ema_decay": None, "head_only_epochs": 0, "compiled": False, "seed": 0}
    fixed |= {"average_epochs": 1}
    final = loop.fit(
        model,
        iter(stream),
        optimizer=optimizer,
        scheduler=scheduler,
        loss=losses.SoftTargetLoss(None, 0.0),
        mix=settings.pop("mix", mixup.build(mixup=0, cutmix=0, n_classes=2, seed=0)),
        preprocessing=Preprocessing(HALF, HALF),
        numerics=NUMERICS,
        name="finetune@a-0",
        on_epoch=lambda epoch, _model: epochs_done.append(epoch),
        **{**fixed, **settings},
    )
    return final, epochs_done


def test_it_learns() -> None:
    _, epochs = fit(net(), batches(20))
    assert [epoch.number for epoch in epochs] == [0, 1]
    assert epochs[1].loss < 0.5 * epochs[0].loss


def test_the_same_inputs_give_the_same_weights() -> None:
    first, second = fit(net(), batches(4))[0], fit(net(), batches(4))[0]
    for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_a_loss_that_is_not_finite_names_training_epoch_and_step() -> None:
    with pytest.raises(InputError, match=r"finetune@a-0: the loss is (nan|inf) at epoch 1, step 2"):
        fit(net(), batches(8), lr=1e30, optimizer="sgd")


def test_a_loss_is_read_one_step_late_and_the_last_one_before_the_epoch_ends() -> None:
    losses = loop._Losses("finetune@a-0", epoch=0)
    assert losses.shown == ""
    losses.add(torch.tensor(1.0))
    losses.add(torch.tensor(2.0))
    assert losses.shown == "1.0000"
    assert losses.mean() == 1.5
    losses.add(torch.tensor(float("nan")))  # the third step
    for ends in (lambda: losses.add(torch.tensor(1.0)), losses.mean):
        losses._coming = devices.HostCopy(torch.tensor(float("nan")))
        with pytest.raises(InputError, match="nan at epoch 1, step 3"):
            ends()


def test_activations_that_are_computed_again_change_no_weight_and_count_no_batch_twice() -> None:
    stream = batches(4)
    states = []
    for recomputed, several in ((False, False), (True, False), (True, True)):
        model = net()
        if recomputed:
            recomputing.enable(model, "k")
        if several:  # GPUs; a single process needs none
            model = convert_sync_batchnorm(model)
        states.append(fit(model, stream, recomputed=recomputed)[0].state_dict())
    assert states[0]["bn1.num_batches_tracked"] == 4
    for key, value in states[0].items():
        torch.testing.assert_close(states[1][key], value, rtol=1e-5, atol=1e-7, msg=key)
        assert torch.equal(states[2][key], states[1][key]), key


def test_a_backbone_that_cannot_compute_again_is_named() -> None:
    with torch.device("meta"):
        backbones = nn.Linear(1, 1), timm.create_model("dla34")
    for model in backbones:
        with pytest.raises(InputError, match=r"params.yaml: k: the backbone cannot do it"):
            recomputing.enable(model, "k")


def test_accumulated_batches_make_the_step_of_one_big_batch() -> None:
    small = batches(2, batch=4)
    big = [(torch.cat([a[0] for a in small]), torch.cat([a[1] for a in small]))]
    kwargs = {"epochs": 1, "frozen": "batch_norms", "optimizer": "sgd", "lr": 0.1}
    one, _ = fit(net(), small, steps_per_epoch=2, accumulate=2, **kwargs)
    two, _ = fit(net(), big, steps_per_epoch=1, **kwargs)
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_frozen_parts_do_not_move() -> None:
    for frozen, still in [("backbone", lambda k: not k.startswith("fc.")), ("batch_norms", lambda k: "bn" in k)]:
        before = {k: v.clone() for k, v in net().state_dict().items()}
        after = fit(net(), batches(4), frozen=frozen)[0].state_dict()
        moved = {k for k in before if not torch.equal(before[k], after[k])}
        assert moved
        assert not [k for k in moved if still(k)]


def test_all_but_norms_moves_classifier_norms_and_statistics_alone() -> None:
    before = {k: v.clone() for k, v in net().state_dict().items()}
    after = fit(net(), batches(4), frozen="all_but_norms")[0].state_dict()
    moved = {k for k in before if not torch.equal(before[k], after[k])}
    is_norm = {name: isinstance(module, nn.BatchNorm2d) for name, module in net().named_modules()}
    assert moved == {k for k in before if is_norm[k.rpartition(".")[0]]} | {"fc.weight", "fc.bias"}
    assert {"bn1.running_mean", "bn1.weight"} < moved


@pytest.mark.parametrize(
    ("backbone", "kwargs", "n_norms"),
    [
        ("vit_tiny_patch16_224", {"dynamic_img_size": True, "depth": 2}, 2 * 2 + 1),
        ("convnext_atto", {"depths": (1, 1, 1, 1)}, 1 + 4 + 3 + 1),  # stem, blocks, downsamplings, head
        ("nf_resnet26", {}, 0),
    ],
)
def test_backbones_without_batch_norms_learn_the_weights_of_the_norms_they_have(
    backbone: str, kwargs: dict[str, Any], n_norms: int
) -> None:
    model = timm.create_model(backbone, num_classes=2, **kwargs)
    loop.set_mode(model, "all_but_norms")
    learned = {name.rpartition(".")[0] for name, p in model.named_parameters() if p.requires_grad}
    assert len(learned) == n_norms + 1
    assert model.get_classifier() in [model.get_submodule(name) for name in learned]
    assert not any(module.training for module in model.modules() if isinstance(module, nn.Dropout | nn.Conv2d))


def test_head_only_epochs_move_the_backbone_afterwards() -> None:
    before = net().state_dict()["conv1.0.weight"].clone()
    frozen, _ = fit(net(), batches(4), epochs=1, steps_per_epoch=2, head_only_epochs=1)
    free, _ = fit(net(), batches(4), epochs=2, steps_per_epoch=2, head_only_epochs=1)
    assert torch.equal(frozen.state_dict()["conv1.0.weight"], before)
    assert not torch.equal(free.state_dict()["conv1.0.weight"], before)


def test_the_moving_average_is_another_model_that_lags_behind() -> None:
    model = net()
    final, _ = fit(model, batches(20), ema_decay=0.9)
    start = net().state_dict()["fc.weight"]
    last, average = model.state_dict()["fc.weight"], final.state_dict()["fc.weight"]
    assert final is not model
    assert 0 < (average - start).norm() < (last - start).norm()


def test_the_mean_over_the_last_epochs_is_that_of_weights_and_statistics() -> None:
    states: list[dict[str, torch.Tensor]] = []
    for epochs in (1, 2, 3):  # a constant lr: a shorter training has a longer one's first epochs
        states.append(
            {k: v.clone() for k, v in fit(net(), batches(6), epochs=epochs, steps_per_epoch=2)[0].state_dict().items()}
        )
    model = net()
    final, _ = fit(model, batches(6), epochs=3, steps_per_epoch=2, average_epochs=2)
    assert final is not model
    for key, value in final.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, (states[1][key] + states[2][key]) / 2)
    assert torch.equal(model.state_dict()["fc.weight"], states[2]["fc.weight"])
