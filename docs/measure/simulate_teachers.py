"""Measure what pseudo-labels and distillation do to out-of-fold scores: `python -m docs.measure.simulate_teachers`.

Draws contests of three classes with known truth: features are normal around a class mean, and a share of the labels is
wrong. Small networks are trained fold by fold. Each way to train a further network of every fold is scored out of fold,
on the test images and on new images; the last two by the same single fold models, so that the scores estimate each
other. Prints accuracies in % and log losses in hundredths of a nat: out of fold, on new images, and the differences
out of fold - test images and out of fold - new images, ± their standard errors over contests. An optimistic accuracy
has a difference above 0, an optimistic log loss one below 0.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from podium.core import cli

N_CLASSES, N_FEATURES, N_HIDDEN, N_FOLDS, N_MEMBERS, N_NEW = 3, 30, 64, 5, 3, 2000
STUDENT = 9  # its seed
NOISE = 0.3  # standard deviation of what stands in for augmentation, added to the features in every step
STEPS, LR = 60, 0.01


@dataclass(frozen=True)
class Case:
    """A kind of contest.

    Attributes:
        distance: of a class mean from the centre, in standard deviations of a feature.
        wrong: share of labels that are drawn at random, in train, test and new images.
    """

    name: str
    distance: float
    wrong: float
    n_train: int = 200
    n_test: int = 200


CASES = (
    Case("some signal", 1.5, 0.1),
    Case("some signal, few test images", 1.5, 0.1, n_test=50),
    Case("labels mean nothing", 0.0, 1.0),
)


@dataclass(frozen=True)
class Images:
    """Features (n_images, N_FEATURES) and class indices (n_images,)."""

    features: torch.Tensor
    targets: torch.Tensor


Networks = list[torch.Tensor]  # weights and biases of one network of every fold: the first axis is the fold
Labels = tuple[torch.Tensor, torch.Tensor]  # features (folds, n_images, N_FEATURES) and soft targets of every fold


@dataclass(frozen=True)
class Contest:
    """Images of a contest, and the networks of its members; image i is in fold i % N_FOLDS."""

    train: Images
    test: Images
    new: Images
    members: list[Networks]

    @property
    def outside(self) -> torch.Tensor:
        """Return, for each fold, the positions of the images outside it (folds, n_images)."""
        return torch.stack([torch.nonzero(self.folds != fold)[:, 0] for fold in range(N_FOLDS)])

    @property
    def held_out(self) -> torch.Tensor:
        """Return, for each fold, the positions of its images (folds, n_images)."""
        return torch.stack([torch.nonzero(self.folds == fold)[:, 0] for fold in range(N_FOLDS)])

    @property
    def folds(self) -> torch.Tensor:
        """Return each train image's fold."""
        return torch.arange(len(self.train.targets)) % N_FOLDS

    def labelled(self) -> Labels:
        """Return what every fold trains on."""
        one_hot = functional.one_hot(self.train.targets, N_CLASSES).float()
        return self.train.features[self.outside], one_hot[self.outside]

    def teacher(self, features: torch.Tensor) -> torch.Tensor:
        """Return the mean over members of what every fold's networks predict of its features."""
        return torch.stack([probabilities(member, features) for member in self.members]).mean(0)

    def out_of_fold(self, by_fold: torch.Tensor) -> torch.Tensor:
        """Put predictions of held-out images (folds, n_images, N_CLASSES) in the order of the train images."""
        found = torch.empty(len(self.folds), N_CLASSES)
        found[self.held_out] = by_fold
        return found


Way = Callable[[Contest], Networks]


def main(*words: str) -> None:
    """Print a line for every case and way."""
    parser = argparse.ArgumentParser(prog="python -m docs.measure.simulate_teachers")
    parser.add_argument("--draws", type=int, default=40, help="contests per case")
    asked = parser.parse_args(words)
    torch.set_num_threads(1)
    for case in CASES:
        contests = [draw(case, number) for number in range(asked.draws)]
        for name, way in WAYS.items():
            found = np.array([scores(one, way(one)) for one in contests])  # (draws, [oof, test, new], [accuracy, loss])
            print(f"| {case.name} | {name} | {row(100 * found)} |", flush=True)


def row(found: np.ndarray) -> str:
    """Format means, and differences of the out-of-fold score to the two others."""
    oof, test, new = found.transpose(1, 0, 2)
    cells = [*oof.mean(0), *new.mean(0)]
    differences = [column for other in (test, new) for column in (oof - other).T]
    gaps = [f"{one.mean():+.2f} ± {one.std(ddof=1) / np.sqrt(len(one)):.2f}" for one in differences]
    return " | ".join([*(f"{cell:.2f}" for cell in cells), *gaps])


def draw(case: Case, number: int) -> Contest:
    """Draw a contest, and train every member on every fold."""
    generator = torch.Generator().manual_seed(number)
    means = functional.normalize(torch.randn(N_CLASSES, N_FEATURES, generator=generator)) * case.distance

    def images(count: int) -> Images:
        classes = torch.randint(N_CLASSES, (count,), generator=generator)
        features = means[classes] + torch.randn(count, N_FEATURES, generator=generator)
        is_wrong = torch.rand(count, generator=generator) < case.wrong
        return Images(features, torch.where(is_wrong, classes[torch.randperm(count, generator=generator)], classes))

    contest = Contest(images(case.n_train), images(case.n_test), images(N_NEW), [])
    contest.members.extend(fitted(seed, contest.labelled()) for seed in range(N_MEMBERS))
    return contest


def fitted(seed: int, *parts: Labels, start: Networks | None = None) -> Networks:
    """Train a network of every fold, or train one further, on all parts; every image has the same weight."""
    torch.manual_seed(seed)
    shapes = (N_FEATURES, N_HIDDEN), (1, N_HIDDEN), (N_HIDDEN, N_CLASSES), (1, N_CLASSES)
    drawn = [torch.randn(1, *shape).expand(N_FOLDS, *shape) * (shape[0] > 1) / shape[0] ** 0.5 for shape in shapes]
    networks = [one.clone().requires_grad_() for one in (drawn if start is None else start)]
    optimizer = torch.optim.AdamW(networks, lr=LR)
    features, targets = (torch.cat(tensors, 1) for tensors in zip(*parts, strict=True))
    for _ in range(STEPS):
        optimizer.zero_grad()
        logs = logits(networks, features + NOISE * torch.randn_like(features)).log_softmax(2)
        (-(targets * logs).sum(2).mean(1).sum()).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return [one.detach() for one in networks]


def logits(networks: Networks, features: torch.Tensor) -> torch.Tensor:
    """Return the logits of every fold's network (folds, n_images, N_CLASSES)."""
    first, first_bias, second, second_bias = networks
    return (features @ first + first_bias).relu() @ second + second_bias


def probabilities(networks: Networks, features: torch.Tensor) -> torch.Tensor:
    """Predict features (folds, n_images, N_FEATURES), or (n_images, N_FEATURES) with every fold's network."""
    return logits(networks, features).softmax(2)


def scores(contest: Contest, networks: Networks) -> list[list[float]]:
    """Return accuracy and log loss out of fold, on test and on new images (mean of the folds), at one temperature."""
    oof = contest.out_of_fold(probabilities(networks, contest.train.features[contest.held_out]))
    temperature = min(np.geomspace(0.5, 6, 60), key=lambda one: loss(oof, contest.train.targets, one))
    found = [measured(oof, contest.train.targets, temperature)]
    for images in (contest.test, contest.new):
        by_fold = probabilities(networks, images.features)
        found.append(np.mean([measured(probs, images.targets, temperature) for probs in by_fold], axis=0).tolist())
    return found


def measured(probs: torch.Tensor, targets: torch.Tensor, temperature: float) -> list[float]:
    """Return accuracy and log loss."""
    return [float((probs.argmax(1) == targets).float().mean()), loss(probs, targets, temperature)]


def loss(probs: torch.Tensor, targets: torch.Tensor, temperature: float) -> float:
    """Return the log loss at a temperature."""
    return float(functional.cross_entropy(probs.clamp_min(1e-7).log() / temperature, targets))


def self_trained(*, on_held_out: bool, by_all_folds: bool = False) -> Way:
    """Return the way that trains the first member further, with pseudo-labels.

    Args:
        on_held_out: whether held-out images get pseudo-labels too.
        by_all_folds: whether the labels are the mean over all folds' networks, a leak.
    """

    def train(contest: Contest) -> Networks:
        own = contest.members[0]
        unlabelled = contest.test.features.expand(N_FOLDS, -1, -1)
        if on_held_out:
            unlabelled = torch.cat([unlabelled, contest.train.features[contest.held_out]], 1)
        predicted = probabilities(own, unlabelled)
        if by_all_folds:
            predicted = predicted.mean(0, keepdim=True).expand(N_FOLDS, -1, -1)
        return fitted(STUDENT, contest.labelled(), (unlabelled, predicted), start=own)

    return train


def distilled(targets: str) -> Way:
    """Return the way that trains a new network with soft targets of a teacher, the mean of all members.

    Args:
        targets: "test": those of the test images by the fold's own networks, beside the train images' labels; "in
            sample": those of the train images by the fold's own networks; "out of fold": those of the train images by
            networks that were not trained on them, but on the student's held-out images.
    """

    def train(contest: Contest) -> Networks:
        features = contest.train.features[contest.outside]
        if targets == "test":
            unlabelled = contest.test.features.expand(N_FOLDS, -1, -1)
            return fitted(STUDENT, contest.labelled(), (unlabelled, contest.teacher(unlabelled)))
        if targets == "in sample":
            return fitted(STUDENT, (features, contest.teacher(features)))
        soft = contest.out_of_fold(contest.teacher(contest.train.features[contest.held_out]))
        return fitted(STUDENT, (features, soft[contest.outside]))

    return train


WAYS: dict[str, Way] = {
    "a member": lambda contest: contest.members[0],
    "pseudo-labels of test images": self_trained(on_held_out=False),
    "pseudo-labels of test and held-out images (used)": self_trained(on_held_out=True),
    "leak: pseudo-labels by all folds' models": self_trained(on_held_out=False, by_all_folds=True),
    "labels alone": lambda contest: fitted(STUDENT, contest.labelled()),
    "distilled on test images (used)": distilled("test"),
    "distilled in sample": distilled("in sample"),
    "leak: distilled out of fold": distilled("out of fold"),
}

if __name__ == "__main__":
    cli.run(main)
