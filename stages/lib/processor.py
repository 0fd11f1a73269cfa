"""What this machine's CPU can do."""

import torch


def emulates_bf16() -> bool:
    """Say whether bf16 is computed without instructions for it, ten times slower than fp32 (docs/log.md).

    False where torch was built without oneDNN, which is what knows.
    """
    if not torch._C._has_mkldnn:
        return False
    return not torch.ops.mkldnn._is_mkldnn_bf16_supported()
