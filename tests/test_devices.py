"""Device, threads and determinism of a torch process."""

import gc
import platform
import resource
import types
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
    limits, tries = gc.get_threshold(), torch.backends.cudnn.benchmark
    products = torch.get_float32_matmul_precision()
    torch.use_deterministic_algorithms(True)
    yield
    torch.backends.cudnn.benchmark = tries
    torch.set_float32_matmul_precision(products)
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


def test_only_a_cuda_gpu_gets_fast_kernels_and_then_nothing_is_run_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    fast = TorchSettings(threads=1, reproducible="fast")
    asked: list[bool] = []
    monkeypatch.setattr(devices, "choose_kernels", lambda *, strict: asked.append(strict))
    for has_gpu in (False, True):
        monkeypatch.setattr(torch.cuda, "is_available", lambda has_gpu=has_gpu: has_gpu)
        devices.start(fast)
    devices.start(TorchSettings(threads=1))
    assert asked == [True, False, True]
    monkeypatch.undo()

    def fails() -> None:
        asked.append(torch.are_deterministic_algorithms_enabled())
        raise RuntimeError(NONE_DETERMINISTIC)

    devices.choose_kernels(strict=False)
    assert torch.backends.cudnn.benchmark
    assert torch.get_float32_matmul_precision() == "high"
    with pytest.raises(RuntimeError, match="deterministic"):
        devices.reproducibly("a", fails)
    assert asked[3:] == [False]
    devices.choose_kernels(strict=True)
    assert not torch.backends.cudnn.benchmark
    assert torch.get_float32_matmul_precision() == "highest"


class FakeGpuTensor:
    """A tensor on a GPU that writes into `log` what is asked of it."""

    is_cuda = True

    def __init__(self, log: list[str]) -> None:
        self.log = log

    def detach(self) -> "FakeGpuTensor":
        return self

    def to(self, device: str, *, non_blocking: bool) -> torch.Tensor:
        self.log.append(f"copy to {device}, waits: {not non_blocking}")
        return torch.ones(1)


def test_a_gpus_values_are_copied_at_once_and_awaited_when_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str] = []
    event = types.SimpleNamespace(record=lambda: log.append("record"), synchronize=lambda: log.append("wait"))
    monkeypatch.setattr(torch.cuda, "Event", lambda: event)
    copy = devices.HostCopy(FakeGpuTensor(log))  # type: ignore[arg-type]
    assert log == ["copy to cpu, waits: False", "record"]
    assert copy.read().item() == 1
    assert log[2:] == ["wait"]


def test_the_cpus_values_are_read_without_a_gradient() -> None:
    values = torch.ones(1, requires_grad=True)
    assert not devices.HostCopy(values * 2).read().requires_grad
    assert devices.HostCopy(values * 2).read().item() == 2


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
        ("could not create a primitive", r"infer@a: .* of 32 images: set batch_size"),
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
