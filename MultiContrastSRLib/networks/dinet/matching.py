"""Hard patch matching: each pixel takes the most similar 3×3 patch of another feature map nearby."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_TAPS = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]


def transfer(target: Tensor, reference: Tensor, radius: int) -> tuple[Tensor, Tensor]:
    """Reference patches at the pixels whose target patch they match best, and the similarity.

    For every pixel the 3×3 patch of `reference` with the largest cosine to the target's patch is searched at up to
    `radius` pixels in each direction; the matches are folded into an image, and overlaps averaged.

    Args:
        target, reference: (B, C, H, W).

    Returns:
        transferred (B, C, H, W), similarity (B, 1, H, W) in −1…1. The search itself has no gradient, both results do.
    """
    with torch.no_grad():
        row, col = _best(target, reference, radius)
    transferred = _fold(reference, row, col)
    return transferred, _similarity(target, reference, row, col)


def _box(x: Tensor) -> Tensor:
    """Sum over 3×3 neighbourhoods, zeros outside: (B, 1, H, W)."""
    return 9 * F.avg_pool2d(x, 3, stride=1, padding=1)


def _norm(x: Tensor) -> Tensor:
    return (_box(x.square().sum(1, keepdim=True)) + 1e-12).sqrt()


def _best(target: Tensor, reference: Tensor, radius: int) -> tuple[Tensor, Tensor]:
    """Row and column (B, H, W) of the centre of the best patch."""
    h, w = target.shape[2:]
    padded = F.pad(reference, (radius,) * 4)
    inverse = F.pad(1 / _norm(reference), (radius,) * 4, value=-1.0)  # marks candidates outside the image
    best = target.new_full((len(target), 1, h, w), -torch.inf)
    offset = torch.zeros_like(best, dtype=torch.long)
    reach = range(-radius, radius + 1)
    # nearest first, so that equal patches (background) stay where they are
    for dy, dx in sorted(((dy, dx) for dy in reach for dx in reach), key=lambda o: (o[0] ** 2 + o[1] ** 2, o)):
        rows, cols = slice(radius + dy, radius + dy + h), slice(radius + dx, radius + dx + w)
        near = inverse[..., rows, cols]
        score = _box((target * padded[..., rows, cols]).sum(1, keepdim=True)) * near
        better = (score > best) & (near > 0)
        best = torch.where(better, score, best)
        offset[better] = (dy + radius) * (2 * radius + 1) + dx + radius
    dy, dx = offset[:, 0] // (2 * radius + 1) - radius, offset[:, 0] % (2 * radius + 1) - radius
    return torch.arange(h, device=dy.device)[:, None] + dy, torch.arange(w, device=dx.device) + dx


def _gather(x: Tensor, row: Tensor, col: Tensor) -> Tensor:
    """`x` (B, C, h, w) at whole pixels row, col (B, H, W): (B, C, H, W); outside the image the nearest pixel."""
    b, c, h, w = x.shape
    index = (row.clamp(0, h - 1) * w + col.clamp(0, w - 1)).flatten(1)
    return x.flatten(2).gather(2, index[:, None].expand(b, c, -1)).view(b, c, *row.shape[1:])


def _fold(reference: Tensor, row: Tensor, col: Tensor) -> Tensor:
    """Matches folded and averaged: pixel p gets, of each neighbour's match m(p − tap), the pixel m + tap."""
    h, w = reference.shape[2:]
    total, count = torch.zeros_like(reference), reference.new_zeros(len(reference), 1, h, w)
    for dy, dx in _TAPS:
        # matches of the neighbours; −9 lies outside any image even after adding a tap
        source = [_shifted(m, dy, dx) + d for m, d in ((row, dy), (col, dx))]
        inside = ((source[0] >= 0) & (source[0] < h) & (source[1] >= 0) & (source[1] < w))[:, None].to(reference)
        total = total + inside * _gather(reference, *source)
        count = count + inside
    return total / count  # its own match's centre always counts


def _shifted(x: Tensor, dy: int, dx: int) -> Tensor:
    """`x` (B, H, W) at p − (dy, dx); −9 from outside."""
    h, w = x.shape[1:]
    return F.pad(x, (1, 1, 1, 1), value=-9)[:, 1 - dy : 1 - dy + h, 1 - dx : 1 - dx + w]


def _similarity(target: Tensor, reference: Tensor, row: Tensor, col: Tensor) -> Tensor:
    """Cosine of each target patch and its match, (B, 1, H, W)."""
    h, w = target.shape[2:]
    padded = F.pad(target, (1, 1, 1, 1))
    dot = target.new_zeros(len(target), h, w)
    for dy, dx in _TAPS:
        inside = (row + dy >= 0) & (row + dy < h) & (col + dx >= 0) & (col + dx < w)
        near = padded[..., 1 + dy : 1 + dy + h, 1 + dx : 1 + dx + w]
        dot = dot + (near * _gather(reference, row + dy, col + dx)).sum(1) * inside.to(target)
    norms = _norm(target) * _gather(_norm(reference), row, col)
    return dot[:, None] / norms
