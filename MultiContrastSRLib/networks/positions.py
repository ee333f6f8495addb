"""Where output pixels lie in the input images, and sampling of feature maps at these positions.

Positions are physical. The caller states, for every output row and column, at which fractional pixel of the target and
of the reference it lies: a k-space crop (sample ⌊m/2⌋ on ⌊n/2⌋), a slab or a translated reference differ only in these
vectors. No network computes positions from shapes, which is a common cause of half-pixel shifts.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.cache import bytes_bounded_cache
from ..core.errors import InputError

_CACHE_BYTES = 16 << 20  # of vectors on devices, some kB each
_TIE = 1e-6  # as in `kernels.nearest`: rounding must not decide a tie differently in a crop


@dataclass(frozen=True, eq=False)
class Positions:
    """The output lattice, H rows and W columns, in the pixels of the input images. float64, on the CPU.

    Attributes:
        rows_t (H,), cols_t (W,): fractional target rows and columns; 0 is the centre of the first pixel.
        step_t: target pixels from one output (row, column) to the next: 1/scale.
        rows_r (H,), cols_r (W,), step_r: the same in the reference's pixels, or None without a reference.

    Steps are stored in addition to the vectors, since a single row has none.
    """

    rows_t: Tensor
    cols_t: Tensor
    step_t: tuple[float, float]
    rows_r: Tensor | None = None
    cols_r: Tensor | None = None
    step_r: tuple[float, float] | None = None

    @classmethod
    def regular(
        cls,
        shape: tuple[int, int],
        target: tuple[tuple[float, float], tuple[float, float]],
        reference: tuple[tuple[float, float], tuple[float, float]] | None = None,
    ) -> Positions:
        """H×W output pixels; `target` and `reference` hold (step, offset) for rows and for columns.

        Output row x lies at row step·x + offset of the image, the pair that `AxisModel.lattice_positions` gives.

        >>> Positions.regular((4, 6), ((0.5, 0.0), (0.5, 0.0))).rows_t.tolist()
        [0.0, 0.5, 1.0, 1.5]
        """
        index = [torch.arange(n, dtype=torch.float64) for n in shape]
        given = [None if maps is None else [s * i + o for (s, o), i in zip(maps, index, strict=True)]
                 for maps in (target, reference)]  # fmt: skip
        steps = [None if maps is None else (abs(maps[0][0]), abs(maps[1][0])) for maps in (target, reference)]
        rows_r, cols_r = given[1] or (None, None)
        return cls(*given[0], steps[0], rows_r, cols_r, steps[1])

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        return len(self.rows_t), len(self.cols_t)

    @property
    def scale(self) -> tuple[float, float]:
        """Output pixels per target pixel, (rows, columns)."""
        return 1 / self.step_t[0], 1 / self.step_t[1]

    @property
    def in_target(self) -> tuple[Tensor, Tensor]:
        """(rows, columns) in target pixels."""
        return self.rows_t, self.cols_t

    @property
    def in_reference(self) -> tuple[Tensor, Tensor]:
        """(rows, columns) in reference pixels. Raises `InputError` when there are none."""
        if self.rows_r is None or self.cols_r is None:
            raise InputError("A reference is given but the positions hold none in its pixels; pass rows_r and cols_r.")
        return self.rows_r, self.cols_r

    def crop(self, window: tuple[slice, slice]) -> Positions:
        """The positions of the output's rows and columns in `window`."""
        rows, cols = window
        return Positions(
            self.rows_t[rows],
            self.cols_t[cols],
            self.step_t,
            None if self.rows_r is None else self.rows_r[rows],
            None if self.cols_r is None else self.cols_r[cols],
            self.step_r,
        )


def nearest(positions: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """(index of the nearest of n pixels (p,), position − index (p,)); ties go to the higher index."""
    index = (positions + 0.5 + _TIE).floor().clamp(0, n - 1)
    return index.long(), positions - index


def corners(positions: Tensor, n: int) -> list[tuple[Tensor, Tensor, Tensor]]:
    """The two neighbours of each position: [(index (p,), position − index (p,), weight (p,)), …], weights sum to 1.

    Beyond the edge both neighbours are the edge pixel.
    """
    lower = (positions + _TIE).floor()
    fraction = (positions - lower).clamp(0, 1)
    found = []
    for corner, weight in ((lower, 1 - fraction), (lower + 1, fraction)):
        index = corner.clamp(0, n - 1)
        found.append((index.long(), positions - index, weight))
    return found


def take(x: Tensor, index: Tensor, dim: int) -> Tensor:
    """`x` at whole indices (p,) along `dim`; `x` itself where these are all of its pixels in order.

    The memory format is preserved: `index_select` alone would return a contiguous tensor for a channels-last one.
    """
    if len(index) == x.shape[dim] and torch.equal(index, torch.arange(len(index))):
        return x
    index = to_device(index, x.device, index.dtype)
    if x.is_contiguous(memory_format=torch.channels_last):
        return x.permute(0, 2, 3, 1).index_select(dim - 1, index).permute(0, 3, 1, 2)
    return x.index_select(dim, index)


def along(vector: Tensor, x: Tensor, dim: int) -> Tensor:
    """A position-wise vector (p,) in x's type and device, shaped to multiply rows (dim 2) or columns (dim 3)."""
    return to_device(vector, x.device, x.dtype).view((-1, 1) if dim == 2 else (1, -1))


def to_device(vector: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """A vector on the CPU, such as positions, on another device and in another type: copied there once for all batches.

    Not to be changed.
    """
    if device.type == "cpu":
        return vector.to(dtype)
    return _uploaded(vector.numpy().tobytes(), vector.dtype, device, dtype)


@bytes_bounded_cache(_CACHE_BYTES)
def _uploaded(values: bytes, own: torch.dtype, device: torch.device, dtype: torch.dtype) -> Tensor:
    with torch.inference_mode(False):  # it may be needed for gradients later
        return torch.frombuffer(bytearray(values), dtype=own).to(device, dtype)


def sample_nearest(x: Tensor, rows: Tensor, cols: Tensor) -> Tensor:
    """`x` (B, C, h, w) at the nearest pixels to rows (H,) and cols (W,): (B, C, H, W)."""
    return take(take(x, nearest(rows, x.shape[2])[0], 2), nearest(cols, x.shape[3])[0], 3)


def sample_linear(x: Tensor, rows: Tensor, cols: Tensor) -> Tensor:
    """`x` (B, C, h, w) bilinearly at rows (H,) and cols (W,), constant beyond the edges: (B, C, H, W)."""
    for dim, positions in ((2, rows), (3, cols)):
        (low, _, _), (high, _, weight) = corners(positions, x.shape[dim])
        if weight.max() < 2 * _TIE:  # on the pixels
            x = take(x, low, dim)
        else:
            x = torch.lerp(take(x, low, dim), take(x, high, dim), along(weight, x, dim))
    return x
