"""Device, threads and determinism of a torch process."""

from collections.abc import Iterator

import pytest
import torch

from stages.lib import compute
from stages.lib.errors import InputError
from stages.lib.settings.compute import TorchSettings


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = False


@pytest.mark.parametrize("deterministic", [True, False])
def test_settings_reach_torch(deterministic: bool) -> None:
    device = compute.start(TorchSettings(device="cpu", threads=1, deterministic=deterministic))
    assert device == torch.device("cpu")
    assert torch.get_num_threads() == 1
    assert torch.are_deterministic_algorithms_enabled() is deterministic
    assert not torch.is_deterministic_algorithms_warn_only_enabled()  # with it, attention on CUDA is not
    assert torch.backends.cudnn.benchmark is not deterministic


def test_an_operator_without_a_deterministic_form_is_named_with_what_to_do() -> None:
    words = "adaptive_avg_pool2d_backward_cuda does not have a deterministic implementation, but you set ..."
    with (
        pytest.raises(InputError, match=r"pretrain@a-0: .*adaptive_avg_pool2d_backward_cuda.*deterministic: false"),
        compute.explained("pretrain@a-0"),
    ):
        raise RuntimeError(words)


def test_other_errors_stay_as_they_are() -> None:
    with pytest.raises(RuntimeError, match="out of memory"), compute.explained("pretrain@a-0"):
        raise RuntimeError("CUDA out of memory")
