"""The number format in which a network computes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch


@contextmanager
def computing_in(precision: str, device_type: str) -> Iterator[None]:
    """Layers compute in the number format `precision` (autocast), and float32 is float32.

    "auto" is float32: of the 1.7 s that 44 slices of 363 × 259 at ×2 take with a large GPU it computes for 0.12 s, so
    that other formats gain nothing there. With the weights that ship, Swift and Dual-ArbNet differ from float32 by at
    most 5e-4 of the image's range in float16 (patient12, ×2 and ×4) and by 2e-3 to 4e-3 in bfloat16. The affinities of
    MINet's stages exceed the range of float16 (error: a quarter of the image's range), and DINet's matching takes
    another patch where two are nearly alike (5e-3).

    cuDNN rounds the inputs of convolutions in float32 to 10 bits (TF32) unless it is told not to; errors of DINet's
    matching are then 3e-4 of the image's range.

    Args:
        precision: "auto", "float32", "bfloat16" or "float16".
        device_type: "cpu", "cuda", ….
    """
    cudnn = torch.backends.cudnn
    settings = {name: getattr(cudnn, name) for name in ("enabled", "benchmark", "deterministic")}
    full = precision in ("auto", "float32")
    with (
        cudnn.flags(**settings, allow_tf32=False) if device_type == "cuda" else nullcontext(),
        nullcontext() if full else torch.autocast(device_type, getattr(torch, precision)),
    ):
        yield
