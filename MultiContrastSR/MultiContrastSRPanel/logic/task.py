"""Super-resolution of nodes in three steps, so that the heavy one may run on another thread.

`from_nodes` (main thread) copies the inputs, `computation` (any thread) does the work and holds no node, so that none
can end on that thread, `store` (main thread) puts the result into the scene.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import slicer

from .automatic import ensure_packages, load_packages
from .expected_time import RunSize
from .fit_preview import FitImages
from .library import library
from .region import resolve_region
from .sources import sources_of

if TYPE_CHECKING:
    from slicer import vtkMRMLScalarVolumeNode


@dataclasses.dataclass(frozen=True)
class Output:
    """What a task computed for one scan.

    Attributes:
        volume: the library's `Volume`.
        report: the library's `Report`.
        image: the voxels as VTK's image, so that the main thread need not copy them.
    """

    volume: Any
    report: Any
    image: Any

    @classmethod
    def of(cls, result: Any) -> Output:
        """From the library's `Result`. On any thread."""
        return cls(result.volume, result.report, library("mrml").image_from_array(result.volume.array))


class Computation:
    """The heavy work of a run: volumes in, outputs out.

    Args:
        target, reference: the library's `Volume`; the reference may be None.
        companion, settings: see `SuperResolutionTask`.

    Attributes:
        seconds: that the target's output took; None before.
    """

    def __init__(self, target: Any, reference: Any, companion: bool, settings: dict[str, Any]) -> None:
        self.target, self.reference, self.companion, self.settings = target, reference, companion, settings
        self.seconds: float | None = None

    def run(
        self,
        progress: Callable[[float, str], None] | None = None,
        cancel: Callable[[], bool] | None = None,
        images: FitImages | None = None,
    ) -> tuple[Output, Output | None]:
        """The target's output, and the reference's (None unless requested and made)."""
        begin = time.perf_counter()
        settings = load_packages(self.settings, progress)
        monitor = library("core.progress").Monitor(progress, cancel)
        share = 0.95 if self.companion else 1.0
        with images.fit_callbacks() if images else contextlib.nullcontext():
            part = monitor.part(0.0, share)
            result = library("pipeline").super_resolve(
                self.target, self.reference, progress=part.report, cancel=part.cancelled, **settings
            )
        self.seconds = time.perf_counter() - begin
        rest = monitor.part(share, 1.0, "render")
        made = result.companion(progress=rest.report, cancel=rest.cancelled) if self.companion else None
        return Output.of(result), None if made is None else Output.of(made)


class SuperResolutionTask:
    """Everything that one run needs, independent of later changes of the scene.

    Args:
        target, reference: `mrml.Source`; the reference may be None.
        output: an earlier result to overwrite, or None.
        companion: whether the reference, super-resolved by the same run, is requested too.
        settings: keywords of `MultiContrastSRLib.super_resolve`; the method may be `AUTOMATIC`.

    Attributes:
        computation: see `Computation`.
    """

    def __init__(self, target: Any, reference: Any, output: Any, companion: bool, settings: dict[str, Any]) -> None:
        self.target, self.reference, self.output = target, reference, output
        self.computation = Computation(
            target.volume, None if reference is None else reference.volume, companion, settings
        )
        self._size = self._run_size()

    def expected_seconds(self) -> dict[str, float]:
        """What the stages will probably take on this computer; empty where that is not known."""
        return {} if self._size is None else self._size.expected()

    def _run_size(self) -> RunSize | None:
        reference = self.computation.reference
        try:
            return RunSize.of(
                self.computation.target.grid, None if reference is None else reference.grid, self.computation.settings
            )
        except library().MultiContrastSRError:  # the run itself says what cannot be used
            return None

    @classmethod
    def from_nodes(
        cls,
        targetNode: vtkMRMLScalarVolumeNode,
        referenceNode: vtkMRMLScalarVolumeNode | None = None,
        outputNode: vtkMRMLScalarVolumeNode | None = None,
        *,
        method: str = "guided",
        region: Any = None,
        slice_thickness: float | None = None,
        replace_nan: float | None = None,
        companion: bool = False,
        **settings: Any,
    ) -> SuperResolutionTask:
        """Check what can be checked at once, install what the method needs, copy the inputs. Main thread only.

        Args:
            companion: whether the reference, super-resolved by the same run, is requested too, if the method makes it.
            method: a name of the library's, or "automatic": see `automatic.recommended_method`.
            region: the part of the target to make: None, a markups ROI node, or "views"; see `region.resolve_region`.
            slice_thickness, replace_nan: see `sources.sources_of`.
            settings: keywords of `MultiContrastSRLib.super_resolve`, the method's options among them.

        Raises:
            MultiContrastSRError: inputs, output or method cannot be used; each message says what to do.
        """
        mrml = library("mrml")
        mrml.check_output(outputNode, targetNode, referenceNode)
        target, reference = sources_of(
            targetNode, referenceNode, slice_thickness=slice_thickness, replace_nan=replace_nan
        )
        settings = {"method": method, "region": resolve_region(region, targetNode), **settings}
        ensure_packages(settings)
        return cls(target, reference, outputNode, companion, settings)

    def store(
        self, output: Output, companion: Output | None = None
    ) -> tuple[vtkMRMLScalarVolumeNode, vtkMRMLScalarVolumeNode | None]:
        """The outputs as nodes of the scene. Main thread only."""
        if self._size is not None:
            self._size.learn(output.report, self.computation.seconds)
        node = self._store(output, self.target, self.reference, self.output)
        return node, None if companion is None else self._store(companion, self.reference, self.target)

    @staticmethod
    def _store(output: Output, target: Any, reference: Any, node: Any = None) -> vtkMRMLScalarVolumeNode:
        store = library("mrml").store_result
        report = output.report.as_dict()
        return store(slicer.mrmlScene, output.volume, report, target, reference, node, output.image)
