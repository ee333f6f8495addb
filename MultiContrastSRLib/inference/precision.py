"""The number format in which a network computes on a device."""

from __future__ import annotations

import torch

from ..networks.spec import Spec

# The affinities of MINet's stages exceed the range of float16 (error: a quarter of the image's range); DINet's matching
# takes another patch where two are nearly alike (5e-3).
_NEEDS_FLOAT32 = ("dinet", "minet")


def layer_type(precision: str, device_type: str, spec: Spec) -> torch.dtype | None:
    """The type for the layers of the network of `spec` (autocast); None for float32 throughout.

    "auto" is float16 on CUDA devices for networks that correct a base image, which stays in float32. Shipped weights
    then differ from float32 by at most 5e-4 of the image's range (patient12, ×2 and ×4; Swift 2e-4), in bfloat16 by
    2e-3 to 4e-3.

    Args:
        precision: "auto", "float32", "bfloat16" or "float16".
        device_type: "cpu", "cuda", ….
    """
    if precision == "auto":
        small_error = spec.base_image is not None and spec.network not in _NEEDS_FLOAT32
        return torch.float16 if device_type == "cuda" and small_error else None
    return None if precision == "float32" else getattr(torch, precision)
