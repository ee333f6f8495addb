"""Networks without statistics of the slice, applied to what is not empty in a slice alone.

A third to a half of a slice of the head is air. There a network adds next to nothing to the base image, or a constant:
beyond a margin the correction continues as it is at the margin's edge. In results of real scans (patient12, ×2) this
changes no pixel by more than 1e-3 of the range.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..networks.bounded import limit_reach
from ..networks.network import Network
from ..networks.positions import Positions

_EMPTY = 0.02  # of the range: what is darker in every image is empty; ringing beside the head mostly is
_WORTHWHILE = 0.95  # share of a slice above which all of it is computed

Window = tuple[slice, slice]


def works_on_foreground(network: Network, device_type: str) -> bool:
    """Whether a network is applied to the foreground alone: on the CPU, where every pixel takes time."""
    return device_type == "cpu" and network.reach is not None and network.spec.normalisation == "percentile"


def foreground(base: Tensor, reference: Tensor | None, positions: Positions, margin: int) -> Window | None:
    """The rows and columns of a slice that are not empty, with a margin; None where that is about all of it.

    Args:
        base: (1, C, H, W), the base image and the auxiliary image, normalised.
        reference: (1, C, any size), normalised; None without.
        positions: of the H×W pixels in the reference.
        margin: pixels around what is not empty.

    >>> base = torch.zeros(1, 1, 400, 400)
    >>> base[..., 100:200, 0:300] = 1
    >>> foreground(base, None, Positions.regular((400, 400), ((0.5, 0.0), (0.5, 0.0))), 32)
    (slice(68, 232, None), slice(0, 332, None))
    """
    window = []
    for dim, n in enumerate(base.shape[-2:]):
        used = _occupied(base, dim)
        if reference is not None:
            other = _occupied(reference, dim)
            used = used | other[positions.in_reference[dim].round().long().clamp(0, len(other) - 1)]
        found = torch.nonzero(used)
        if len(found) == 0:
            return None
        window.append(slice(max(0, int(found[0]) - margin), min(n, int(found[-1]) + 1 + margin)))
    rows, columns = window
    share = (rows.stop - rows.start) * (columns.stop - columns.start) / (base.shape[-2] * base.shape[-1])
    return None if share > _WORTHWHILE else (rows, columns)


def super_resolve_foreground(
    network: Network, target: Tensor, reference: Tensor | None, positions: Positions, base: Tensor
) -> Tensor:
    """What `network(target, reference, positions, base=base)` returns, up to the corrections of air.

    Slices with air are computed one by one, so that none depends on the others.
    """
    references = [None] * len(base) if reference is None else reference.split(1)
    margin = max(network.reach or 0, *map(limit_reach, positions.scale))
    windows = [
        foreground(image, other, positions, margin) for image, other in zip(base.split(1), references, strict=True)
    ]
    if not any(windows):
        return network(target, reference, positions, base=base)
    slices = zip(target.split(1), references, base.split(1), windows, strict=True)
    return torch.cat([_single(network, low, other, positions, image, window) for low, other, image, window in slices])


def _single(
    network: Network,
    target: Tensor,
    reference: Tensor | None,
    positions: Positions,
    base: Tensor,
    window: Window | None,
) -> Tensor:
    if window is None:
        return network(target, reference, positions, base=base)
    rows, columns = window
    crop, (height, width), channels = base[..., rows, columns], base.shape[-2:], network.spec.in_channels
    correction = network(target, reference, positions.crop(window), base=crop) - crop[:, :channels]
    around = columns.start, width - columns.stop, rows.start, height - rows.stop
    return base[:, :channels] + F.pad(correction, around, mode="replicate")


def _occupied(images: Tensor, dim: int) -> Tensor:
    """Of (1, C, H, W), which rows (`dim` 0) or columns (1) are not empty in some channel."""
    return images[0].abs().amax((0, 2 - dim)) > _EMPTY
