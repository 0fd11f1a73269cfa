"""What this machine's CPU can do."""

BF16 = ("avx512_bf16", "amx_bf16", "avx_ne_convert")  # of x86, as torch.cpu names them


def emulates_bf16() -> bool:
    """Say whether bf16 is computed without instructions for it, ten times slower than fp32 (docs/log.md).

    Torch releases that do not tell what the CPU has are asked whether oneDNN takes bf16, which AVX-512 is enough for.
    """
    import torch  # seconds, which reading the settings does without

    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    if capabilities.get("architecture") == "x86_64":
        return not any(capabilities.get(name) for name in BF16)
    mkldnn = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return mkldnn is not None and not mkldnn()
