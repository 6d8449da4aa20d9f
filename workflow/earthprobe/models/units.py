"""What a CPU computes by units of its own; without them, shorter numbers take longer than float32."""

import torch


def bfloat16() -> bool:
    """Whether it has units for products of bfloat16."""
    return _any("avx512_bf16", "amx_bf16", "amx_tile", "arm_bf16")


def int8() -> bool:
    """Whether it has units for products of integers of 8 bits."""
    return _any("avx512_vnni", "amx_int8")


def _any(*names: str) -> bool:
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in names)
