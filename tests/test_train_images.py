import os
from collections import Counter

import numpy as np
import pytest
import torch

from podium.models import plain_images
from podium.models.preprocessing import Preprocessing
from podium.training import train_images

HALF = (0.5, 0.5, 0.5)
CPU = torch.device("cpu")


class FakePack(dict[str, np.ndarray]):
    """A pack in memory."""


def pack(n: int) -> FakePack:
    rng = np.random.default_rng(0)
    return FakePack({f"{i}.png": rng.integers(0, 256, (20, 30, 3), dtype=np.uint8) for i in range(n)})


def images_of(n: int, seed: int = 0) -> train_images.TrainImages:
    return train_images.TrainImages(
        pack(n),  # type: ignore[arg-type]
        [f"{i}.png" for i in range(n)],
        [i % 2 for i in range(n)],
        preprocessing=Preprocessing(HALF, HALF),
        image_size=16,
        augmentation=[{"RandomResizedCrop": {"size": ["image_size", "image_size"]}}, {"ColorJitter": {}}],
        key="k",
        seed=seed,
    )


@pytest.mark.parametrize(("n", "batch_size"), [(10, 4), (3, 8), (8, 4), (5, 5)])
def test_every_epoch_sees_every_image_in_full_batches(n: int, batch_size: int) -> None:
    batches = list(train_images.EpochBatches(n, batch_size, epochs=3, seed=1))
    assert len(batches) == len(train_images.EpochBatches(n, batch_size, epochs=3, seed=1)) == 3 * -(-n // batch_size)
    assert all(len(batch) == batch_size for batch in batches)
    for epoch in range(3):
        seen = Counter(index for batch in batches for e, index, _ in batch if e == epoch)
        assert set(seen) == set(range(n))
        assert max(seen.values()) - min(seen.values()) <= 1  # what fills the last batch up comes once around
        positions = [position for batch in batches for position in batch if position[0] == epoch]
        assert len(set(positions)) == len(positions)  # no sample twice, also with fewer images than a batch
        assert {repeat for _, _, repeat in positions} == set(range(max(seen.values())))


def test_the_order_is_another_each_epoch_and_the_same_each_time() -> None:
    batches = list(train_images.EpochBatches(20, 20, epochs=2, seed=1))
    orders = [[index for _, index, _ in batch] for batch in batches]
    assert orders[0] != orders[1]
    assert batches == list(train_images.EpochBatches(20, 20, epochs=2, seed=1))


@pytest.mark.parametrize("balanced", [None, [0] * 15 + [1] * 5])
def test_the_last_epochs_are_the_same_without_the_first(balanced: list[int] | None) -> None:
    whole = list(train_images.EpochBatches(20, 8, 3, 1, balanced))
    rest = train_images.EpochBatches(20, 8, 3, 1, balanced, first_epoch=1)
    assert list(rest) == whole[3:]
    assert len(rest) == 6


def test_balanced_epochs_draw_each_class_and_each_of_its_images_equally_often() -> None:
    targets = [0] * 20 + [1] * 3 + [3]  # class 2 has no image
    batches = list(train_images.EpochBatches(24, 5, epochs=3, seed=1, balanced=targets))
    assert batches == list(train_images.EpochBatches(24, 5, epochs=3, seed=1, balanced=targets))
    assert len(batches) == 3 * 5
    assert {len(batch) for batch in batches} == {5}
    epochs = [[draw for batch in batches for draw in batch if draw.epoch == epoch] for epoch in range(3)]
    for draws in epochs:
        by_class = Counter(targets[draw.image] for draw in draws)
        assert sorted(by_class.values()) == [8, 8, 9]
        assert len(set(draws)) == len(draws)  # a repeated image has another augmentation
        for k in by_class:
            by_image = Counter(draw.image for draw in draws if targets[draw.image] == k)
            assert max(by_image.values()) - min(by_image.values()) <= 1
    assert {draw.image for draw in epochs[0]} != {draw.image for draw in epochs[1]}


def test_any_number_of_workers_gives_the_same_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    streams = []
    for workers in ("0", "2"):
        monkeypatch.setenv("PODIUM_WORKERS", workers)
        torch.manual_seed(int(workers))
        order = train_images.EpochBatches(6, 4, epochs=2, seed=0)
        streams.append(list(train_images.train_batches(images_of(6), order, CPU)))
    for (images, targets), (other_images, other_targets) in zip(*streams, strict=True):
        assert torch.equal(images, other_images)
        assert torch.equal(targets, other_targets)


def test_loading_draws_nothing_from_the_trainings_random_stream() -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    order = train_images.EpochBatches(4, 4, epochs=1, seed=0)
    list(train_images.train_batches(images_of(4), order, CPU))
    assert torch.equal(torch.rand(1), expected)


def test_an_image_is_drawn_anew_each_epoch_and_by_each_seed() -> None:
    images, first = images_of(2), train_images.Draw(epoch=0, image=1)
    assert torch.equal(images[first][0], images[first][0])
    assert not torch.equal(images[first][0], images[first._replace(epoch=1)][0])
    assert not torch.equal(images[first][0], images[first._replace(repeat=1)][0])
    assert not torch.equal(images[first][0], images_of(2, seed=1)[first][0])


def test_a_batch_larger_than_the_set_repeats_images_but_no_pixels() -> None:
    order = train_images.EpochBatches(3, 8, epochs=1, seed=0)
    [(images, targets)] = train_images.train_batches(images_of(3), order, CPU)
    assert len(images) == len(targets) == 8
    assert len({image.numpy().tobytes() for image in images}) == 8


def test_repeated_passes_have_the_same_batches_and_the_same_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    def passes(images: plain_images.PlainImages) -> list[list[tuple[int, int]]]:
        return [[(len(batch), int(batch.sum())) for batch in images.batches(2, CPU)] for _ in range(2)]

    of_pack = pack(3), ["2.png", "0.png", "1.png"], Preprocessing(HALF, HALF), 16
    expected = passes(plain_images.PlainImages(*of_pack))  # type: ignore[arg-type]
    monkeypatch.setenv("PODIUM_WORKERS", "1")
    started: list[int] = []
    start = torch.utils.data.dataloader._MultiProcessingDataLoaderIter.__init__
    monkeypatch.setattr(
        torch.utils.data.dataloader._MultiProcessingDataLoaderIter,
        "__init__",
        lambda self, loader: (started.append(1), start(self, loader))[1],
    )
    assert passes(plain_images.RepeatedImages(*of_pack)) == expected  # type: ignore[arg-type]
    assert len(started) == 1


@pytest.mark.parametrize(("device", "expected"), [("cpu", 0), ("cuda", None)])
def test_workers_follow_the_device_and_the_environment(
    monkeypatch: pytest.MonkeyPatch, device: str, expected: int | None
) -> None:
    monkeypatch.delenv("PODIUM_WORKERS", raising=False)
    found = plain_images.worker_count(torch.device(device))
    assert found == expected if expected is not None else 1 <= found <= 8
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {5}, raising=False)  # e.g. by taskset
    assert plain_images.worker_count(torch.device(device)) == (1 if expected is None else expected)
    monkeypatch.setenv("PODIUM_WORKERS", "3")
    assert plain_images.worker_count(torch.device(device)) == 3
