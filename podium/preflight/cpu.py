"""What this machine's CPU can do."""

from podium.core.errors import some
from podium.preflight.settings import Podium

BF16 = ("avx512_bf16", "amx_bf16", "avx_ne_convert")  # x86 instruction sets, as torch.cpu names them


def emulates_bf16() -> bool:
    """Return whether the CPU lacks bf16 instructions; bf16 is then ten times slower than fp32 (docs/log.md).

    Some torch releases do not report the CPU's capabilities. There, oneDNN's own test decides; it accepts AVX-512.
    """
    import torch  # takes seconds: reading the settings does not need it

    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    if capabilities.get("architecture") == "x86_64":
        return not any(capabilities.get(name) for name in BF16)
    mkldnn = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return mkldnn is not None and not mkldnn()


def emulation_warning(p: Podium, device: str) -> str:
    """Return a warning about members that train in bf16 on a CPU without bf16 instructions, "" if there are none.

    Args:
        p: the settings.
        device: type of the device that trains, e.g. "cpu".
    """
    slow = [name for name, member in p.members.items() if member.model.precision == "bf16"]
    if not slow or device != "cpu" or not emulates_bf16():
        return ""
    return (
        f"WARNING: this CPU has no bf16 instructions: precision bf16 ({some(slow)}) takes ten times as long as fp32"
        " here; set precision: fp32"
    )


def no_fast_kernels_note(p: Podium, device: str) -> str:
    """Return a note if `torch.reproducible: fast` has no effect on the device that trains, "" otherwise.

    Args:
        p: the settings.
        device: type of the device that trains, e.g. "cpu".
    """
    if p.torch.reproducible == "strict" or device == "cuda":
        return ""
    return f"torch.reproducible: fast has no effect on this machine, which trains on {device}"
