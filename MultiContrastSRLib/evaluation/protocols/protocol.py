"""Evaluation protocols by name: how truth is degraded, which slices are scored, and the peak of PSNR and SSIM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

import numpy as np

from ...core.errors import InputError, UnknownNameError
from ...image.grid import AXES, Grid

Peak = Literal["slice range", "volume maximum", "foreground 99.9 %"]
PEAKS: dict[str, str] = {
    "slice range": "maximum − minimum of each true slice",
    "volume maximum": "maximum of the true volume",
    "foreground 99.9 %": "99.9th percentile of the true volume's foreground",
}
_DEGRADATION_TITLES = {
    "kspace": "k-space crop in plane",
    "slab": "slabs across slices",
    "spline": "spline across slices",
    "subsample": "every n-th slice kept",
}


@dataclass(frozen=True)
class Protocol:
    """How to degrade and to score.

    Attributes:
        name, source: identifier, and whose evaluation it follows.
        degradation: "kspace" (in plane), or "slab", "spline" or "subsample" (along one axis), see `degrade`.
        scales: default scale factors.
        peak: PSNR's peak and SSIM's data range, see `PEAKS`.
        unit: "slice": every metric per slice, then averaged; "volume": PSNR over the whole volume.
        ssim: window and dimensions, see `metrics.formulas.ssim`.
        every: every how-manyth slice is scored (or plane perpendicular to the slices, see `case`).
        multiple: slices are cropped, about their middle, to a multiple of this many pixels (k-space crop only).
        reference_degraded: the reference is degraded too, along its own axis.
        rescaled: also report metrics after prediction and truth were re-scaled separately.
        views: slice axes of target and reference unless given; None: the volumes' own.
        bidirectional: a study also super-resolves the reference by means of the target.
        pairs: (target, reference) that a study evaluates unless given.
    """

    name: str
    source: str
    degradation: Literal["kspace", "slab", "spline", "subsample"] = "kspace"
    scales: tuple[float, ...] = (2.0, 3.0, 4.0)
    peak: Peak = "slice range"
    unit: Literal["slice", "volume"] = "slice"
    ssim: Literal["gaussian 2-D", "uniform 7 2-D", "uniform 7 3-D"] = "gaussian 2-D"
    every: int = 1
    multiple: int = 1
    reference_degraded: bool = False
    rescaled: bool = False
    views: tuple[str, str] | None = None
    bidirectional: bool = False
    pairs: tuple[tuple[str, str], ...] = ()

    @property
    def title(self) -> str:
        """One line for headings.

        >>> PROTOCOLS["p3"].title
        'P3, k-space crop in plane, every 3rd slice'
        """
        plane = "slice" if self.degradation == "kspace" else "reformatted plane"
        ordinal = {2: "2nd", 3: "3rd"}.get(self.every, f"{self.every}th")
        every = "" if self.every == 1 else f", every {ordinal} {plane}"
        return f"{self.name.upper()}, {_DEGRADATION_TITLES.get(self.degradation, self.degradation)}{every}"

    def as_dict(self) -> dict:
        """In JSON's types, with the title and the peak in words."""
        plain = {"both" if key == "bidirectional" else key: value for key, value in asdict(self).items()}
        return {**plain, "title": self.title, "peak": PEAKS[self.peak]}


PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "p1",
            "Dual-ArbNet, Zhang et al. 2023",
            scales=(1.5, 2.0, 3.0, 4.0, 6.0, 8.0),
            multiple=24,
        ),
        Protocol(
            "p2",
            "MINet, Feng et al. 2021",
            scales=(2.0, 4.0),
            peak="volume maximum",
            unit="volume",
            ssim="uniform 7 2-D",
        ),
        Protocol(
            "p3",
            "headline: P1's degradation on contiguous volumes",
            every=3,
            multiple=24,
            pairs=(("T2", "T1"), ("FLAIR", "T1"), ("FLAIR", "T2"), ("T1POST", "T1"), ("T1", "FLAIR")),
        ),
        Protocol(
            "p4",
            "McGinnis et al. 2023, two contrasts in orthogonal thick views",
            degradation="subsample",
            scales=(4.0,),
            peak="foreground 99.9 %",
            unit="volume",
            ssim="uniform 7 3-D",
            reference_degraded=True,
            rescaled=True,
            views=("sagittal", "coronal"),
            bidirectional=True,
            pairs=(("T1", "FLAIR"),),
        ),
    )
}


def get_protocol(protocol: str | Protocol) -> Protocol:
    """The protocol of that name (in any case), or the one given.

    Raises:
        UnknownNameError: no such protocol; the message lists those there are.
    """
    if isinstance(protocol, Protocol):
        return protocol
    known = PROTOCOLS.get(str(protocol).lower())
    if known is None:
        raise UnknownNameError(f"Unknown protocol {protocol!r}; expected one of {', '.join(PROTOCOLS)}.")
    return known


def adjusted_protocol(
    protocol: str | Protocol, degradation: str | None = None, slices: int | Sequence[int] | None = None
) -> Protocol:
    """The protocol with another degradation or other slices, where given.

    Raises:
        UnknownNameError: no such protocol.
    """
    chosen = get_protocol(protocol)
    if degradation is not None:
        chosen = replace(chosen, degradation=degradation)
    if slices is not None:
        chosen = replace(chosen, every=slices if np.ndim(slices) == 0 else 1)
    return chosen


VIEWS = {"sagittal": 0, "coronal": 1, "axial": 2}


def axis_index(grid: Grid, axis: int | str | None) -> int:
    """The array axis meant by 0, 1, 2, "k", "j", "i", or a view ("axial": the axis nearest to inferior–superior…).

    None means the grid's slice axis, k if it is isotropic.

    Raises:
        InputError: none of these.

    >>> axis_index(Grid((4, 5, 6), np.eye(4)), "sagittal"), axis_index(Grid((4, 5, 6), np.eye(4)), None)
    (2, 0)
    """
    if axis is None:
        return 0 if grid.slice_axis is None else grid.slice_axis
    if axis in VIEWS:
        directions = np.abs(grid.affine[:3, :3] / np.linalg.norm(grid.affine[:3, :3], axis=0))
        return 2 - int(np.argmax(directions[VIEWS[axis]]))
    if str(axis) not in AXES:
        raise InputError(f"Axis is {axis!r}; expected 0, 1, 2, k, j, i, {', '.join(VIEWS)}.")
    return AXES[str(axis)]
