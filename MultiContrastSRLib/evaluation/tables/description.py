"""How the numbers of an evaluation were made, in sentences printed below every table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..baselines import MASK_TRICK
from ..method_under_test import MethodUnderTest
from ..protocols.case import OCCUPIED, Case
from ..protocols.protocol import PEAKS
from ..protocols.references import FULL, REFERENCES
from ..protocols.scales import Scale, scale_name

_DEGRADATIONS = {
    "subsample": "subsample: every n-th voxel, as McGinnis et al. 2023",
    "spline": "spline: cubic-spline samples at the centres of slabs that tile the field of view",
}


def describe(
    case: Case, methods: Sequence[MethodUnderTest], masked: bool, references: Mapping[Scale, tuple[str, ...]]
) -> tuple[str, ...]:
    """The sentences.

    Args:
        masked: whether the foreground was given.
        references: scale → how the reference was registered and degraded.
    """
    protocol = case.protocol
    names = "kji"
    axes = " and ".join(names[axis] for axis, flag in enumerate(case.degraded_axes) if flag)
    pixels = " × ".join(str(n) for axis, n in enumerate(case.truth.shape) if axis != case.plane_axis)
    first, last = case.first + case.planes[0], case.first + case.planes[-1]
    averaged = "per slice, then mean" if protocol.unit == "slice" else "over the volume"
    window = " (σ = 1.5, 11 taps)" if "gaussian" in protocol.ssim else ""
    region = "the given mask" if masked else "above 5 % of the 99.9th percentile, largest part, filled"
    sentences = [
        f"n = {len(case.planes)} planes of {pixels} pixels ({names[case.plane_axis]} = {first} … {last}, each at least "
        f"{100 * OCCUPIED:g} % foreground) of 1 subject; intervals are over planes, not subjects.",
        f"Degraded along {axes} ({_DEGRADATIONS.get(protocol.degradation, protocol.degradation)}).",
        f"PSNR peak and SSIM data_range: {PEAKS[protocol.peak]}. PSNR {averaged}. SSIM {protocol.ssim}{window}.",
        f"Brain: foreground ({region}) eroded by 6 px in plane; the peak stays the whole plane's.",
        "HFEN: 15 × 15 Laplacian of Gaussian, σ = 1.5, relative. Time: preparing, and rendering the scored planes.",
    ]
    plain = [method.row for method in methods if not method.enforces_consistency]
    if plain:
        sentences.append(f"Without data consistency, as plain interpolations are: {', '.join(plain)}.")
    if protocol.rescaled:
        sentences.append(
            "Re-scaled, as McGinnis et al. 2023 do: prediction and truth are each stretched from their own minimum in "
            "the foreground and their own maximum to [0, 1], and set to 0 outside the foreground; the peak is then 1."
        )
    if case.alone:
        sentences.append("Each scored slice was degraded and prepared by itself; no method saw its neighbours.")
    for kind in dict.fromkeys(method.reference for method in methods if method.reference != FULL):
        rows = ", ".join(method.row for method in methods if method.reference == kind)
        sentences.append(f"Reference {REFERENCES[kind]}: {rows}.")
    if case.reference is not None:
        sentences += [
            "MI error: |MI(result, reference) − MI(truth, reference)|, 32 bins, natural logarithm, in the foreground.",
            f"{MASK_TRICK}: sinc × (reference > 0, holes filled), then data consistency; no method, but what contrasts "
            "that were skull-stripped by one mask give away.",
        ]
        for sentence in dict.fromkeys(sentence for group in references.values() for sentence in group):
            at = [f"×{scale_name(scale)}" for scale, group in references.items() if sentence in group]
            sentences.append(sentence if len(at) == len(references) else f"At {', '.join(at)}: {sentence}")
    return tuple(sentences)
