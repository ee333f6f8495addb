"""What all trained networks share as methods: weights, the planes they work in, and the way back to a volume."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from ..acquisition import AcquisitionModel
from ..errors import MethodUnavailableError
from ..lattice import LatticeImage, default_refinement
from ..methods.base import Method, Option, Prepared
from ..models import shipped
from ..progress import CancelCallback, Monitor, ProgressCallback
from ..volume import Volume
from .plan import lattice_factors, plan

if TYPE_CHECKING:
    from .slices import SliceNetwork

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


class TrainedMethod(Method):
    """A network that was trained, applied slice by slice. A subclass states which, and how fine its lattice is."""

    group = "trained"
    reference = "optional"
    requires = ("torch",)
    devices = ("cpu", "cuda")
    options = (GATE, WEIGHTS)

    def prepare(
        self,
        target: Volume,
        reference: Volume | None = None,
        *,
        refine: tuple[bool, bool, bool] | None = None,
        device: str = "cpu",
        progress: ProgressCallback | None = None,
        cancel: CancelCallback | None = None,
        **options: bool | int | float | str,
    ) -> Prepared:
        """See `Method.prepare`."""
        from .passes import Passes, intermediate

        chosen = self.check_options(options)
        monitor = Monitor(progress, cancel, stage="prepare")
        monitor.update(0.0)
        model = AcquisitionModel.estimate(target)
        factors = lattice_factors(model, reference, refine or default_refinement(target.grid))
        steps = plan(model, tuple(factor > 1 for factor in factors))
        if not steps:
            return LatticeImage(target, model, target.array, ("There was nothing to refine; the target was returned.",))
        volume, notes = target, []
        for number, step in enumerate(steps):
            part = monitor.part(number / len(steps), (number + 1) / len(steps))
            passes = Passes(reference, bool(chosen["check_reference"]), part)
            current = AcquisitionModel.estimate(volume)
            network = self.network_for(current, step.axes, factors, str(chosen["weights"]), device)
            samples = self.samples_for(current, step.axes, factors, network)
            array = passes.run(volume, step, samples, network)
            notes += passes.notes
            if network is None:
                notes.append(f"{self.label} works within slices; across them the detail is that of guided.")
            else:
                notes += network.notes
            if step is not steps[-1]:
                volume = intermediate(volume, step, array)
        if reference is None:
            notes.insert(0, "No reference was used; the network ran on the target alone.")
        return LatticeImage(target, model, array, tuple(dict.fromkeys(notes)))

    @abstractmethod
    def network_for(
        self, model: AcquisitionModel, axes: tuple[int, ...], factors: tuple[float, ...], weights: str, device: str
    ) -> SliceNetwork | None:
        """The network that refines `axes` together by `factors`; None where it cannot, and the base must do."""

    def samples_for(
        self, model: AcquisitionModel, axes: tuple[int, ...], factors: tuple[float, ...], network: SliceNetwork | None
    ) -> tuple[int, ...]:
        """The lattice of one pass: samples along k, j, i."""
        return tuple(
            int(axis.samples * factors[n] + 0.5) if n in axes else axis.samples for n, axis in enumerate(model.axes)
        )

    def load(self, weights: str, device: str, scale: int | None = None) -> SliceNetwork:
        """The network in `weights`, or the one that ships.

        Raises:
            MethodUnavailableError: none ships.
            FileReadError, InputError: a damaged file, or another network's.
        """
        from ..weights import load_network
        from .slices import SliceNetwork

        if weights:
            return SliceNetwork(load_network(weights, network=self.name), device)
        models = [m for m in shipped(self.name) if scale is None or m.card["model"]["scale"] == scale]
        if not models:
            raise MethodUnavailableError(
                f"No weights ship for method {self.name!r}; train them (multicontrastsr train) and name the file in "
                "the option 'weights'."
            )
        return SliceNetwork(load_network(models[0].path, models[0].sha256, network=self.name), device)
