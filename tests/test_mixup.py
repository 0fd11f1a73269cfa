import numpy as np
import torch

from podium.training import mixup

TARGETS = torch.tensor([0, 1, 2, 0])


def batch() -> torch.Tensor:
    return torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 8, 8).clone()


def test_mixing_depends_on_seed_epoch_and_step_alone() -> None:
    mix = mixup.build(mixup=1.0, cutmix=1.0, n_classes=3, seed=5)
    np.random.seed(0)
    first = mix(batch(), TARGETS, 2, 7)
    np.random.seed(1)
    again = mixup.build(mixup=1.0, cutmix=1.0, n_classes=3, seed=5)(batch(), TARGETS, 2, 7)
    others = [mix(batch(), TARGETS, *at)[0] for at in [(2, 8), (3, 7)]]
    others.append(mixup.build(mixup=1.0, cutmix=1.0, n_classes=3, seed=6)(batch(), TARGETS, 2, 7)[0])
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not any(torch.equal(first[0], other) for other in others)


def test_the_global_random_stream_is_left_as_it_was() -> None:
    np.random.seed(3)
    expected = np.random.rand()
    np.random.seed(3)
    mixup.build(mixup=0.4, cutmix=0.0, n_classes=3, seed=0)(batch(), TARGETS, 0, 0)
    assert np.random.rand() == expected


def test_images_and_targets_are_mixed_in_the_same_share() -> None:
    for step in range(20):
        images, soft = mixup.build(mixup=0.4, cutmix=0.0, n_classes=3, seed=0)(batch(), TARGETS, 0, step)
        torch.testing.assert_close(soft.sum(1), torch.ones(4))
        share = soft[1, 1]  # image 1 is mixed with image 2
        torch.testing.assert_close(images[1].mean(), share * 1 + (1 - share) * 2)


def test_without_mixing_targets_are_one_hot() -> None:
    images, soft = mixup.build(mixup=0, cutmix=0, n_classes=3, seed=0)(batch(), TARGETS, 0, 0)
    assert torch.equal(images, batch())
    assert soft.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]]


def test_sets_of_labels_are_mixed_in_the_share_of_their_images() -> None:
    sets = torch.tensor([[1.0, 1, 0], [0, 1, 1], [0, 0, 0], [1, 0, 1]])
    for cutmix in (0.0, 1.0):
        mix = mixup.build(mixup=0.4, cutmix=cutmix, n_classes=3, seed=0)
        for step in range(20):
            images, soft = mix(batch(), sets, 0, step)
            shares = (images.mean((1, 2, 3)) - torch.arange(4.0).flip(0)) / torch.tensor([-3.0, -1, 1, 3])
            torch.testing.assert_close(soft, shares[:, None] * sets + (1 - shares[:, None]) * sets.flip(0))
    images, soft = mixup.build(mixup=0, cutmix=0, n_classes=3, seed=0)(batch(), sets, 0, 0)
    assert torch.equal(soft, sets)
