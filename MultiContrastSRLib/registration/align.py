"""Bring the reference onto the target, and notice when it does not belong there.

The reference is never resampled here: a registration moves its affine. Similarity is the mutual information of the two
images inside the target's foreground (natural logarithm), which knows nothing of contrast.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.errors import InputError
from ..core.progress import Monitor
from ..image import kernels
from ..image.sampling import sample
from ..image.similarity import foreground, mutual_information
from ..image.volume import Volume
from .resample import explained_detail

REGISTER = ("auto", "off", "on")
MIN_OVERLAP = 0.1  # of the target's foreground
MIN_SIMILARITY = 0.02  # nats
_BINS = 16
_SAMPLES = 200_000
_GAIN = 1.1  # by which registration must raise the explained detail to be worth a move (auto): found on patients 01, 04
_WORTH = 0.02  # share of the detail below which there is nothing to gain
_LIMIT_MM, _LIMIT_DEGREES = 40.0, 25.0  # beyond which a rigid correction of one session is not believed


@dataclass(frozen=True)
class Alignment:
    """The outcome.

    Attributes:
        reference: the reference at its place, or None when it must not be used.
        transform: 4×4 RAS-to-RAS that moves the given reference onto the target (identity when not registered).
        registered: whether a registration was applied.
        overlap: fraction of the target's foreground that the reference covers.
        similarity, similarity_before: mutual information in nats, after and before registration.
        displacement: largest shift in mm that the registration made within the target's field of view.
        warnings: plain sentences for the user.
    """

    reference: Volume | None
    transform: np.ndarray
    registered: bool = False
    overlap: float = 0.0
    similarity: float = 0.0
    similarity_before: float = 0.0
    displacement: float = 0.0
    warnings: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """JSON-able."""
        return {
            "used": self.reference is not None,
            "registered": self.registered,
            "overlap": self.overlap,
            "similarity": self.similarity,
            "similarity_before": self.similarity_before,
            "displacement_mm": self.displacement,
            "transform_ras": self.transform.tolist(),
        }


def align(target: Volume, reference: Volume, register: str = "auto", monitor: Monitor | None = None) -> Alignment:
    """Judge and, where asked or useful, rigidly register `reference` onto `target`.

    Args:
        register: "off" trusts the headers; "on" registers; "auto" registers and keeps the outcome only when the moved
            reference explains clearly more of the target's detail and the move is plausible.

    Raises:
        InputError: another value of `register`.
    """
    if register not in REGISTER:
        raise InputError(f"Registration is {register!r}; expected one of {', '.join(REGISTER)}.")
    monitor = monitor or Monitor(stage="register")
    name = reference.name or "the reference"
    none = np.eye(4)
    if float(reference.array.max()) == float(reference.array.min()):
        value = float(reference.array.flat[0])
        return Alignment(
            None, none, warnings=(f"Reference {name} is constant ({value:g}); it was not used. Choose another.",)
        )
    probe = _Probe(target)
    overlap, before = probe.compare(reference)
    if overlap < MIN_OVERLAP:
        sentence = (
            f"Reference {name} covers {100 * overlap:.0f} % of the target; at least {100 * MIN_OVERLAP:.0f} % is "
            "needed. It was not used. Choose a scan of the same region and session, or place it in Slicer's module "
            "Transforms."
        )
        return Alignment(None, none, overlap=overlap, similarity=before, similarity_before=before, warnings=(sentence,))
    transform, warnings = none, []
    if register != "off":
        from .rigid import register_rigid

        found, problem = register_rigid(target, reference, monitor)
        if problem:
            warnings.append(problem)
        elif not _plausible(found, target):
            warnings.append(
                f"Registration moved {name} implausibly far; the headers' positions were kept. Check both scans."
            )
        elif register == "on" or _helps(target, reference, found, monitor):
            transform = found
    registered = not np.array_equal(transform, none)
    moved = reference.moved(transform) if registered else reference
    overlap, similarity = probe.compare(moved) if registered else (overlap, before)
    if similarity < max(MIN_SIMILARITY, probe.chance(moved)):
        warnings.append(
            f"Reference {name} shows no relation to the target (mutual information {similarity:.3f} nats); "
            "it was not used. Choose a scan of the same patient and region."
        )
        moved = None
    return Alignment(
        moved, transform, registered, overlap, similarity, before, displacement(transform, target), tuple(warnings)
    )


def displacement(transform: np.ndarray, target: Volume) -> float:
    """The largest shift in mm that `transform` makes at the corners of the target's field of view."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in target.shape], indexing="ij")).reshape(3, -1).T
    places = target.grid.positions(corners)
    return float(np.linalg.norm(places @ transform[:3, :3].T + transform[:3, 3] - places, axis=1).max())


def _helps(target: Volume, reference: Volume, transform: np.ndarray, monitor: Monitor) -> bool:
    """Whether the moved reference explains clearly more of the target's detail.

    Mutual information does not decide: it rises with the mere smoothing of a resampling, also for pairs that a move
    puts further apart.
    """
    here, there = (explained_detail(target, r, monitor) for r in (reference, reference.moved(transform)))
    return there > _WORTH and there > _GAIN * here


def _plausible(transform: np.ndarray, target: Volume) -> bool:
    cosine = np.clip((np.trace(transform[:3, :3]) - 1) / 2, -1, 1)
    center = target.grid.center
    shift = np.linalg.norm(transform[:3, :3] @ center + transform[:3, 3] - center)
    return bool(np.degrees(np.arccos(cosine)) < _LIMIT_DEGREES and shift < _LIMIT_MM)


class _Probe:
    """The target's foreground on a subsampled grid, for quick comparisons with references."""

    def __init__(self, target: Volume) -> None:
        step = max(1, int(np.ceil((target.grid.size / _SAMPLES) ** 0.5)))
        # thin out within slices only: slices are few
        strides = [1 if axis == target.grid.slice_axis else step for axis in range(3)]
        if target.grid.slice_axis is None:
            strides = [max(1, round((target.grid.size / _SAMPLES) ** (1 / 3)))] * 3
        shape = [-(-n // s) for n, s in zip(target.shape, strides, strict=True)]
        self.grid = target.grid.remapped(shape, np.array(strides, dtype=float), np.zeros(3))
        self.values = target.array[:: strides[0], :: strides[1], :: strides[2]]
        self.foreground = foreground(self.values)

    def _resample(self, reference: Volume) -> tuple[np.ndarray, np.ndarray]:
        linear = (kernels.linear,) * 3
        covered = sample(np.ones(reference.shape, np.float32), reference.grid, self.grid, linear, fill=0.0) > 0.5
        return sample(reference.array, reference.grid, self.grid, linear), covered & self.foreground

    def compare(self, reference: Volume) -> tuple[float, float]:
        """(overlap, mutual information in nats)."""
        values, inside = self._resample(reference)
        overlap = float(inside.sum() / max(1, self.foreground.sum()))
        return overlap, _similarity(self.values[inside], values[inside])

    def chance(self, reference: Volume) -> float:
        """Mutual information that mere smoothness brings: the mean over references rolled by a third of the image."""
        values, inside = self._resample(reference)
        rolled = []
        for axis in (1, 2):
            for part in (1 / 3, 2 / 3):
                shift = int(round(part * values.shape[axis]))
                rolled.append(_similarity(self.values[inside], np.roll(values, shift, axis)[inside]))
        return float(np.mean(rolled))


def _similarity(first: np.ndarray, second: np.ndarray) -> float:
    return mutual_information(first, second, bins=_BINS, binning="count", bias_corrected=True)
