"""Joint total variation: both contrasts reconstructed from both scans, by their acquisition and their common edges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..acquisition.lattice import LatticeImage, default_refinement, lattice_samples, through_plane_factor
from ..acquisition.model import AcquisitionModel
from ..core.cache import Cache, nbytes_of
from ..core.memory import check_memory
from ..core.progress import Monitor
from ..image.grid import Grid
from ..image.volume import Volume
from .contract import Method, Option, register

if TYPE_CHECKING:
    import numpy as np

COPIES = 22  # arrays on the lattice that live at once for two contrasts
_DEVICE_COPIES = 16  # arrays on the lattice that live at once on an accelerator, for each contrast
_CACHE_BYTES = 512 << 20  # of images of both contrasts
_PLACES = 6  # decimal places, in mm, to which lattices of two runs must agree
_WORSE = 0.5  # weight of the added detail below which the whole of it makes the image worse


@dataclass(frozen=True)
class _Reconstruction:
    """The image of every contrast, the weights of the detail added to them, notes and warnings for the report."""

    images: tuple[np.ndarray | None, ...]
    weights: tuple[float, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of the images."""
        return nbytes_of(self.images)

    def exchanged(self) -> _Reconstruction:
        """The reconstruction with the contrasts in the opposite order."""
        return replace(self, images=self.images[::-1], weights=self.weights[::-1])


@register
class JointTV(Method):
    """See `summary` and `MultiContrastSRLib.joint`."""

    name = "joint-tv"
    label = "Joint total variation"
    summary = (
        "Rebuilds both contrasts at once from how each was acquired and the edges they share. No training; for thick "
        "slices in different views."
    )
    group = "subject-specific"
    reference = "optional"
    makes_companion = True
    keeps_results = True
    requires = ("torch",)
    devices = ("cpu", "accelerator")
    order = 20
    options = (
        Option(
            "smoothness",
            1.0,
            "Smoothness",
            "How much edges cost against disagreement with the scans: more removes more noise.",
            0.05,
            20.0,
        ),
        Option("iterations", 40, "Iterations", "Steps of the solver: more changes little.", 4, 500),
    )
    citation = (
        "Brudfors, Balbastre, Nachev, Ashburner, MIUA 2018 (multi-channel total variation); nuclear norm after "
        "Holt, IEEE Trans. Image Processing 23(9), 2014"
    )

    def __init__(self) -> None:
        # so that a second run does not reconstruct again, nor one with target and reference exchanged
        self._images = Cache(_CACHE_BYTES)

    def clear_cache(self) -> None:
        """See `Method.clear_cache`."""
        self._images.clear()

    def device_memory(
        self,
        target: Volume,
        reference: Volume | None,
        refine: tuple[bool, bool, bool],
        options: Mapping[str, bool | int | float | str],
    ) -> int:
        """See `Method.device_memory`. Independent slices are reconstructed one by one if need be."""
        return joint_device_memory(target, reference, refine)

    def prepare(
        self,
        target: Volume,
        reference: Volume | None = None,
        *,
        refine: tuple[bool, bool, bool] | None = None,
        device: str = "cpu",
        monitor: Monitor | None = None,
        **options: bool | int | float | str,
    ) -> LatticeImage:
        """See `Method.prepare`. The result's `companion` is the super-resolved reference."""
        chosen = self.check_options(options)
        monitor = monitor or Monitor(stage="prepare")
        model, lattice, across = joint_lattice(target, reference, refine)
        check_memory("The lattice of joint total variation", lattice.shape, COPIES, "Crop the target first.")
        scans = [[target]] if reference is None else [[target], [reference]]
        made = self._reconstructed(scans, lattice, across, chosen, device, monitor)
        companion, notes = made.images[1] if len(made.images) > 1 else None, made.notes
        if companion is None:
            notes = ("No reference was used; the result was made from the target alone.", *notes)
        sentence, warnings = self._trial_sentence("target", made.weights[0]), made.warnings
        if made.weights[0] < _WORSE:
            warnings += sentence
        else:
            notes += sentence
        if companion is not None:
            notes += self._trial_sentence("reference", made.weights[1])
        result = LatticeImage(target, model, made.images[0], notes, warnings)
        if companion is not None:
            result.companion = LatticeImage(reference, model, companion)
        return result

    def _trial_sentence(self, scan: str, weight: float) -> tuple[str, ...]:
        """A sentence about the trial on "target" or "reference"; none where all of the detail was kept."""
        label = self.label[0].lower() + self.label[1:]
        if weight < _WORSE:
            how = f"{label} was worse than interpolation; its detail was weighted by {round(weight, 2):g}."
        elif weight < 1:
            how = f"the detail of {label} was better when weighted by {round(weight, 2):g}, as it is here."
        else:
            return ()
        return (f"In a trial on the {scan} itself {how}",)

    def _reconstructed(
        self,
        scans: list[list[Volume]],
        lattice: Grid,
        across: int | None,
        settings: dict[str, bool | int | float | str],
        device: str,
        monitor: Monitor,
    ) -> _Reconstruction:
        """The reconstruction, from the cache where there is one of the same scans and settings on the same lattice.

        The order of the scans plays no part: of one run, the reference's image is the target's of the other.
        """
        from ..joint.digest import digest_of
        from ..joint.trial import detail_weights
        from ..joint.volumes import joint_images

        where = lattice.shape, (lattice.affine.round(_PLACES) + 0.0).tobytes(), across
        key, exchanged = (digest_of(each, where, sorted(settings.items()), device) for each in (scans, scans[::-1]))
        for known in (key, exchanged):
            found = self._images.get(known)
            if found is not None:
                return found if known == key else found.exchanged()
        trial, rest = monitor.part(0.0, 0.2), monitor.part(0.2, 1.0)
        weights = detail_weights([scan for (scan,) in scans], lattice, device=device, monitor=trial, **settings)
        images, notes, warnings = joint_images(
            scans, lattice, across, device=device, monitor=rest, weights=weights, **settings
        )
        for image in images:
            if image is not None:
                image.flags.writeable = False
        made = _Reconstruction(tuple(images), tuple(weights), notes, warnings)
        if not (notes or warnings):
            self._images.put(key, made)
        return made


def joint_device_memory(target: Volume, reference: Volume | None, refine: tuple[bool, bool, bool]) -> int:
    """Bytes that a joint reconstruction needs on an accelerator at least, see `Method.device_memory`."""
    _, lattice, across = joint_lattice(target, reference, refine)
    samples = lattice.size if across is None else lattice.size // lattice.shape[across]
    return 4 * _DEVICE_COPIES * samples * (1 if reference is None else 2)


def joint_lattice(
    target: Volume, reference: Volume | None, refine: tuple[bool, bool, bool] | None = None
) -> tuple[AcquisitionModel, Grid, int | None]:
    """(how the target was acquired, the lattice for both scans, its axis across independent slices).

    Along refined axes the lattice has the finer spacing of the two scans. Where that makes no axis finer: slices as
    thin as pixels where detail across them is asked for, else twofold. The axis is None where slices are not
    independent.
    """
    model, slices = AcquisitionModel.estimate(target), target.grid.slice_axis
    refined = refine or default_refinement(target.grid)
    samples = list(target.shape) if reference is None else lattice_samples(model, reference.grid, refined)
    if tuple(samples) == target.shape:
        if slices is not None and refined[slices]:
            samples[slices] *= through_plane_factor(target.grid)
        else:
            samples = [2 * n if r and n > 1 else n for n, r in zip(target.shape, refined, strict=True)]
    return model, model.lattice(samples), None if slices is None or refined[slices] else slices
