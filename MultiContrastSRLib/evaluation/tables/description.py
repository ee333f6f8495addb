"""How the numbers of an evaluation were made, in sentences that travel with every table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..baselines import MASK_TRICK
from ..method_under_test import Entry
from ..protocols.case import OCCUPIED, Case
from ..protocols.protocol import PEAKS
from ..protocols.references import FULL, REFERENCES
from ..protocols.scales import Scale, scale_name


def conditions(
    case: Case, entries: Sequence[Entry], masked: bool, placed: Mapping[Scale, tuple[str, ...]]
) -> tuple[str, ...]:
    """The sentences.

    Args:
        masked: whether the foreground was given.
        placed: scale → how the reference was placed.
    """
    protocol = case.protocol
    names = "kji"
    lost = " and ".join(names[axis] for axis, flag in enumerate(case.degraded) if flag)
    pixels = " × ".join(str(n) for axis, n in enumerate(case.truth.shape) if axis != case.across)
    first, last = case.first + case.planes[0], case.first + case.planes[-1]
    averaged = "per slice, then mean" if protocol.unit == "slice" else "over the volume"
    window = " (σ = 1.5, 11 taps)" if "gaussian" in protocol.ssim else ""
    region = "the given mask" if masked else "above 5 % of the 99.9th percentile, largest part, filled"
    said = [
        f"n = {len(case.planes)} planes of {pixels} pixels ({names[case.across]} = {first} … {last}, each at least "
        f"{100 * OCCUPIED:g} % foreground) of 1 subject; intervals are over planes, not subjects.",
        f"Degraded along {lost} ({protocol.degradation}).",
        f"PSNR peak and SSIM data_range: {PEAKS[protocol.peak]}. PSNR {averaged}. SSIM {protocol.ssim}{window}.",
        f"Brain: foreground ({region}) eroded by 6 px in plane; the peak stays the whole plane's.",
        "HFEN: 15 × 15 Laplacian of Gaussian, σ = 1.5, relative. Time: preparing, and rendering the scored planes.",
    ]
    plain = [entry.row for entry in entries if not entry.consistent]
    if plain:
        said.append(f"Without data consistency, as plain interpolations are: {', '.join(plain)}.")
    if protocol.rescaled:
        said.append(
            "Re-scaled: prediction and truth are stretched separately to [0, 1] by their own extremes, as the "
            "paper does; the peak is then 1."
        )
    if case.alone:
        said.append("Each scored slice was degraded and prepared by itself; no method saw its neighbours.")
    for kind in dict.fromkeys(entry.reference for entry in entries if entry.reference != FULL):
        those = ", ".join(entry.row for entry in entries if entry.reference == kind)
        said.append(f"Reference {REFERENCES[kind]}: {those}.")
    if case.reference is not None:
        said += [
            "MI error: |MI(result, reference) − MI(truth, reference)|, 32 bins, natural logarithm, in the foreground.",
            f"{MASK_TRICK}: sinc × (reference > 0, holes filled), then data consistency; no method, but what contrasts "
            "that were skull-stripped by one mask give away.",
        ]
        for sentence in dict.fromkeys(sentence for sentences in placed.values() for sentence in sentences):
            at = [f"×{scale_name(scale)}" for scale, sentences in placed.items() if sentence in sentences]
            said.append(sentence if len(at) == len(placed) else f"At {', '.join(at)}: {sentence}")
    return tuple(said)
