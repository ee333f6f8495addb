"""A coordinate network fitted to this patient's scans (McGinnis et al. 2023), both contrasts at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..acquisition.lattice import LatticeImage
from ..core.cache import Cache
from ..core.errors import InputError
from ..core.memory import check_memory
from ..core.progress import Monitor
from ..image.offset import subtracted
from ..image.volume import Volume
from .contract import Method, Option, register
from .joint_tv import COPIES, joint_device_memory, joint_lattice

if TYPE_CHECKING:
    from ..image.grid import Grid
    from ..inr.fitting import Fit
    from ..inr.model import SubjectModel
    from ..inr.presets import Settings

_CACHE_BYTES = 512 << 20  # of fits, some tens of megabytes each
_SAME = 0.95  # correlation of a scan and its model; that of other heads, or of two contrasts of one, is lower
_MODEL_REMEDY = "Choose the scan that it was fitted to, or fit a new one (leave the option empty)."


@register
class SubjectINR(Method):
    """See `summary` and `MultiContrastSRLib.inr`."""

    name = "subject-inr"
    label = "Subject-specific network (INR)"
    summary = (
        "A coordinate network fitted to this patient's scans alone, both contrasts at once. The quick presets begin "
        "from joint-nonlocal and hardly differ from it."
    )
    group = "subject-specific"
    reference = "optional"
    makes_companion = True
    keeps_results = True
    requires = ("torch",)
    devices = ("cpu", "accelerator")
    order = 30
    options = (
        Option(
            "preset",
            "fast",
            "Preset",
            "fast and balanced begin from joint non-local means; paper is the published network: hours on a CPU.",
            choices=("fast", "balanced", "paper"),
        ),
        Option(
            "variant",
            "split-head",
            "Variant",
            "How much the contrasts share: all but the heads, all but the last layer, or nothing.",
            choices=("split-head", "vanilla", "single-contrast"),
        ),
        Option(
            "slab",
            "preset",
            "Slice profile",
            "Whether the network's mean over each slab explains the slice, or its value at the middle does.",
            choices=("preset", "on", "off"),
        ),
        Option(
            "stop",
            "plateau",
            "Stop at",
            "The plateau of mutual information or loss (whichever comes first), of one of them, or the last epoch.",
            choices=("plateau", "information", "loss", "never"),
        ),
        Option(
            "max_seconds",
            0.0,
            "Longest fit",
            "Seconds after which the fit ends and keeps its best; 0 is no limit.",
            0,
            zero="no limit",
            unit="s",
        ),
        Option(
            "precision",
            "float32",
            "Precision",
            "bfloat16 fits paper twice as fast on processors and GPUs that know it; small networks stay in float32.",
            choices=("float32", "bfloat16"),
        ),
        Option("seed", 0, "Seed", "Decides the random weights and batches: the same seed gives the same result.", 0),
        Option(
            "model",
            "",
            "Fitted model",
            "A .safetensors file of an earlier fit to render from; empty to fit now.",
            file=".safetensors",
        ),
    )
    citation = "McGinnis, Shit, Li et al., MICCAI 2023 (single-subject multi-contrast super-resolution by INRs)"

    def __init__(self) -> None:
        self._fits = Cache(_CACHE_BYTES)  # so that a second run does not fit again

    def clear_cache(self) -> None:
        """See `Method.clear_cache`."""
        self._fits.clear()

    def device_memory(
        self,
        target: Volume,
        reference: Volume | None,
        refine: tuple[bool, bool, bool],
        options: Mapping[str, bool | int | float | str],
    ) -> int:
        """See `Method.device_memory`: that of the joint reconstruction that a fit begins from, if it does."""
        if options["model"] or not settings(dict(options)).preset.start:
            return 0
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
        """See `Method.prepare`. The result's `fit` has model and curve, its `companion` is the other contrast."""
        from ..inr.model import SubjectModel

        chosen = self.check_options(options)
        monitor = monitor or Monitor(stage="prepare")
        model, lattice, across = joint_lattice(target, reference, refine)
        check_memory("The lattice of the subject-specific fit", lattice.shape, COPIES, "Crop the target first.")
        if chosen["model"]:
            fitted = _loaded(SubjectModel.load(chosen["model"]), target, reference)
        else:
            scans = [[target]] if reference is None else [[target], [reference]]
            fitted = self._fitted(scans, lattice, settings(chosen), across, device, monitor.part(0.0, 0.8))
        images, warnings = fitted.model.images_with_warnings(lattice, device, monitor.part(0.8, 1.0))
        if chosen["model"]:
            names = [contrast.name for contrast in fitted.model.contrasts]
            warnings += _disagreement(target, names, [model.acquire(image) for image in images])
        images[0] -= subtracted(target)
        result = LatticeImage(target, model, images[0], fitted.notes, (*fitted.warnings, *warnings))
        result.fit = fitted
        if reference is not None and fitted.outputs[1] is not None:
            image = images[fitted.outputs[1]]
            image -= subtracted(reference)
            result.companion = LatticeImage(reference, model, image)
        return result

    def _fitted(
        self, scans: list[list[Volume]], lattice: Grid, how: Settings, across: int | None, device: str, monitor: Monitor
    ) -> Fit:
        """The fit, from the cache where there is one of the same scans and settings."""
        from ..inr.fitting import fit
        from ..joint.digest import digest_of

        where = (lattice.shape, lattice.affine.tobytes(), across) if how.preset.start else ()  # of initial images
        key = digest_of(scans, how, where)
        fitted = self._fits.get(key)
        if fitted is None:
            fitted = fit(scans, lattice, how, across=across, device=device, monitor=monitor)
            if fitted.curve:  # else it was stopped before the network was fitted
                self._fits.put(key, fitted)
        return fitted


def settings(chosen: dict[str, bool | int | float | str]) -> Settings:
    """The settings of a fit for the options of this method."""
    from dataclasses import replace

    from ..inr.presets import PRESETS, Settings

    preset = PRESETS[chosen["preset"]]
    if chosen["slab"] != "preset":
        preset = replace(preset, slab=chosen["slab"] == "on")
    return Settings(
        preset, chosen["variant"], chosen["stop"], chosen["max_seconds"], chosen["seed"], chosen["precision"]
    )


def _loaded(model: SubjectModel, target: Volume, reference: Volume | None) -> Fit:
    from ..inr.fitting import Fit

    outside = float(abs(target.grid.center - model.center).max() - model.half)
    if outside > 0:
        raise InputError(
            f"The middle of target {target.name or 'scan'} lies {outside:.0f} mm outside the fitted model's field of "
            f"view. {_MODEL_REMEDY}"
        )
    names = [contrast.name for contrast in model.contrasts]
    note = f"Rendered from a model that was fitted to {', '.join(names)}; the target is taken to be the first of them."
    second = 1 if reference is not None and len(names) > 1 else None
    return Fit(model, (), (note,), (0, second))


def _disagreement(target: Volume, names: list[str], acquired: list[np.ndarray]) -> tuple[str, ...]:
    """A warning where the first image of a model, acquired as the target is, is not that of the target."""
    found = [_correlation(target.array, image) for image in acquired]
    if found[0] >= _SAME:
        return ()
    best = max(range(len(found)), key=found.__getitem__)
    if found[best] >= _SAME:
        return (
            f"The target looks like the model's contrast {names[best]!r}, and not like {names[0]!r}, which it is taken "
            "to be: give the scans in the order in which they were fitted.",
        )
    return (
        f"The model does not explain the target: their correlation is {found[0]:.2f}; expected {_SAME} or more. It was "
        "fitted to other scans, or too briefly: fit it to these (fit).",
    )


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Of the samples of two images; 1 where one is constant, so that it says nothing."""
    a, b = (array.astype(np.float64) - array.mean(dtype=np.float64) for array in (first, second))
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.vdot(a, b)) / size if size > 0 else 1.0
