"""The base class of the methods with trained networks: weights, refinement steps, and the resulting volume."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from ..acquisition.lattice import LatticeImage, default_refinement
from ..acquisition.model import AcquisitionModel
from ..core.errors import MethodUnavailableError
from ..core.progress import Monitor
from ..image.prepared import Prepared
from ..image.volume import Volume
from ..inference.steps import RefinementStep, lattice_factors, measured_axes, refinement_steps
from ..weights.registry import shipped
from .contract import Method, Option

if TYPE_CHECKING:
    from ..image.grid import Grid
    from ..inference.prepared_step import PreparedStep
    from ..inference.slice_encoder import TrainedSliceEncoder
    from ..inference.slice_network import SliceNetwork

WEIGHTS = Option(
    "weights",
    "",
    "Weights file",
    "A .safetensors file of your own training; empty takes the weights that ship.",
    file=".safetensors",
)
CHECK_REFERENCE = Option(
    "check_reference",
    True,
    "Check the reference",
    "Leave the reference out when a trial on the target itself is better without it.",
)
TEST_TIME_AUGMENTATION = Option(
    "test_time_augmentation",
    1,
    "Test-time augmentation",
    "Average the result over so many flips and transpositions of the slice: 8 are about 0.1 dB better than 1 and take "
    "up to eight times as long.",
    minimum=1,
    maximum=8,
    unit="views",
    former_names=("orientations",),
)
PRECISION = Option(
    "precision",
    "auto",
    "Precision",
    "Number format of the network's layers: auto is float32. float16, for GPUs that are quicker in it, changes the "
    "result of Swift and Dual-ArbNet by up to 0.05 % of its range; bfloat16 is quicker on many processors and changes "
    "it by up to 0.5 %, with Swift by 0.2 %.",
    choices=("auto", "float32", "bfloat16", "float16"),
)


class TrainedMethod(Method):
    """A trained network, applied slice by slice. A subclass states which.

    Attributes:
        finest: most lattice samples a target pixel in plane at which the network works; beyond, its correction is
            interpolated.
    """

    group = "trained"
    reference = "optional"
    requires = ("torch",)
    devices = ("cpu", "accelerator")
    options = (CHECK_REFERENCE, TEST_TIME_AUGMENTATION, PRECISION, WEIGHTS)
    finest: ClassVar[float] = 6.5  # networks are trained up to this scale

    def prepare(
        self,
        target: Volume,
        reference: Volume | None = None,
        *,
        refine: tuple[bool, bool, bool] | None = None,
        device: str = "cpu",
        monitor: Monitor | None = None,
        **options: bool | int | float | str,
    ) -> Prepared:
        """See `Method.prepare`."""
        return self._prepare(target, reference, refine, device, monitor, options)

    def prepare_part(
        self,
        target: Volume,
        reference: Volume | None = None,
        *,
        part: Grid,
        refine: tuple[bool, bool, bool] | None = None,
        device: str = "cpu",
        monitor: Monitor | None = None,
        **options: bool | int | float | str,
    ) -> Prepared | None:
        """See `Method.prepare_part`. None unless one axis alone is refined and `part` has the target's samples else.

        Each voxel then depends on two orthogonal planes through it, and data consistency acts along the axis alone.
        """
        model = AcquisitionModel.estimate(target)
        _, steps = self._steps(model, reference, refine or default_refinement(target.grid))
        if len(steps) != 1 or len(steps[0].stack_axes) != 2:
            return None
        needed = part.samples_of(target.grid, steps[0].stack_axes)
        return None if needed is None else self._prepare(target, reference, refine, device, monitor, options, needed)

    def _prepare(
        self,
        target: Volume,
        reference: Volume | None,
        refine: tuple[bool, bool, bool] | None,
        device: str,
        monitor: Monitor | None,
        options: Mapping[str, bool | int | float | str],
        needed: Mapping[int, range] | None = None,
    ) -> Prepared:
        """`prepare`, or `prepare_part` for the slices of the only step that are `needed`."""
        from ..inference.intermediate import intermediate_volume

        chosen = self.check_options(options)
        monitor = monitor or Monitor(stage="prepare")
        monitor.update(0.0)
        model = AcquisitionModel.estimate(target)
        factors, steps = self._steps(model, reference, refine or default_refinement(target.grid))
        if not steps:
            return LatticeImage(target, model, target.array, ("There was nothing to refine; the target was returned.",))
        volume, notes, reference_used, warnings, weights = target, [], False, [], ""
        for number, step in enumerate(steps):
            part = monitor.part(number / len(steps), (number + 1) / len(steps))
            prepared = self._prepare_step(volume, reference, step, factors, chosen, device, part.part(0.0, 0.2))
            if prepared.reference_rejected and volume is target:  # its lattice must not shape the result either
                alone = self._prepare(target, None, refine, device, monitor, options, needed)
                alone.warnings = (*prepared.warnings, *alone.warnings)
                return alone
            array = prepared.whole(part.part(0.2, 1.0), needed)
            notes += prepared.notes
            warnings += prepared.warnings
            reference_used = reference_used or prepared.reference_used
            weights = weights or (prepared.network.net.weights if prepared.network else "")
            if prepared.network is None:
                notes.append(f"{self.label} works within slices; across them the detail is that of guided.")
            if step is not steps[-1]:
                volume, found = intermediate_volume(volume, step, array)
                warnings += found
        result = LatticeImage(target, model, array, _noted(reference, notes), tuple(dict.fromkeys(warnings)))
        result.reference_used, result.weights = reference_used, weights
        return result

    def prepare_slices(
        self,
        target: Volume,
        reference: Volume | None = None,
        *,
        refine: tuple[bool, ...] | None = None,
        device: str = "cpu",
        monitor: Monitor | None = None,
        **options: bool | int | float | str,
    ) -> TrainedSliceEncoder | None:
        """See `Method.prepare_slices`. None unless there is a single step, within independent slices."""
        from ..inference.slice_encoder import TrainedSliceEncoder

        chosen = self.check_options(options)
        monitor = monitor or Monitor(stage="prepare")
        model = AcquisitionModel.estimate(target)
        factors, steps = self._steps(model, reference, refine or default_refinement(target.grid))
        if len(steps) != 1 or len(steps[0].stack_axes) != 1:
            return None
        across = model.axes[steps[0].stack_axes[0]]
        if across.kind == "slab" and across.weight() is not None:  # slabs overlap
            return None
        prepared = self._prepare_step(target, reference, steps[0], factors, chosen, device, monitor)
        if prepared.reference_rejected:
            alone = self.prepare_slices(target, None, refine=refine, device=device, monitor=monitor, **options)
            if alone is not None:
                alone.earlier_warnings = prepared.warnings
            return alone
        if prepared.network is None:
            return None
        return TrainedSliceEncoder(target, prepared, _noted(reference, prepared.notes))

    def _steps(
        self, model: AcquisitionModel, reference: Volume | None, refine: tuple[bool, ...]
    ) -> tuple[tuple[float, ...], list[RefinementStep]]:
        factors = lattice_factors(model, reference, refine, self.finest)
        return factors, refinement_steps(model, tuple(factor > 1 for factor in factors))

    def _prepare_step(
        self,
        volume: Volume,
        reference: Volume | None,
        step: RefinementStep,
        factors: tuple[float, ...],
        chosen: dict[str, bool | int | float | str],
        device: str,
        monitor: Monitor,
    ) -> PreparedStep:
        from ..inference.prepared_step import PreparedStep

        model = AcquisitionModel.estimate(volume)
        network = self.network_for(model, step.axes, factors, chosen, device)
        network_samples = _network_samples(model, step.axes, factors, network)
        finest = lattice_factors(model, reference, tuple(n in step.axes for n in range(3)))
        wanted = _lattice_samples(model, step.axes, finest)
        samples = tuple(
            max(least, n) if axis.kind == "kspace" else least
            for axis, least, n in zip(model.axes, network_samples, wanted, strict=True)
        )
        check_reference = bool(chosen["check_reference"])
        return PreparedStep(volume, reference, step, samples, network_samples, network, check_reference, monitor)

    @abstractmethod
    def network_for(
        self,
        model: AcquisitionModel,
        axes: tuple[int, ...],
        factors: tuple[float, ...],
        chosen: Mapping[str, bool | int | float | str],
        device: str,
    ) -> SliceNetwork | None:
        """The network that refines `axes` together by `factors`; None where there is none: the base image is used."""

    def load(
        self, chosen: Mapping[str, bool | int | float | str], device: str, scale: int | None = None
    ) -> SliceNetwork:
        """The network in the file of the option `weights`, or the one that ships.

        Raises:
            MethodUnavailableError: none ships.
            FileReadError, InputError: a damaged file, or another network's.
        """
        from ..inference.slice_network import SliceNetwork
        from ..weights.file import load_network

        weights, settings = str(chosen["weights"]), (int(chosen["test_time_augmentation"]), str(chosen["precision"]))
        if weights:
            return SliceNetwork(load_network(weights, network=self.name), device, *settings)
        models = [m for m in shipped(self.name) if scale is None or m.card["model"]["scale"] == scale]
        if not models:
            raise MethodUnavailableError(
                f"No weights ship for method {self.name!r}; train them (multicontrastsr train) and name the file in "
                "the option 'weights'."
            )
        net = load_network(models[0].path, models[0].sha256, network=self.name)
        return SliceNetwork(net, device, *settings)


def _lattice_samples(model: AcquisitionModel, axes: tuple[int, ...], factors: tuple[float, ...]) -> tuple[int, ...]:
    """Samples along k, j, i that are `factors` as fine along `axes`."""
    return tuple(
        int(axis.samples * factors[n] + 0.5) if n in axes else axis.samples for n, axis in enumerate(model.axes)
    )


def _network_samples(
    model: AcquisitionModel, axes: tuple[int, ...], factors: tuple[float, ...], network: SliceNetwork | None
) -> tuple[int, ...]:
    """Samples along k, j, i of the lattice on which the network works: exactly its scale where that is fixed."""
    scale = None if network is None else network.spec.fixed_scale
    if scale is None:
        return _lattice_samples(model, axes, factors)
    measured = measured_axes(model, tuple(n in axes for n in range(3)))
    return tuple(axis.samples * scale if n in axes else axis.samples for n, axis in enumerate(measured))


def _noted(reference: Volume | None, notes: list[str]) -> tuple[str, ...]:
    alone = ["No reference was used; the network ran on the target alone."] if reference is None else []
    return tuple(dict.fromkeys([*alone, *notes]))
