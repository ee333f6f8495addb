"""Guided super-resolution: the reference's detail, by closed-form local regression."""

from __future__ import annotations

from ..acquisition.lattice import LatticeImage, default_refinement
from ..core.progress import Monitor
from ..guided.volumes import GuidedVolume
from ..image.volume import Volume
from .contract import Method, Option, register


@register
class Guided(Method):
    """See `summary` and `MultiContrastSRLib.guided.regression`."""

    name = "guided"
    label = "Guided (local regression)"
    summary = (
        "Transfers the reference's detail where the target's own detail follows it. No training; the default with a "
        "reference."
    )
    group = "classical"
    reference = "optional"
    order = 60
    options = (
        Option(
            "strength",
            1.0,
            "Detail strength",
            "Share of the reference's detail that is added; 0 is the sinc.",
            0.0,
            1.0,
            zero="none",
        ),
    )
    citation = (
        "Local regression after He, Sun, Tang, IEEE TPAMI 35(6), 2013 (guided filter); stacking after Breiman, "
        "Machine Learning 24, 1996"
    )

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
        """See `Method.prepare`. Without a reference, or with one that is no sharper, the result is the sinc's."""
        strength = float(self.check_options(options)["strength"])
        monitor = monitor or Monitor(stage="prepare")
        image = GuidedVolume(target, reference, refine or default_refinement(target.grid), strength, monitor)
        if not image.helps:
            notes, warnings = ((image.note,), ()) if reference is None else ((), (image.note,))
            result = LatticeImage(target, image.model, target.array, notes, warnings)
            result.reference_used, result.fallback = False, "sinc"
            return result
        return LatticeImage(target, image.model, image.whole(monitor.part(0.3, 1.0)), (image.note,))
