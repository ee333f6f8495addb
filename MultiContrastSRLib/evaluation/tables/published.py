"""Values that the papers report on their own data, as context for our rows.

Other data were measured, so that only the order of magnitude and the decrease with the scale can be compared. Tables
mark these rows as published on other data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..protocols.protocol import PROTOCOLS, Protocol

MARK = "published, other data"


@dataclass(frozen=True)
class Published:
    """One row of a paper's table.

    Attributes:
        method, source, data: method, paper, and data (target ← reference if there is one direction).
        protocols: names of the protocols whose tables quote it.
        metric: the nearest of ours, see `metrics.catalogue.METRICS`.
        values: scale → number.
    """

    method: str
    source: str
    data: str
    protocols: tuple[str, ...]
    metric: str
    values: Mapping[float, float]

    @property
    def row(self) -> str:
        """The row's name in a table."""
        return f"{self.method}, {self.data} ({MARK})"


_ARB, _MINET, _INR = "Zhang et al., MICCAI 2023", "Feng et al., MICCAI 2021", "McGinnis et al., MICCAI 2023"
_SCALES = (1.5, 2.0, 3.0, 4.0, 6.0, 8.0)


def _arb(data: str, *values: float) -> Published:
    return Published("Dual-ArbNet", _ARB, data, ("p1", "p3"), "psnr", dict(zip(_SCALES, values, strict=True)))


def _minet(data: str, metric: str, x2: float, x4: float) -> Published:
    return Published("MINet", _MINET, data, ("p2",), metric, {2.0: x2, 4.0: x4})


def _inr(method: str, data: str, value: float) -> Published:
    return Published(method, _INR, data, ("p4",), "psnr_rescaled", {4.0: value})


PUBLISHED: tuple[Published, ...] = (
    _arb("fastMRI FS-PD ← PD", 38.139, 34.722, 32.046, 30.707, 28.693, 26.419),
    _arb("IXI T2 ← PD", 43.964, 40.768, 38.241, 36.816, 33.186, 29.537),
    _minet("fastMRI", "psnr", 31.769, 29.819),
    _minet("SMS", "psnr", 40.549, 35.032),
    _minet("uMR", "psnr", 37.997, 34.219),
    _minet("fastMRI", "ssim", 0.709, 0.601),
    _minet("SMS", "ssim", 0.983, 0.948),
    _minet("uMR", "ssim", 0.980, 0.956),
    _inr("Split-head INR", "BraTS T1", 28.746),
    _inr("Split-head INR", "BraTS T2", 31.802),
    _inr("SMORE", "BraTS T1", 26.266),
    _inr("SMORE", "BraTS T2", 28.466),
    _inr("Cubic spline", "BraTS T1", 21.201),
    _inr("Cubic spline", "BraTS T2", 26.201),
    _inr("Split-head INR", "MSSEG T1", 31.769),
    _inr("Split-head INR", "MSSEG FLAIR", 32.514),
    _inr("Cubic spline", "MSSEG T1", 30.102),
    _inr("Cubic spline", "MSSEG FLAIR", 28.724),
    _inr("Split-head INR", "in-house DIR", 31.686),
    _inr("Split-head INR", "in-house FLAIR", 30.246),
    _inr("Cubic spline", "in-house DIR", 28.106),
    _inr("Cubic spline", "in-house FLAIR", 26.545),
)


def published_for(protocol: Protocol, metric: str) -> list[Published]:
    """The rows to quote with our `metric` under `protocol`; none if its degradation is not the one of that name."""
    known = PROTOCOLS.get(protocol.name)
    if known is None or protocol.degradation != known.degradation:
        return []
    return [row for row in PUBLISHED if protocol.name in row.protocols and row.metric == metric]
