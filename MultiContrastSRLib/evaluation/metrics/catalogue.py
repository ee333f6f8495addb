"""The metrics of an evaluation: label, unit, decimals, and which direction is better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """How a metric is printed.

    Attributes:
        label, unit: of its column.
        decimals: digits after the point.
        better: "high", "low" or "one" (closest to 1).
    """

    label: str
    unit: str
    decimals: int
    better: Literal["high", "low", "one"]


METRICS: dict[str, Metric] = {
    "psnr": Metric("PSNR", "dB", 2, "high"),
    "ssim": Metric("SSIM", "", 4, "high"),
    "psnr_foreground": Metric("PSNR foreground", "dB", 2, "high"),
    "psnr_brain": Metric("PSNR brain", "dB", 2, "high"),
    "psnr_lesion": Metric("PSNR lesion", "dB", 2, "high"),
    "contrast_lesion": Metric("Lesion contrast kept", "", 3, "one"),
    "hfen": Metric("HFEN", "", 4, "low"),
    "nmse": Metric("NMSE", "", 5, "low"),
    "mi_error": Metric("MI error", "nat", 4, "low"),
    "mi_error_both": Metric("MI error, both predicted", "nat", 4, "low"),
    "psnr_rescaled": Metric("PSNR re-scaled", "dB", 2, "high"),
    "ssim_rescaled": Metric("SSIM re-scaled", "", 4, "high"),
    "seconds": Metric("Time", "s", 2, "low"),
}

GAINS = ("psnr", "psnr_brain")  # also reported as paired differences from the baseline
