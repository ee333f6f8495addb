"""Whether the reference is aligned with the target, and whether a registration is applied.

The reference is never resampled here: a registration moves its affine. Similarity is the mutual information of the two
images inside the target's foreground (natural logarithm), which does not depend on contrast.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.errors import InputError
from ..core.progress import Monitor
from ..image.volume import Volume
from .probe import Probe
from .resample import explained_detail
from .rigid import normalized, register_rigid

REGISTER = ("auto", "off", "on")
MIN_OVERLAP = 0.1  # of the target's foreground
MIN_SIMILARITY = 0.02  # nats
_GAIN = 1.1  # by which registration must raise the explained detail to be worth a move (auto): found on patients 01, 04
_WORTH = 0.02  # share of the detail below which there is nothing to gain
_MUCH, _MORE = 1.2, 0.01  # factor and nats by which mutual information must rise to show that the headers are wrong
_UNSEEN = 0.05  # share below which the detail does not tell whether the headers' positions are right
_UNSURE_MM = 2.0  # how far a registration must lead to be worth a warning where detail does not tell
_LEAST = 0.8  # of the mutual information that must remain
_KEPT = 0.7  # of the overlap that must remain
_LIMIT_MM, _LIMIT_DEGREES = 40.0, 25.0  # beyond which a rigid correction of one session is not believed


@dataclass(frozen=True)
class Alignment:
    """The outcome of `align`.

    Attributes:
        reference: the reference at its position, registered or not; None when it is not to be used.
        transform: 4×4 RAS-to-RAS that moves the given reference onto the target (identity when not registered).
        registered: whether a registration was applied.
        overlap: fraction of the target's foreground that the reference covers.
        similarity, similarity_before: mutual information in nats, after and before registration.
        displacement: largest shift in mm that the registration made within the target's field of view.
        warnings: sentences for the user.
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
    """Register `reference` rigidly to `target` where asked or useful, and check that they are related.

    Args:
        register: "off" keeps the headers' positions; "on" registers; "auto" registers and applies the outcome where it
            is plausible and the moved reference explains clearly more of the target's detail, or has much more mutual
            information with it.

    Raises:
        InputError: another value of `register`.
    """
    if register not in REGISTER:
        raise InputError(f"Registration is {register!r}; expected one of {', '.join(REGISTER)}.")
    monitor = monitor or Monitor(stage="register")
    name = reference.name or "the reference"
    none = np.eye(4)
    constant = [float(scan.array.flat[0]) if np.ptp(scan.array) == 0 else None for scan in (target, reference)]
    if constant[0] is not None:
        sentence = (
            f"Target {target.name or 'scan'} is constant ({constant[0]:g}); no reference has anything in common with "
            "it. Check that it is the right scan."
        )
        return Alignment(None, none, warnings=(sentence,))
    if constant[1] is not None:
        sentence = f"Reference {name} is constant ({constant[1]:g}); it was not used. Choose another."
        return Alignment(None, none, warnings=(sentence,))
    probe = Probe(target)
    overlap, before = probe.compare(reference)
    if overlap < MIN_OVERLAP:
        sentence = (
            f"Reference {name} covers {100 * overlap:.0f} % of the target; at least {100 * MIN_OVERLAP:.0f} % is "
            "needed. It was not used. Choose a scan of the same region and session, or place it in Slicer's module "
            "Transforms."
        )
        return Alignment(None, none, overlap=overlap, similarity=before, similarity_before=before, warnings=(sentence,))
    transform, warnings, tried = none, [], False
    similarity = before
    if register != "off":
        found, problem = register_rigid(target, reference, probe, monitor)
        tried = not problem
        if problem:
            warnings.append(problem)
        elif not _plausible(found, target):
            warnings.append(
                f"Registration moved {name} implausibly far; the headers' positions were kept. Check both scans."
            )
        else:
            covered, after = probe.compare(reference.moved(found))
            if covered < max(MIN_OVERLAP, _KEPT * overlap):
                warnings.append(
                    f"Registration moved {name} out of the target; the headers' positions were kept. Check both scans."
                )
            elif register == "on" or _helps(*(matches := _matches(target, reference, found, before, after, monitor))):
                transform, overlap, similarity = found, covered, after
            elif _unsure(*matches, displacement(found, target)):
                warnings.append(
                    f"Reference {name} may not be aligned with the target: a registration by "
                    f"{displacement(found, target):.1f} mm raised their similarity (mutual information {before:.3f} to "
                    f"{after:.3f} nats), but did not clearly explain more detail, and was not applied. Compare the "
                    "scans, or register them (register 'on')."
                )
    registered = not np.array_equal(transform, none)
    moved = reference.moved(transform) if registered else reference
    related = similarity >= max(MIN_SIMILARITY, probe.chance(moved))
    if not related:
        if register == "off":
            remedy = "at its position. Register it (register 'auto' or 'on'), or choose a scan of the same region."
        else:
            where = "neither at its position nor registered" if tried else "at its position"
            remedy = f"{where}. Choose a scan of the same region that shows more in common."
        warnings.append(
            f"Reference {name} shows no relation to the target (mutual information {similarity:.3f} nats), {remedy} "
            "It was not used."
        )
    return Alignment(
        moved if related else None,
        transform,
        registered,
        overlap,
        similarity,
        before,
        displacement(transform, target),
        tuple(warnings),
    )


def displacement(transform: np.ndarray, target: Volume) -> float:
    """The largest shift in mm that `transform` makes at the corners of the target's field of view."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in target.shape], indexing="ij")).reshape(3, -1).T
    places = target.grid.positions(corners)
    return float(np.linalg.norm(places @ transform[:3, :3].T + transform[:3, 3] - places, axis=1).max())


@dataclass(frozen=True)
class _Match:
    """How well the reference matches the target at a place.

    Attributes:
        similarity: mutual information in nats.
        detail: see `explained_detail`.
    """

    similarity: float
    detail: float


def _matches(
    target: Volume, reference: Volume, transform: np.ndarray, before: float, after: float, monitor: Monitor
) -> tuple[_Match, _Match]:
    """The match at the headers' position and where `transform` leads; `before`, `after`: mutual information there."""
    target, reference = normalized(target), normalized(reference)
    here, there = (explained_detail(target, each, monitor) for each in (reference, reference.moved(transform)))
    return _Match(before, here), _Match(after, there)


def _helps(here: _Match, there: _Match) -> bool:
    """Whether a registration is worth to be applied: the moved reference explains clearly more of the target's detail.

    Detail decides about small moves; mutual information rises with the mere smoothing of a resampling there. Where it
    rises greatly, the headers are wrong, and it is enough that detail does not fall; but some detail must be explained:
    on noisy scans with little in the field of view, mutual information may be largest at a wrong place.
    """
    if there.detail <= _WORTH or there.similarity <= _LEAST * here.similarity:
        return False
    much = there.similarity > _MUCH * here.similarity + _MORE
    return there.detail > _GAIN * here.detail or (much and there.detail >= here.detail)


def _unsure(here: _Match, there: _Match, moved: float) -> bool:
    """Whether a registration that was not applied may have been right all the same.

    Args:
        moved: how far it leads, mm.
    """
    if there.similarity > _MUCH * here.similarity + _MORE:
        return True
    told = here.detail >= max(_UNSEEN, there.detail)
    return moved > _UNSURE_MM and there.similarity > here.similarity and not told


def _plausible(transform: np.ndarray, target: Volume) -> bool:
    cosine = np.clip((np.trace(transform[:3, :3]) - 1) / 2, -1, 1)
    center = target.grid.center
    shift = np.linalg.norm(transform[:3, :3] @ center + transform[:3, 3] - center)
    return bool(np.degrees(np.arccos(cosine)) < _LIMIT_DEGREES and shift < _LIMIT_MM)
