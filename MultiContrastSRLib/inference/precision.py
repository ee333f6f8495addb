"""The number format in which a network computes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch


def layer_type(precision: str) -> torch.dtype | None:
    """The type for the layers of a network (autocast); None for float32 throughout.

    "auto" is float32: of the 1.7 s that 44 slices of 363 × 259 at ×2 take with a large GPU it computes for 0.12 s, so
    that other types gain nothing there. With the weights that ship, Swift and Dual-ArbNet differ from float32 by at
    most 5e-4 of the image's range in float16 (patient12, ×2 and ×4) and by 2e-3 to 4e-3 in bfloat16. The affinities of
    MINet's stages exceed the range of float16 (error: a quarter of the image's range), and DINet's matching takes
    another patch where two are nearly alike (5e-3).

    Args:
        precision: "auto", "float32", "bfloat16" or "float16".
    """
    return None if precision in ("auto", "float32") else getattr(torch, precision)


@contextmanager
def computing_in(precision: str, device_type: str) -> Iterator[None]:
    """Layers compute in the type of `layer_type`, and float32 is float32.

    cuDNN rounds the inputs of convolutions in float32 to 10 bits (TF32) unless it is told not to; errors of DINet's
    matching are then 3e-4 of the image's range.

    Args:
        device_type: "cpu", "cuda", ….
    """
    layers = layer_type(precision)
    cudnn = torch.backends.cudnn
    settings = {name: getattr(cudnn, name) for name in ("enabled", "benchmark", "deterministic")}
    with (
        cudnn.flags(**settings, allow_tf32=False) if device_type == "cuda" else nullcontext(),
        nullcontext() if layers is None else torch.autocast(device_type, layers),
    ):
        yield
