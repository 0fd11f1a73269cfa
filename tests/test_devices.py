"""Device, threads and determinism of a torch process."""

import gc
import platform
import resource
from collections.abc import Iterator

import pytest
import torch
from torch.utils import deterministic

from podium.core.errors import InputError
from podium.models import devices
from podium.models.settings import TorchSettings

NONE_DETERMINISTIC = "upsample_backward_cuda does not have a deterministic implementation, but you set ..."


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    threads, is_on = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    warns, fills = torch.is_deterministic_algorithms_warn_only_enabled(), deterministic.fill_uninitialized_memory
    limits = gc.get_threshold()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(is_on, warn_only=warns)
    deterministic.fill_uninitialized_memory = fills
    gc.set_threshold(*limits)
    gc.unfreeze()


def test_settings_reach_torch() -> None:
    assert devices.start(TorchSettings(device="cpu", threads=1)) == torch.device("cpu")
    assert torch.get_num_threads() == 1
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.is_deterministic_algorithms_warn_only_enabled()  # with it, attention on CUDA is not
    assert not deterministic.fill_uninitialized_memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_a_step_on_a_cpu_reuses_the_memory_of_the_step_before() -> None:
    devices.start(TorchSettings(device="cpu", threads=1))
    for _ in range(8):  # until the heap has a place for it
        torch.ones(2**24)  # 64 MB
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(8):
        torch.ones(2**24)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    assert faults < 2**26 / resource.getpagesize()  # the kernel gives less than one of the eight blocks


def test_an_operator_without_deterministic_implementation_is_reported_and_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = []

    def run() -> str:
        asked.append(torch.is_deterministic_algorithms_warn_only_enabled())
        if not asked[-1]:
            raise RuntimeError(NONE_DETERMINISTIC)
        return "done"

    assert devices.reproducibly("pretrain@a-0", run) == "done"
    assert asked == [False, True]
    printed = capsys.readouterr().out
    assert "pretrain@a-0: torch has no deterministic upsample_backward_cuda" in printed
    assert "model_kwargs: {img_size: ...}" in printed
    assert not devices.reproducibly("pretrain@a-1", torch.is_deterministic_algorithms_warn_only_enabled)  # strict again


def test_torchs_own_error_is_recognised(capsys: pytest.CaptureFixture[str]) -> None:
    values, index = torch.zeros(4), torch.tensor([0, 1])
    with pytest.warns(UserWarning, match="put_"):
        devices.reproducibly("a", lambda: values.put_(index, torch.ones(2)))
    printed = capsys.readouterr().out
    assert "a: torch has no deterministic put_" in printed
    assert "img_size" not in printed
    assert values.tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("CUDA out of memory. Tried to allocate 2 GiB", r"infer@a: .* of 32 images: set batch_size lower"),
        ("DefaultCPUAllocator: can't allocate memory: you tried to ...", r"infer@a: .* of 32 images: set batch_size"),
        ("DataLoader worker (pid 7) is killed by signal: Bus error. ...", r"infer@a: .* /dev/shm .* PODIUM_WORKERS=0"),
    ],
)
def test_no_memory_and_a_dead_worker_say_what_to_set(text: str, message: str) -> None:
    def run() -> None:
        with devices.memory_explained("infer@a", "batches of 32 images", "set batch_size lower"):
            raise RuntimeError(text)

    with pytest.raises(InputError, match=message):
        run()


def test_other_errors_stay_as_they_are() -> None:
    def run() -> None:
        raise RuntimeError("CUDA out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        devices.reproducibly("pretrain@a-0", run)
