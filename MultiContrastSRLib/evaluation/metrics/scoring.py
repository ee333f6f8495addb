"""All metrics of one prediction, as a protocol asks for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...image.similarity import psnr
from ..protocols.case import Case
from ..protocols.protocol import Protocol
from . import formulas

BRAIN_PIXELS = 50  # slices with fewer have no value
LESION_PIXELS = 5  # likewise
CONTRAST = 0.02  # lesions fainter than this against their surroundings have no contrast to keep


@dataclass(frozen=True)
class Truth:
    """The true scored slices, (slices, rows, columns), their regions and peak.

    Attributes:
        image: the truth.
        foreground, brain, lesions: bool; `lesions` may be None.
        other: the other contrast's truth on the same grid, or None.
        peak: PSNR's peak and SSIM's data range, one number or one per slice.
    """

    image: np.ndarray
    foreground: np.ndarray
    brain: np.ndarray
    lesions: np.ndarray | None
    other: np.ndarray | None
    peak: np.ndarray | float

    @classmethod
    def of(cls, case: Case, other: np.ndarray | None) -> Truth:
        """The truth of `case`; `other` is the reference on the truth's grid."""
        image = case.scored(case.truth.array)
        kind = case.protocol.peak
        if kind == "slice range":
            peak = np.ptp(image.reshape(len(image), -1), axis=1).astype(np.float64)
        elif kind == "volume maximum":
            peak = float(image.max())
        else:
            peak = float(np.percentile(image[case.foreground], 99.9))
        other = None if other is None else case.scored(other)
        return cls(image, case.foreground, case.brain, case.lesions, other, peak)


def score(prediction: np.ndarray, truth: Truth, protocol: Protocol) -> dict[str, np.ndarray]:
    """Metric name → one value per slice, or a single one where the metric or the protocol is volume-wise."""
    found = {
        "psnr": _psnr(prediction, truth, protocol),
        "ssim": _ssim(prediction, truth.image, truth.peak, protocol),
        "psnr_foreground": _psnr(prediction, truth, protocol, truth.foreground, BRAIN_PIXELS),
        "psnr_brain": _psnr(prediction, truth, protocol, truth.brain, BRAIN_PIXELS),
        "hfen": formulas.hfen(prediction, truth.image),
        "nmse": formulas.nmse(*_units(protocol, prediction, truth.image)),
    }
    if truth.lesions is not None and truth.lesions.any():
        found["psnr_lesion"] = _psnr(prediction, truth, protocol, truth.lesions, LESION_PIXELS)
        contrasts = [
            formulas.lesion_contrast(image, truth.lesions, truth.foreground) for image in (prediction, truth.image)
        ]
        kept = contrasts[0] / contrasts[1] if abs(contrasts[1]) >= CONTRAST else np.nan
        found["contrast_lesion"] = np.array([kept])
    if truth.other is not None:
        error = formulas.mutual_information_error(prediction, truth.image, truth.other, truth.foreground)
        found["mi_error"] = np.array([error])
    if protocol.rescaled:
        pair = [formulas.rescaled(image, truth.foreground) for image in (prediction, truth.image)]
        found["psnr_rescaled"] = psnr(*_units(protocol, *pair), 1.0)
        found["ssim_rescaled"] = _ssim(*pair, 1.0, protocol)
    return found


def _units(protocol: Protocol, *arrays: np.ndarray | None) -> list[np.ndarray | None]:
    """The arrays as they are for slice-wise protocols, as a single "slice" for volume-wise ones."""
    if protocol.unit == "slice":
        return list(arrays)
    return [None if array is None else array.reshape(1, -1, array.shape[-1]) for array in arrays]


def _psnr(
    prediction: np.ndarray, truth: Truth, protocol: Protocol, mask: np.ndarray | None = None, minimum: int = 1
) -> np.ndarray:
    image, true, region = _units(protocol, prediction, truth.image, mask)
    return psnr(image, true, truth.peak, region, minimum)


def _ssim(prediction: np.ndarray, truth: np.ndarray, data_range: np.ndarray | float, protocol: Protocol) -> np.ndarray:
    window = "gaussian" if protocol.ssim.startswith("gaussian") else 7
    return formulas.ssim(prediction, truth, data_range, window=window, volumetric=protocol.ssim.endswith("3-D"))
