"""Convert MRML nodes to volumes and back. The only library file that uses vtk and slicer; mostly main thread only."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk

from .core.errors import GeometryError, InputError
from .image.grid import Grid
from .image.volume import Volume
from .io.dicom_tags import acquisition_metadata, patient_metadata

if TYPE_CHECKING:
    from slicer import vtkMRMLScalarVolumeNode, vtkMRMLScene, vtkMRMLVolumeNode

PREFIX = "MultiContrastSR."  # of every attribute and node reference that we write; a file format
METHOD, TARGET, REFERENCE = PREFIX + "Method", PREFIX + "Target", PREFIX + "Reference"


@dataclass(frozen=True)
class Source:
    """An input as it was when a run began: later changes of its node reach neither the work nor its geometry.

    Attributes:
        node: the input node; it may leave the scene while the work is under way.
        volume: its voxels (copied) in world coordinates, all parent transforms applied.
        transform: its parent transform node, or None.
        to_world: 4×4 of that transform (and its parents), RAS mm.
    """

    node: vtkMRMLVolumeNode
    volume: Volume
    transform: slicer.vtkMRMLTransformNode | None
    to_world: np.ndarray

    @classmethod
    def of(cls, node: vtkMRMLVolumeNode | None, role: str = "target") -> Source:
        """Copy what a run needs of `node`.

        Args:
            role: how messages call it: "target" or "reference".

        Raises:
            InputError: no node, no voxels, a label map, a colour or vector volume, a time series.
            GeometryError: a non-linear parent transform, or an affine that cannot be worked with.
        """
        scan = _scalar(node, role)
        volume = Volume(
            slicer.util.arrayFromVolume(scan), _ijk_to_world(scan), scan.GetName() or role, metadata_from_node(scan)
        )
        return cls(scan, volume, scan.GetParentTransformNode(), transform_to_world(scan))


def volume_from_node(node: vtkMRMLVolumeNode, role: str = "target") -> Volume:
    """The voxels of `node` (copied) in world coordinates; errors as `Source.of`."""
    return Source.of(node, role).volume


def grid_from_node(node: vtkMRMLVolumeNode, role: str = "target") -> Grid:
    """Where the voxels of `node` lie in the world, without copying them; errors as `Source.of`."""
    scan = _scalar(node, role)
    return Grid(scan.GetImageData().GetDimensions()[::-1], _ijk_to_world(scan))


def metadata_from_node(node: vtkMRMLVolumeNode) -> dict[str, object]:
    """What Slicer's DICOM database knows of acquisition and patient; empty for volumes that came from other files."""
    database = getattr(slicer, "dicomDatabase", None)
    instances = (node.GetAttribute("DICOM.instanceUIDs") or "").split()
    if database is None or not instances:
        return {}

    def read(tag: str) -> object:
        return database.instanceValue(instances[0], tag)

    return {**acquisition_metadata(read), **patient_metadata(read)}


def transform_to_world(node: vtkMRMLVolumeNode) -> np.ndarray:
    """4×4 RAS mm: all parent transforms of `node`, hardened or not, as one matrix; identity without any.

    Raises:
        GeometryError: one of them is not linear; the message names it.
    """
    parent = node.GetParentTransformNode()
    if parent is None:
        return np.eye(4)
    if not parent.IsTransformToWorldLinear():
        bent = parent
        while bent is not None and bent.IsLinear():
            bent = bent.GetParentTransformNode()
        name = (bent or parent).GetName()
        raise GeometryError(
            f"Volume {node.GetName()!r} is under the non-linear transform {name!r}; expected linear transforms only. "
            "Harden the transform on a copy of the volume, or move the volume out from under it (Transforms module)."
        )
    matrix = vtk.vtkMatrix4x4()
    parent.GetMatrixTransformToWorld(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def image_from_array(array: np.ndarray) -> vtk.vtkImageData:
    """A copy of `array` [k, j, i] as VTK's image, its range known. Touches no node: on any thread."""
    voxels = numpy_to_vtk(np.ascontiguousarray(array).ravel(), deep=True)
    voxels.GetRange()  # VTK keeps it; a display asks for it on the main thread
    image = vtk.vtkImageData()
    image.SetDimensions(*array.shape[::-1])
    image.GetPointData().SetScalars(voxels)
    return image


def is_result(node: vtkMRMLVolumeNode | None) -> bool:
    """Whether we made `node`: only such nodes are ever overwritten."""
    return node is not None and bool(node.GetAttribute(METHOD))


def check_output(
    node: vtkMRMLVolumeNode | None, target: vtkMRMLVolumeNode, reference: vtkMRMLVolumeNode | None = None
) -> None:
    """Raises `InputError` unless `node` is None (a new node) or an earlier result that is no input of this run."""
    if node is None:
        return
    if node in (target, reference):
        raise InputError(
            f"Output {node.GetName()!r} is also an input of this run; expected another node, for inputs are never "
            "changed. Choose 'Create new volume'."
        )
    if not is_result(node):
        raise InputError(
            f"Output {node.GetName()!r} was not made by this module; expected a new volume or an earlier result, "
            "for an acquired volume is never overwritten. Choose 'Create new volume'."
        )


def store_result(
    scene: vtkMRMLScene,
    volume: Volume,
    report: Mapping[str, object],
    target: Source,
    reference: Source | None = None,
    output: vtkMRMLScalarVolumeNode | None = None,
    image: vtk.vtkImageData | None = None,
) -> vtkMRMLScalarVolumeNode:
    """Put a result into the scene; a new node unless `output` is an earlier result.

    The node keeps the target's parent transform, window, level and colours, refers to both inputs and carries
    `report` as provenance. Should the target or its transform have left the scene meanwhile, the result lies
    where the target lay in the world, with an automatic window.

    Args:
        report: `Report.as_dict()`.
        image: `image_from_array(volume.array)` where that was made on another thread already.

    Raises:
        InputError: `output` is an acquired volume, or one of the inputs.
    """
    check_output(output, target.node, None if reference is None else reference.node)
    node = output if output is not None and scene.IsNodePresent(output) else slicer.vtkMRMLScalarVolumeNode()
    with slicer.util.NodeModify(node):
        transform = target.transform
        if transform is not None and not scene.IsNodePresent(transform):
            transform = None
        local = np.array(volume.affine) if transform is None else np.linalg.inv(target.to_world) @ volume.affine
        node.SetAndObserveImageData(image_from_array(volume.array) if image is None else image)
        node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(local))
        for attribute, value in provenance(report).items():
            node.SetAttribute(attribute, value)
    name = volume.name or "Super-resolved"
    # an overwritten result must not keep the name of another method or scale, nor lose the number that makes it unique
    if not re.fullmatch(rf"{re.escape(name)}(_\d+)?", node.GetName() or ""):
        node.SetName(scene.GetUniqueNameByString(name))
    if not scene.IsNodePresent(node):
        scene.AddNode(node)
    node.SetAndObserveTransformNodeID(None if transform is None else transform.GetID())
    for role, source in ((TARGET, target), (REFERENCE, reference)):
        identifier = source.node.GetID() if source is not None and scene.IsNodePresent(source.node) else None
        node.SetNodeReferenceID(role, identifier)
    if scene.IsNodePresent(target.node):
        _copy_display(scene, target.node, node)
        _place_beside(scene, target.node, node)
    elif node.GetDisplayNode() is None:
        node.CreateDefaultDisplayNodes()
    return node


def provenance(report: Mapping[str, object]) -> dict[str, str | None]:
    """Node attributes (name → text) that say how a result came about; None for what does not apply."""
    consistency, alignment = _part(report, "consistency"), _part(report, "alignment")
    values = {
        "Version": report.get("version"),
        "Scale": report.get("scale"),
        "Options": report.get("options") or {},
        "Device": report.get("device"),
        "WeightsSHA256": report.get("weights"),
        "ConsistencyResidual": consistency.get("residual_after"),
        "RegistrationTransform": alignment.get("transform_ras"),
        "Report": dict(report),
    }
    texts = {
        PREFIX + key: value if isinstance(value, str) or value is None else json.dumps(value)
        for key, value in values.items()
    }
    return {METHOD: str(report["method"]), **texts}


# ---------------------------------------------------------------------- details


def _part(report: Mapping[str, object], name: str) -> Mapping[str, object]:
    found = report.get(name)
    return found if isinstance(found, Mapping) else {}


def _scalar(node: vtkMRMLVolumeNode | None, role: str) -> vtkMRMLVolumeNode:
    """`node`; raises `InputError` unless it is one grey-valued 3-D image."""
    if node is None:
        raise InputError(f"No {role} volume is selected; expected a scalar volume. Choose one, or load a scan first.")
    name, kind = node.GetName(), node.GetClassName()
    wanted = f"expected one grey-valued 3-D scan as the {role}"
    if node.IsA("vtkMRMLLabelMapVolumeNode") or node.IsA("vtkMRMLSegmentationNode"):
        raise InputError(
            f"Volume {name!r} is a label map or segmentation ({kind}); {wanted}. Choose the scan that it was drawn on."
        )
    if not node.IsA("vtkMRMLScalarVolumeNode"):
        raise InputError(f"Node {name!r} is a {kind}; {wanted} (vtkMRMLScalarVolumeNode).")
    image = node.GetImageData()
    if image is None or 0 in image.GetDimensions() or image.GetPointData().GetScalars() is None:
        raise InputError(f"Volume {name!r} holds no voxels; {wanted}. Load its image data again.")
    components = image.GetNumberOfScalarComponents()
    if components != 1:
        raise InputError(
            f"Volume {name!r} has {components} values a voxel (colour, vector or series; {kind}); {wanted}. "
            "Extract one component first (Vector to Scalar Volume module)."
        )
    return node


def _ijk_to_world(node: vtkMRMLVolumeNode) -> np.ndarray:
    """4×4, index (i, j, k, 1) to world RAS mm, all parent transforms applied."""
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return transform_to_world(node) @ slicer.util.arrayFromVTKMatrix(matrix)


def _copy_display(scene: vtkMRMLScene, target: vtkMRMLVolumeNode, result: vtkMRMLVolumeNode) -> None:
    """Show `result` as `target` is shown: the same grey means the same value."""
    shown = target.GetDisplayNode()
    if shown is None:
        if result.GetDisplayNode() is None:
            result.CreateDefaultDisplayNodes()
        return
    display = result.GetDisplayNode() or slicer.vtkMRMLScalarVolumeDisplayNode()
    display.CopyContent(shown)
    display.SetAutoWindowLevel(False)  # else it would be computed from all voxels, which takes long
    display.SetWindowLevel(shown.GetWindow(), shown.GetLevel())
    if not scene.IsNodePresent(display):  # attached last, for the same reason
        result.SetAndObserveDisplayNodeID(scene.AddNode(display).GetID())


def _place_beside(scene: vtkMRMLScene, target: vtkMRMLVolumeNode, result: vtkMRMLVolumeNode) -> None:
    """Give `result` the target's place in the subject hierarchy (patient and study)."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    if hierarchy is None:
        return
    target_item, result_item = hierarchy.GetItemByDataNode(target), hierarchy.GetItemByDataNode(result)
    parent = hierarchy.GetItemParent(target_item) if target_item else hierarchy.GetSceneItemID()
    if result_item:
        hierarchy.SetItemParent(result_item, parent)
    else:  # a plug-in of the application makes items by itself; elsewhere there is none yet
        hierarchy.CreateItem(parent, result)
