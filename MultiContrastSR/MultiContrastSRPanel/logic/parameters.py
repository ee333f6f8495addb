"""The choices of the panel, which are saved with the scene: their types, names and defaults are a file format."""

import enum
from typing import Annotated

from slicer import vtkMRMLMarkupsROINode, vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

from .automatic import AUTOMATIC


class OutputSize(enum.Enum):
    """How the panel states the size of the result. Saved in scenes by name."""

    scale = "scale"
    spacing = "spacing"

    def label(self) -> str:
        """The text of the menu."""
        return {"scale": _("Scale factor"), "spacing": _("Isotropic spacing")}[self.name]


class WorkRegion(enum.Enum):
    """Which part of the target is made finer. Saved in scenes by name."""

    whole = "whole"
    roi = "roi"
    views = "views"

    def label(self) -> str:
        """The text of the menu."""
        return {"whole": _("Whole scan"), "roi": _("Box (ROI)"), "views": _("What the slice views show")}[self.name]


class Registration(enum.Enum):
    """Whether the reference is moved onto the target. The names are those of the library, saved in scenes."""

    auto = "auto"
    off = "off"
    on = "on"

    def label(self) -> str:
        """The text of the menu."""
        return {"auto": _("Automatic, when it helps"), "off": _("Off"), "on": _("Always")}[self.name]


class LiveShow(enum.Enum):
    """Where live zoom shows its image in a view. Saved in scenes by name."""

    view = "view"
    lens = "lens"
    split = "split"

    def label(self) -> str:
        """The text of the menu."""
        return {"view": _("Whole view"), "lens": _("Lens at the pointer"), "split": _("Right of a line")}[self.name]


class LiveQuality(enum.Enum):
    """How live zoom trades pixels for time. The names are those of the library, saved in scenes."""

    auto = "auto"
    full = "full"
    draft = "draft"

    def label(self) -> str:
        """The text of the menu."""
        return {"auto": _("Automatic, coarse first"), "full": _("Every pixel"), "draft": _("Draft")}[self.name]


@parameterNodeWrapper
class MultiContrastSRParameterNode:
    """All choices of the panel; saved with the scene.

    target - The scan to make finer; never changed.
    reference - A scan of another contrast of the same patient; optional.
    sliceThickness - Of the target in mm, in the place of what its file states; 0: as stated, or the slice spacing.
    replaceNan - Whether voxels that are NaN or infinite count as 0.
    method - Registered name of the method, for example "guided", or "automatic".
    outputSize - Whether `scale` or `spacing` counts.
    scale - New samples per old sample; in plane only for a 2-D (thick-slice) acquisition.
    spacing - Isotropic spacing of the result in mm.
    region - Which part of the target is made finer: all of it, the box `roi`, or what the slice views show.
    roi - The box, where `region` says so.
    registration - Rigid registration of the reference: auto, off, on.
    dataConsistency - Whether the result must agree with the measured data.
    device - "auto", "cpu" or "cuda:N".
    optionValues - JSON: {method: {option: value}}.
    output - An earlier result to overwrite; none: a new volume.
    companion - Whether methods that improve both scans also give the reference, as a second new volume.
    liveViews - Slice view in which live zoom works, or "all". Whether it is on is not saved.
    liveShow - Where in a view: all of it, a lens, one side of a line.
    liveLensSize - Side of the lens in screen pixels.
    liveSplit - Where the line stands, in percent of the view's width.
    liveQuality - auto, full, draft.
    liveCache - Memory in which live zoom keeps frames and slices, in megabytes.
    batchInput - Folder of the study.
    batchOutput - Folder of its results.
    batchScans - Template of the paths of its scans; empty for a BIDS dataset.
    batchTargets - Contrasts to super-resolve, separated by spaces.
    batchReferences - Contrasts that may be the reference, the preferred one first, separated by spaces.
    batchProcesses - Subjects that are worked on at the same time.
    """

    target: vtkMRMLScalarVolumeNode
    reference: vtkMRMLScalarVolumeNode
    sliceThickness: Annotated[float, WithinRange(0.0, 50.0)] = 0.0
    replaceNan: bool = False
    method: str = AUTOMATIC
    outputSize: OutputSize = OutputSize.scale
    scale: Annotated[float, WithinRange(1.0, 16.0)] = 2.0
    spacing: Annotated[float, WithinRange(0.1, 5.0)] = 1.0
    region: WorkRegion = WorkRegion.whole
    roi: vtkMRMLMarkupsROINode
    registration: Registration = Registration.auto
    dataConsistency: bool = True
    device: str = "auto"
    optionValues: str = ""
    output: vtkMRMLScalarVolumeNode
    companion: bool = False
    liveViews: str = "all"
    liveShow: LiveShow = LiveShow.view
    liveLensSize: Annotated[float, WithinRange(50.0, 800.0)] = 240.0
    liveSplit: Annotated[float, WithinRange(0.0, 100.0)] = 50.0
    liveQuality: LiveQuality = LiveQuality.auto
    liveCache: Annotated[float, WithinRange(16.0, 4096.0)] = 256.0
    batchInput: str = ""
    batchOutput: str = ""
    batchScans: str = ""
    batchTargets: str = "T2w FLAIR"
    batchReferences: str = "T1w"
    batchProcesses: Annotated[int, WithinRange(1, 64)] = 1
