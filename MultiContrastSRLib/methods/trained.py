"""What all trained networks share as methods: weights, the planes they work in, and the way back to a volume."""

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
from ..inference.planes import Pass, lattice_factors, plan
from ..weights.registry import shipped
from .contract import Method, Option

if TYPE_CHECKING:
    from ..inference.encoder import TrainedSlices
    from ..inference.passes import PreparedPass
    from ..inference.slices import SliceNetwork

WEIGHTS = Option(
    "weights",
    "",
    "Weights file",
    "A .safetensors file of your own training; empty takes the weights that ship.",
)
GATE = Option(
    "check_reference",
    True,
    "Check the reference",
    "Leave the reference out when a trial on the target itself is better without it.",
)
ORIENTATIONS = Option(
    "orientations",
    8,
    "Orientations",
    "Mean of what the network adds to so many mirrored and turned slices: 8 are 0.1 dB better than 1 and take three to "
    "four times as long.",
    minimum=1,
    maximum=8,
)


class TrainedMethod(Method):
    """A network that was trained, applied slice by slice. A subclass states which.

    Attributes:
        finest: most lattice samples a target pixel in plane at which the network works; what it adds is interpolated.
    """

    group = "trained"
    reference = "optional"
    requires = ("torch",)
    devices = ("cpu", "cuda")
    options = (GATE, ORIENTATIONS, WEIGHTS)
    finest: ClassVar[float] = 6.5  # what networks are trained to

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
        from ..inference.passes import intermediate

        chosen = self.check_options(options)
        monitor = monitor or Monitor(stage="prepare")
        monitor.update(0.0)
        model = AcquisitionModel.estimate(target)
        factors, steps = self._plan(model, reference, refine or default_refinement(target.grid))
        if not steps:
            return LatticeImage(target, model, target.array, ("There was nothing to refine; the target was returned.",))
        volume, notes, warnings = target, [], []
        for number, step in enumerate(steps):
            part = monitor.part(number / len(steps), (number + 1) / len(steps))
            prepared = self._set_up(volume, reference, step, factors, chosen, device, part.part(0.0, 0.2))
            array = prepared.whole(part.part(0.2, 1.0))
            notes += prepared.notes
            warnings += prepared.warnings
            if prepared.network is None:
                notes.append(f"{self.label} works within slices; across them the detail is that of guided.")
            if step is not steps[-1]:
                volume = intermediate(volume, step, array)
        return LatticeImage(target, model, array, _noted(reference, notes), tuple(dict.fromkeys(warnings)))

    def prepare_slices(
        self,
        target: Volume,
        reference: Volume | None = None,
        *,
        refine: tuple[bool, ...] | None = None,
        device: str = "cpu",
        monitor: Monitor | None = None,
        **options: bool | int | float | str,
    ) -> TrainedSlices | None:
        """See `Method.prepare_slices`. None unless one pass within independent slices is all that there is to do."""
        from ..inference.encoder import TrainedSlices

        chosen = self.check_options(options)
        monitor = monitor or Monitor(stage="prepare")
        model = AcquisitionModel.estimate(target)
        factors, steps = self._plan(model, reference, refine or default_refinement(target.grid))
        if len(steps) != 1 or len(steps[0].stacks) != 1:
            return None
        across = model.axes[steps[0].stacks[0]]
        if across.kind == "slab" and across.weight() is not None:  # slabs overlap
            return None
        prepared = self._set_up(target, reference, steps[0], factors, chosen, device, monitor)
        if prepared.network is None:
            return None
        return TrainedSlices(target, prepared, _noted(reference, prepared.notes))

    def _plan(
        self, model: AcquisitionModel, reference: Volume | None, refine: tuple[bool, ...]
    ) -> tuple[tuple[float, ...], list[Pass]]:
        factors = lattice_factors(model, reference, refine, self.finest)
        return factors, plan(model, tuple(factor > 1 for factor in factors))

    def _set_up(
        self,
        volume: Volume,
        reference: Volume | None,
        step: Pass,
        factors: tuple[float, ...],
        chosen: dict[str, bool | int | float | str],
        device: str,
        monitor: Monitor,
    ) -> PreparedPass:
        from ..inference.passes import PreparedPass

        model = AcquisitionModel.estimate(volume)
        network = self.network_for(model, step.axes, factors, chosen, device)
        decoded = self.samples_for(model, step.axes, factors, network)
        finest = lattice_factors(model, reference, tuple(n in step.axes for n in range(3)))
        wanted = TrainedMethod.samples_for(self, model, step.axes, finest, network)
        samples = tuple(
            max(least, n) if axis.kind == "kspace" else least
            for axis, least, n in zip(model.axes, decoded, wanted, strict=True)
        )
        gated = bool(chosen["check_reference"])
        return PreparedPass(volume, reference, step, samples, decoded, network, gated, monitor)

    @abstractmethod
    def network_for(
        self,
        model: AcquisitionModel,
        axes: tuple[int, ...],
        factors: tuple[float, ...],
        chosen: Mapping[str, bool | int | float | str],
        device: str,
    ) -> SliceNetwork | None:
        """The network that refines `axes` together by `factors`; None where it cannot, and the base must do."""

    def samples_for(
        self, model: AcquisitionModel, axes: tuple[int, ...], factors: tuple[float, ...], network: SliceNetwork | None
    ) -> tuple[int, ...]:
        """The lattice of one pass: samples along k, j, i."""
        return tuple(
            int(axis.samples * factors[n] + 0.5) if n in axes else axis.samples for n, axis in enumerate(model.axes)
        )

    def load(
        self, chosen: Mapping[str, bool | int | float | str], device: str, scale: int | None = None
    ) -> SliceNetwork:
        """The network in the file of the option `weights`, or the one that ships.

        Raises:
            MethodUnavailableError: none ships.
            FileReadError, InputError: a damaged file, or another network's.
        """
        from ..inference.slices import SliceNetwork
        from ..weights.file import load_network

        weights, orientations = str(chosen["weights"]), int(chosen["orientations"])
        if weights:
            return SliceNetwork(load_network(weights, network=self.name), device, orientations)
        models = [m for m in shipped(self.name) if scale is None or m.card["model"]["scale"] == scale]
        if not models:
            raise MethodUnavailableError(
                f"No weights ship for method {self.name!r}; train them (multicontrastsr train) and name the file in "
                "the option 'weights'."
            )
        net = load_network(models[0].path, models[0].sha256, network=self.name)
        return SliceNetwork(net, device, orientations)


def _noted(reference: Volume | None, notes: list[str]) -> tuple[str, ...]:
    alone = ["No reference was used; the network ran on the target alone."] if reference is None else []
    return tuple(dict.fromkeys([*alone, *notes]))
