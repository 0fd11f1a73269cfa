"""The `torch` section: what the numbers of a training depend on beside its member's settings."""

from typing import Literal

from pydantic import Field

from stages.lib.params import Section


class TorchSettings(Section):
    """Device and threads; the number of threads changes sums of floats, so it is a parameter."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    threads: int = Field(2, ge=1)
