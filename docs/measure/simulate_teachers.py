"""Measure what pseudo-labels and distillation do to out-of-fold scores: `python -m docs.measure.simulate_teachers`.

Draws contests of three classes with known truth: features are normal around a class mean, and a share of the labels is
wrong. Small networks are trained fold by fold. Each way to train a further network of every fold is scored out of fold,
on the test images and on new images; the last two by the same single fold models, so that the scores estimate each
other. Prints means and standard errors over contests: accuracies in %, log losses in hundredths of a nat. A difference
to the test or new images above 0 is an optimistic accuracy; for log loss it is below 0.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from podium.core import cli

N_CLASSES, N_FEATURES, N_FOLDS, N_MEMBERS, N_NEW = 3, 30, 5, 3, 2000
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

    def at(self, rows: torch.Tensor) -> "Images":
        """Return some of them."""
        return Images(self.features[rows], self.targets[rows])


@dataclass(frozen=True)
class Contest:
    """Images of a contest, and the networks of its folds: by fold, by member."""

    train: Images
    test: Images
    new: Images
    folds: torch.Tensor
    models: list[list[nn.Module]]

    def teacher(self, fold: int, features: torch.Tensor) -> torch.Tensor:
        """Return the mean over members of what a fold's models predict."""
        return torch.stack([probabilities(model, features) for model in self.models[fold]]).mean(0)


Labels = tuple[torch.Tensor, torch.Tensor]  # features and soft targets
Way = Callable[[Contest, int], nn.Module]


def main(*words: str) -> None:
    """Print a line for every case and way."""
    parser = argparse.ArgumentParser(prog="python -m docs.measure.simulate_teachers")
    parser.add_argument("--draws", type=int, default=40, help="contests per case")
    parser.add_argument("--only", nargs="+", choices=WAYS, help="default: all ways")
    asked = parser.parse_args(words)
    torch.set_num_threads(1)
    for case in CASES:
        contests = [draw(case, number) for number in range(asked.draws)]
        for name in asked.only or WAYS:
            found = np.array(
                [scores(one, WAYS[name]) for one in contests]
            )  # (draws, [oof, test, new], [accuracy, loss])
            print(f"| {case.name} | {name} | {row(100 * found)} |", flush=True)


def row(found: np.ndarray) -> str:
    """Format means, and differences of the out-of-fold score to the two others."""
    oof, test, new = found.transpose(1, 0, 2)
    cells = [*oof.mean(0), *test.mean(0), *new.mean(0)]
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

    train, test, new = images(case.n_train), images(case.n_test), images(N_NEW)
    folds = torch.arange(case.n_train) % N_FOLDS
    models = [[fitted(seed, labelled(train.at(folds != fold))) for seed in range(N_MEMBERS)] for fold in range(N_FOLDS)]
    return Contest(train, test, new, folds, models)


def labelled(images: Images) -> Labels:
    """Return images with their labels."""
    return images.features, functional.one_hot(images.targets, N_CLASSES).float()


def fitted(seed: int, *parts: Labels, start: nn.Module | None = None) -> nn.Module:
    """Train a network, or train one further, on all parts; every image has the same weight."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(N_FEATURES, 64), nn.ReLU(), nn.Linear(64, N_CLASSES))
    if start is not None:
        model.load_state_dict(start.state_dict())
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR)
    features, targets = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    for _ in range(STEPS):
        optimizer.zero_grad()
        functional.cross_entropy(model(features + NOISE * torch.randn_like(features)), targets).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return model


@torch.inference_mode()
def probabilities(model: nn.Module, features: torch.Tensor) -> torch.Tensor:
    """Predict (n_images, N_CLASSES)."""
    predicted: torch.Tensor = model(features).softmax(1)
    return predicted.clone()


def scores(contest: Contest, way: Way) -> list[list[float]]:
    """Return accuracy and log loss out of fold, on test images and on new ones, at one temperature."""
    models = [way(contest, fold) for fold in range(N_FOLDS)]
    oof = torch.empty(len(contest.folds), N_CLASSES)
    for fold, model in enumerate(models):
        oof[contest.folds == fold] = probabilities(model, contest.train.features[contest.folds == fold])
    temperature = min(np.geomspace(0.5, 6, 60), key=lambda one: loss(oof, contest.train.targets, one))
    found = [measured(oof, contest.train.targets, temperature)]
    for images in (contest.test, contest.new):
        by_fold = [measured(probabilities(model, images.features), images.targets, temperature) for model in models]
        found.append(np.mean(by_fold, axis=0).tolist())
    return found


def measured(probs: torch.Tensor, targets: torch.Tensor, temperature: float) -> list[float]:
    """Return accuracy and log loss."""
    return [float((probs.argmax(1) == targets).float().mean()), loss(probs, targets, temperature)]


def loss(probs: torch.Tensor, targets: torch.Tensor, temperature: float) -> float:
    """Return the log loss at a temperature."""
    return float(functional.cross_entropy(probs.clamp_min(1e-7).log() / temperature, targets))


def self_trained(*, on_held_out: bool, others: bool = False) -> Way:
    """Return the way that trains a fold's first member further, with pseudo-labels.

    Args:
        on_held_out: whether the held-out images get pseudo-labels too.
        others: whether the models of all folds make the labels of test images, a leak.
    """

    def train(contest: Contest, fold: int) -> nn.Module:
        own = contest.models[fold][0]
        teachers = [models[0] for models in contest.models] if others else [own]
        unlabelled = [contest.test.features]
        if on_held_out:
            unlabelled.append(contest.train.features[contest.folds == fold])
        guesses: list[Labels] = [
            (features, torch.stack([probabilities(model, features) for model in teachers]).mean(0))
            for features in unlabelled
        ]
        return fitted(9, labelled(contest.train.at(contest.folds != fold)), *guesses, start=own)

    return train


def distilled(targets: str) -> Way:
    """Return the way that trains a new network with soft targets of a teacher, the mean of all members.

    Args:
        targets: "out of fold": those of the training images, each by models that were not trained on it, but on the
            student's held-out images; "in sample": those of the training images by the fold's own models; "test": those
            of the test images by the fold's own models, beside the training images' labels.
    """

    def train(contest: Contest, fold: int) -> nn.Module:
        rows = contest.folds != fold
        images = contest.train.at(rows)
        if targets == "test":
            return fitted(9, labelled(images), (contest.test.features, contest.teacher(fold, contest.test.features)))
        if targets == "in sample":
            return fitted(9, (images.features, contest.teacher(fold, images.features)))
        soft = torch.empty(len(contest.folds), N_CLASSES)
        for other in range(N_FOLDS):
            here = contest.folds == other
            soft[here] = contest.teacher(other, contest.train.features[here])
        return fitted(9, (images.features, soft[rows]))

    return train


WAYS: dict[str, Way] = {
    "a member": lambda contest, fold: contest.models[fold][0],
    "pseudo-labels of test images": self_trained(on_held_out=False),
    "pseudo-labels of test and held-out images": self_trained(on_held_out=True),
    "leak: pseudo-labels by all folds' models": self_trained(on_held_out=False, others=True),
    "labels alone": lambda contest, fold: fitted(9, labelled(contest.train.at(contest.folds != fold))),
    "distilled on test images": distilled("test"),
    "distilled in sample": distilled("in sample"),
    "leak: distilled out of fold": distilled("out of fold"),
}

if __name__ == "__main__":
    cli.run(main)
