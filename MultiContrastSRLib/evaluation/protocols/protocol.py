"""Evaluation protocols by name: how truth is degraded, which slices count, and what PSNR and SSIM are relative to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ...core.errors import InputError, UnknownNameError
from ...image.grid import Grid

Peak = Literal["slice range", "volume maximum", "foreground 99.9 %"]
PEAKS: dict[str, str] = {
    "slice range": "maximum − minimum of each true slice",
    "volume maximum": "maximum of the true volume",
    "foreground 99.9 %": "99.9th percentile of the true volume's foreground",
}


@dataclass(frozen=True)
class Protocol:
    """One way to degrade and to score.

    Attributes:
        name, source: identifier, and whose evaluation it follows.
        degradation: "kspace" (in plane), "slab" or "spline" (along one axis).
        scales: default factors.
        peak: what PSNR's peak and SSIM's data range are, see `PEAKS`.
        unit: "slice": every metric per slice, then averaged; "volume": PSNR over the whole volume.
        ssim: "gaussian 2-D", "uniform 7 2-D" or "gaussian 3-D", see `metrics.ssim`.
        every: every how-manyth slice is scored (or plane standing on the slices, see `case`).
        multiple: slices are cropped, about their middle, to a multiple of this many pixels (k-space crop only).
        reference_degraded: the reference is degraded too, along its own axis.
        rescaled: also report metrics after stretching prediction and truth separately to [0, 1].
        views: slice axes of target and reference where nothing else is said; None: the volumes' own.
        both: a study super-resolves the reference by the target too (`both_ways`).
        pairs: (target, reference) that a study evaluates where nothing else is said.
    """

    name: str
    source: str
    degradation: Literal["kspace", "slab", "spline"] = "kspace"
    scales: tuple[float, ...] = (2.0, 3.0, 4.0)
    peak: Peak = "slice range"
    unit: Literal["slice", "volume"] = "slice"
    ssim: Literal["gaussian 2-D", "uniform 7 2-D", "gaussian 3-D"] = "gaussian 2-D"
    every: int = 1
    multiple: int = 1
    reference_degraded: bool = False
    rescaled: bool = False
    views: tuple[str, str] | None = None
    both: bool = False
    pairs: tuple[tuple[str, str], ...] = ()

    @property
    def title(self) -> str:
        """One line for people.

        >>> PROTOCOLS["p3"].title
        'P3, k-space crop in plane, every 3rd slice'
        """
        how = {"kspace": "k-space crop in plane", "slab": "slabs across slices", "spline": "spline across slices"}
        plane = "slice" if self.degradation == "kspace" else "reformatted plane"
        every = (
            "" if self.every == 1 else f", every {({2: '2nd', 3: '3rd'}).get(self.every, f'{self.every}th')} {plane}"
        )
        return f"{self.name.upper()}, {how.get(self.degradation, self.degradation)}{every}"


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
            degradation="spline",
            scales=(4.0,),
            peak="foreground 99.9 %",
            unit="volume",
            ssim="gaussian 3-D",
            reference_degraded=True,
            rescaled=True,
            views=("sagittal", "coronal"),
            both=True,
            pairs=(("T1", "FLAIR"),),
        ),
    )
}


def get_protocol(protocol: str | Protocol) -> Protocol:
    """The protocol called so (in capitals or not), or the one given.

    Raises:
        UnknownNameError: no such protocol; the message lists those there are.
    """
    if isinstance(protocol, Protocol):
        return protocol
    known = PROTOCOLS.get(str(protocol).lower())
    if known is None:
        raise UnknownNameError(f"Unknown protocol {protocol!r}; expected one of {', '.join(PROTOCOLS)}.")
    return known


VIEWS = {"sagittal": 0, "coronal": 1, "axial": 2}


def axis_index(grid: Grid, axis: int | str | None) -> int:
    """The array axis meant by 0, 1, 2, "k", "j", "i", or a view ("axial": the axis nearest to inferior–superior…).

    None means the grid's slice axis, k where it is isotropic.

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
    index = {"k": 0, "j": 1, "i": 2}.get(axis, axis)
    if index not in (0, 1, 2):
        raise InputError(f"Axis is {axis!r}; expected 0, 1, 2, k, j, i, {', '.join(VIEWS)}.")
    return int(index)
