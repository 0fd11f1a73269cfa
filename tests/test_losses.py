import math
from typing import get_args

import pytest
import torch
from timm.loss import AsymmetricLossMultiLabel
from torch.nn import BCEWithLogitsLoss

from podium.training import losses, mixup
from podium.training.settings import PhaseSettings

NAMES = get_args(PhaseSettings.model_fields["loss"].annotation)
PRIOR = losses.log_class_shares(torch.tensor([0] * 9 + [1]), 2)


def loss_of(
    name: str, class_weights: torch.Tensor | None = None, label_smoothing: float = 0.0
) -> losses.SoftTargetLoss:
    log_prior = PRIOR if name == "logit_adjusted" else None
    return losses.SoftTargetLoss(class_weights, label_smoothing, name=name, log_prior=log_prior)


def test_the_setting_names_every_loss_and_no_other() -> None:
    assert set(NAMES) == {"cross_entropy", "logit_adjusted", *losses.SIGMOID_LOSSES}


def test_hard_and_soft_targets_weigh_classes_alike() -> None:
    weights = losses.balanced_weights(torch.tensor([0, 0, 0, 1]), 2)
    assert weights[torch.tensor([0, 0, 0, 1])].mean() == pytest.approx(1.0)
    assert weights[1] == 3 * weights[0]
    logits, targets = torch.randn(4, 2, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 0, 1, 1])
    loss = losses.SoftTargetLoss(weights, 0.0)
    hard = loss(logits, mixup.soft(targets, 2))
    nearly_hard = loss(logits, 0.999 * mixup.soft(targets, 2) + 0.001 * mixup.soft(1 - targets, 2))
    assert nearly_hard == pytest.approx(hard.item(), rel=0.02)


def test_label_smoothing_puts_no_more_on_a_rare_class_where_classes_are_weighed() -> None:
    loss = losses.SoftTargetLoss(torch.tensor([0.5, 20.0]), 0.1)
    logits = torch.zeros(1, 2, requires_grad=True)
    optimizer = torch.optim.SGD([logits], lr=0.5)
    for _ in range(500):
        optimizer.zero_grad()
        loss(logits, torch.tensor([[1.0, 0.0]])).backward()
        optimizer.step()
    assert logits.softmax(1)[0, 1].item() == pytest.approx(0.05, abs=0.01)  # its share of the smoothing mass


def test_a_class_without_images_gets_no_infinite_weight() -> None:
    """It counts as one image: of a mean over soft labels it takes no more than a class with a single image does."""
    weights = losses.balanced_weights(torch.tensor([0, 0, 2]), 3)
    assert weights[1] == weights[2]


def test_images_of_which_an_epoch_draws_a_share_count_as_that_share() -> None:
    """100 extra images, of which an epoch draws a tenth, are 10."""
    targets, shares = torch.tensor([0] * 10 + [1] * 20 + [0] * 100), torch.tensor([1.0] * 30 + [0.1] * 100).double()
    drawn = torch.tensor([0] * 20 + [1] * 20)
    for of_counts in (losses.balanced_weights, losses.log_class_shares):
        torch.testing.assert_close(of_counts(targets, 2, shares), of_counts(drawn, 2))


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_of_a_mixed_image_is_the_mean_of_its_classes_losses(name: str) -> None:
    logits, loss = torch.tensor([[0.3, -0.2, 1.1]]), losses.SoftTargetLoss(None, 0.1, name=name)
    own, other = torch.tensor([[1.0, 0, 0]]), torch.tensor([[0, 0, 1.0]])
    mixed = loss(logits, 0.7 * own + 0.3 * other)
    assert mixed == pytest.approx(0.7 * loss(logits, own).item() + 0.3 * loss(logits, other).item(), rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_descent_on_a_loss_learns_the_targets(name: str) -> None:
    logits, targets = torch.zeros(2, 2, requires_grad=True), torch.eye(2)
    optimizer = torch.optim.SGD([logits], lr=0.5)
    for _ in range(50):
        optimizer.zero_grad()
        loss_of(name, torch.tensor([0.5, 1.5]), 0.1)(logits, targets).backward()
        optimizer.step()
    assert logits.argmax(1).tolist() == [0, 1]


def test_bce_and_focal_are_those_of_their_papers() -> None:
    logits, targets = torch.tensor([[math.log(3), 0.0]]), torch.tensor([[1.0, 0.0]])  # probabilities 3/4, 1/2
    assert loss_of("bce")(logits, targets) == pytest.approx(-math.log(3 / 4) - math.log(1 / 2))
    expected = -((1 / 4) ** 2) * math.log(3 / 4) - (1 / 2) ** 2 * math.log(1 / 2)
    assert loss_of("focal")(logits, targets) == pytest.approx(expected)


def test_logits_that_fit_adjusted_answer_for_equally_frequent_classes() -> None:
    """Of images that say nothing, 9 in 10 are of class 0: the adjusted loss is smallest at equal logits."""
    targets = torch.tensor([[0.9, 0.1]])
    logits = torch.zeros(1, 2, requires_grad=True)
    loss_of("logit_adjusted")(logits, targets).backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, torch.zeros(1, 2), atol=1e-6, rtol=0)


def test_a_class_without_images_has_a_finite_prior() -> None:
    assert torch.isfinite(losses.log_class_shares(torch.tensor([0, 0, 2]), 3)).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("class_weights", [None, torch.tensor([0.5, 1.5])])
def test_an_image_weighs_what_its_targets_sum_to(name: str, class_weights: torch.Tensor | None) -> None:
    loss, logits = loss_of(name, class_weights, 0.1), torch.tensor([[0.3, -0.2], [1.0, 0.5]])
    targets = torch.tensor([[1.0, 0.0], [0.4, 0.6]])
    own = [loss(logits[i : i + 1], targets[i : i + 1]).item() for i in range(2)]
    weighed = losses.WeighedImagesLoss(loss)
    assert weighed(logits, targets) == pytest.approx(loss(logits, targets).item(), rel=1e-6)
    assert weighed(logits, targets * torch.tensor([[1.0], [0.25]])) == pytest.approx(
        (own[0] + own[1] / 4) / 2, rel=1e-6
    )


def test_the_asymmetric_loss_is_timms() -> None:
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 4, generator=random)
    targets = (torch.rand(6, 4, generator=random) < 0.4).float()
    ours = losses.SoftTargetLoss(None, 0.0, name="asymmetric", sets=True)(logits, targets)
    assert ours.item() == pytest.approx(AsymmetricLossMultiLabel()(logits, targets).item(), rel=1e-5)


def test_smoothing_moves_each_label_of_a_set_towards_one_half() -> None:
    loss = losses.SoftTargetLoss(None, 0.2, name=losses.of_sets("cross_entropy"), sets=True)
    logits, targets = torch.tensor([[0.5, -1.0, 2.0]]), torch.tensor([[1.0, 1.0, 0.0]])
    expected = BCEWithLogitsLoss(reduction="sum")(logits, 0.8 * targets + 0.1)
    assert loss(logits, targets).item() == pytest.approx(expected.item())
