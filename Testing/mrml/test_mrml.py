"""Nodes to volumes and back: geometry under parent transforms, refusals, result nodes. Needs slicer-core only."""

from __future__ import annotations

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")
vtk = pytest.importorskip("vtk")

from MultiContrastSRLib import Grid, Volume, mrml  # noqa: E402
from MultiContrastSRLib.core.errors import GeometryError, InputError  # noqa: E402

REPORT = {
    "method": "guided",
    "version": "0.1.0",
    "scale": [1.0, 2.0, 2.0],
    "device": "cpu",
    "options": {"window": 7},
    "consistency": {"residual_after": 0.0125},
    "alignment": {"transform_ras": np.eye(4).tolist()},
}
OBLIQUE = np.array([[-0.6, 0.1, 0.4, 10.0], [0.05, -0.58, 0.9, -20.0], [0.1, 0.12, 2.9, 5.0], [0, 0, 0, 1]])


@pytest.fixture
def scene(monkeypatch):
    """A fresh scene in the place where Slicer's functions look for it."""
    fresh = slicer.vtkMRMLScene()
    monkeypatch.setattr(slicer, "mrmlScene", fresh, raising=False)
    yield fresh
    fresh.Clear(True)


def add_volume(name="T2", affine=OBLIQUE, shape=(4, 6, 5), dtype=np.int16):
    values = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    return slicer.util.addVolumeFromArray(values, ijkToRAS=affine, name=name)


def add_transform(matrix, name="Moved", parent=None):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", name)
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    if parent is not None:
        node.SetAndObserveTransformNodeID(parent.GetID())
    return node


def add_warp(name="Warp"):
    warp = vtk.vtkThinPlateSplineTransform()
    points = [vtk.vtkPoints(), vtk.vtkPoints()]
    for x, y, z in [(0, 0, 0), (50, 0, 0), (0, 50, 0), (0, 0, 50), (50, 50, 50)]:
        points[0].InsertNextPoint(x, y, z)
        points[1].InsertNextPoint(x + 0.01 * y * z, y, z)
    warp.SetSourceLandmarks(points[0])
    warp.SetTargetLandmarks(points[1])
    warp.SetBasisToR()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode", name)
    node.SetAndObserveTransformToParent(warp)
    return node


def rotation_and_shift(degrees, shift):
    a = np.radians(degrees)
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]
    matrix[:3, 3] = shift
    return matrix


def state(node):
    """All of a node that a run could change."""
    display = node.GetDisplayNode()
    return (
        node.GetMTime(),
        node.GetImageData().GetMTime(),
        slicer.util.arrayFromVolume(node).tobytes(),
        node.GetName(),
        tuple(node.GetAttributeNames()),
        display.GetMTime(),
        display.GetWindow(),
        node.GetTransformNodeID(),
    )


def doubled(source):
    """What a method would make: the finer grid, and values that say where they lie."""
    grid = Grid.of(source.volume).scaled(2)
    return Volume.on(grid, np.ones(grid.shape, np.float32), f"{source.volume.name} guided 2x")


def test_volume_has_the_nodes_voxels_affine_and_name(scene):
    node = add_volume()
    volume = mrml.volume_from_node(node)
    assert volume.name == "T2" and volume.array.dtype == np.float32
    np.testing.assert_array_equal(volume.array, slicer.util.arrayFromVolume(node))
    np.testing.assert_allclose(volume.affine, OBLIQUE, atol=1e-12)
    assert mrml.grid_from_node(node) == volume.grid


def test_volume_is_a_copy(scene):
    node = add_volume(dtype=np.float32)
    volume = mrml.volume_from_node(node)
    before = volume.array.copy()
    slicer.util.arrayFromVolume(node)[:] = -1
    np.testing.assert_array_equal(volume.array, before)


def test_unhardened_nested_transforms_count_as_hardened_ones(scene):
    node = add_volume()
    outer = add_transform(rotation_and_shift(30, (1, 2, 3)), "Outer")
    inner = add_transform(rotation_and_shift(-70, (40, 0, -9)), "Inner", outer)
    node.SetAndObserveTransformNodeID(inner.GetID())
    soft = mrml.volume_from_node(node)
    expected = rotation_and_shift(30, (1, 2, 3)) @ rotation_and_shift(-70, (40, 0, -9)) @ OBLIQUE
    np.testing.assert_allclose(soft.affine, expected, atol=1e-9)
    node.HardenTransform()
    np.testing.assert_allclose(mrml.volume_from_node(node).affine, soft.affine, atol=1e-9)


def test_non_linear_transform_is_refused_by_name(scene):
    node = add_volume()
    linear = add_transform(np.eye(4), "Linear", add_warp("Warp"))
    node.SetAndObserveTransformNodeID(linear.GetID())
    with pytest.raises(GeometryError) as caught:
        mrml.volume_from_node(node)
    assert str(caught.value) == (
        "Volume 'T2' is under the non-linear transform 'Warp'; expected linear transforms only. "
        "Harden the transform on a copy of the volume, or move the volume out from under it (Transforms module)."
    )


def colour_volume():
    return slicer.util.addVolumeFromArray(
        np.zeros((3, 4, 5, 3), np.uint8), name="Photo", nodeClassName="vtkMRMLVectorVolumeNode"
    )


def label_map():
    return slicer.util.addVolumeFromArray(
        np.zeros((3, 4, 5), np.uint8), name="Lesions", nodeClassName="vtkMRMLLabelMapVolumeNode"
    )


def two_components():
    node = add_volume("Pair")
    image = vtk.vtkImageData()
    image.SetDimensions(3, 4, 5)
    image.AllocateScalars(vtk.VTK_FLOAT, 2)
    node.SetAndObserveImageData(image)
    return node


def no_voxels():
    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Empty")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: None, "No target volume is selected; expected a scalar volume. Choose one, or load a scan first."),
        (
            label_map,
            "Volume 'Lesions' is a label map or segmentation (vtkMRMLLabelMapVolumeNode); expected one grey-valued 3-D "
            "scan as the target. Choose the scan that it was drawn on.",
        ),
        (
            colour_volume,
            "Volume 'Photo' has 3 values a voxel (colour, vector or series; vtkMRMLVectorVolumeNode); expected one "
            "grey-valued 3-D scan as the target. Extract one component first (Vector to Scalar Volume module).",
        ),
        (
            two_components,
            "Volume 'Pair' has 2 values a voxel (colour, vector or series; vtkMRMLScalarVolumeNode); expected one "
            "grey-valued 3-D scan as the target. Extract one component first (Vector to Scalar Volume module).",
        ),
        (
            no_voxels,
            "Volume 'Empty' holds no voxels; expected one grey-valued 3-D scan as the target. "
            "Load its image data again.",
        ),
        (
            lambda: add_transform(np.eye(4), "T"),
            "Node 'T' is a vtkMRMLLinearTransformNode; expected one grey-valued 3-D scan as the target "
            "(vtkMRMLScalarVolumeNode).",
        ),
    ],
    ids=["none", "label map", "colour", "two components", "no voxels", "no volume"],
)
def test_what_is_no_scan_is_refused(scene, make, message):
    with pytest.raises(InputError) as caught:
        mrml.volume_from_node(make())
    assert str(caught.value) == message


def test_result_lies_right_under_the_targets_transform(scene):
    node = add_volume()
    move = add_transform(rotation_and_shift(25, (5, -6, 7)))
    node.SetAndObserveTransformNodeID(move.GetID())
    source = mrml.Source.of(node)
    volume = doubled(source)
    result = mrml.store_result(scene, volume, REPORT, source)
    assert result.GetParentTransformNode() is move
    np.testing.assert_allclose(mrml.grid_from_node(result).affine, volume.affine, atol=1e-9)
    move.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(rotation_and_shift(90, (0, 0, 0))))
    corner = np.array([-0.5, -0.5, -0.5])  # the outer voxel edges of both keep coinciding
    for grid_corner in (mrml.grid_from_node(node), mrml.grid_from_node(result)):
        np.testing.assert_allclose(
            grid_corner.positions(corner)[2], mrml.grid_from_node(node).positions(corner)[2], atol=1e-9
        )


def test_result_stays_where_the_work_saw_the_target_when_the_transform_moves_meanwhile(scene):
    node = add_volume()
    move = add_transform(rotation_and_shift(25, (5, -6, 7)))
    node.SetAndObserveTransformNodeID(move.GetID())
    source = mrml.Source.of(node)
    move.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(rotation_and_shift(80, (50, 0, 0))))
    result = mrml.store_result(scene, doubled(source), REPORT, source)
    # both moved together: the result still covers the target's field of view
    np.testing.assert_allclose(mrml.grid_from_node(result).center, mrml.grid_from_node(node).center, atol=1e-9)


def test_result_carries_display_place_references_and_provenance(scene):
    target, reference = add_volume("T2"), add_volume("T1")
    display = target.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(33, 44)
    display.SetInterpolate(False)
    scene.AddNode(slicer.vtkMRMLColorTableNode()).SetName("Warm")
    display.SetAndObserveColorNodeID(slicer.util.getNode("Warm").GetID())
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "Study")
    hierarchy.CreateItem(study, target)
    before = state(target), state(reference)
    source = mrml.Source.of(target)
    result = mrml.store_result(scene, doubled(source), REPORT, source, mrml.Source.of(reference, "reference"))
    assert result.GetName() == "T2 guided 2x"
    shown = result.GetDisplayNode()
    assert shown is not display and (shown.GetWindow(), shown.GetLevel(), shown.GetAutoWindowLevel()) == (33, 44, 0)
    assert shown.GetColorNode() is display.GetColorNode() and not shown.GetInterpolate()
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(result)) == study
    assert result.GetNodeReference(mrml.TARGET) is target and result.GetNodeReference(mrml.REFERENCE) is reference
    assert result.GetAttribute("MultiContrastSR.Method") == "guided"
    assert result.GetAttribute("MultiContrastSR.Version") == "0.1.0"
    assert result.GetAttribute("MultiContrastSR.Scale") == "[1.0, 2.0, 2.0]"
    assert result.GetAttribute("MultiContrastSR.Options") == '{"window": 7}'
    assert result.GetAttribute("MultiContrastSR.ConsistencyResidual") == "0.0125"
    assert result.GetAttribute("MultiContrastSR.RegistrationTransform").startswith("[[1.0, 0.0")
    assert result.GetAttribute("MultiContrastSR.WeightsSHA256") is None
    assert (state(target), state(reference)) == before


def test_auto_window_of_the_target_becomes_a_fixed_one(scene):
    source = mrml.Source.of(add_volume())
    window = source.node.GetDisplayNode().GetWindow()
    shown = mrml.store_result(scene, doubled(source), REPORT, source).GetDisplayNode()
    assert shown.GetWindow() == window and not shown.GetAutoWindowLevel()


def test_weights_hash_is_kept_when_there_is_one():
    attributes = mrml.provenance({**REPORT, "weights": "abc"})
    assert attributes["MultiContrastSR.WeightsSHA256"] == "abc"


def test_acquired_volumes_and_inputs_are_never_overwritten(scene):
    source = mrml.Source.of(add_volume("T2"))
    with pytest.raises(InputError) as caught:
        mrml.store_result(scene, doubled(source), REPORT, source, output=add_volume("Acquired"))
    assert str(caught.value) == (
        "Output 'Acquired' was not made by this module; expected a new volume or an earlier result, "
        "for an acquired volume is never overwritten. Choose 'Create new volume'."
    )
    result = mrml.store_result(scene, doubled(source), REPORT, source)
    with pytest.raises(InputError) as caught:
        mrml.check_output(result, result)
    assert str(caught.value) == (
        "Output 'T2 guided 2x' is also an input of this run; expected another node, for inputs are never changed. "
        "Choose 'Create new volume'."
    )


def test_an_earlier_result_is_overwritten_in_place(scene):
    source = mrml.Source.of(add_volume())
    result = mrml.store_result(scene, doubled(source), REPORT, source)
    nodes = scene.GetNumberOfNodes()
    again = mrml.store_result(
        scene, source.volume.renamed("T2 sinc 1x"), {**REPORT, "method": "sinc"}, source, output=result
    )
    assert again is result and scene.GetNumberOfNodes() == nodes
    assert (again.GetName(), again.GetAttribute(mrml.METHOD)) == ("T2 sinc 1x", "sinc")
    assert slicer.util.arrayFromVolume(again).shape == source.volume.shape


def test_two_results_get_two_names(scene):
    source = mrml.Source.of(add_volume())
    results = [mrml.store_result(scene, doubled(source), REPORT, source) for _ in range(2)]
    names = [result.GetName() for result in results]
    assert len(set(names)) == 2
    for result in results:  # an overwritten one keeps its name
        mrml.store_result(scene, doubled(source), REPORT, source, output=result)
    assert [result.GetName() for result in results] == names


def test_result_survives_that_its_target_left_the_scene(scene):
    node = add_volume()
    move = add_transform(rotation_and_shift(25, (5, -6, 7)))
    node.SetAndObserveTransformNodeID(move.GetID())
    source = mrml.Source.of(node)
    scene.RemoveNode(node)
    scene.RemoveNode(move)
    volume = doubled(source)
    result = mrml.store_result(scene, volume, REPORT, source)
    assert result.GetParentTransformNode() is None and result.GetDisplayNode() is not None
    assert result.GetNodeReference(mrml.TARGET) is None
    np.testing.assert_allclose(mrml.grid_from_node(result).affine, volume.affine, atol=1e-9)


def test_provenance_and_geometry_survive_saving_the_scene(scene, tmp_path):
    source = mrml.Source.of(add_volume())
    volume = doubled(source)
    result = mrml.store_result(scene, volume, REPORT, source)
    for node in (source.node, result):
        node.AddDefaultStorageNode()
        node.GetStorageNode().SetFileName(str(tmp_path / f"{node.GetID()}.nrrd"))
        assert node.GetStorageNode().WriteData(node)
    scene.SetURL(str(tmp_path / "scene.mrml"))
    assert scene.Commit()
    attributes = {name: result.GetAttribute(name) for name in result.GetAttributeNames()}
    scene.Clear(False)
    scene.SetURL(str(tmp_path / "scene.mrml"))
    assert scene.Import()
    loaded = slicer.util.getNode("T2 guided 2x")
    assert {name: loaded.GetAttribute(name) for name in loaded.GetAttributeNames()} == attributes
    assert loaded.GetNodeReference(mrml.TARGET).GetName() == "T2"
    assert mrml.is_result(loaded) and not mrml.is_result(slicer.util.getNode("T2"))
    np.testing.assert_allclose(mrml.grid_from_node(loaded).affine, volume.affine, atol=1e-6)


def test_dicom_database_tells_the_slice_thickness_and_the_patient(scene, monkeypatch):
    values = {"0018,0050": "4.0", "0018,0088": "4.5", "0018,1310": "0\\320\\224\\0"}
    values |= {"0010,0010": "Doe^Jane ", "0010,0020": "", "0008,0060": "MR"}

    class Database:
        def instanceValue(self, uid, tag):
            assert uid == "1.2.3"
            return values.get(tag, "")  # as Slicer's for tags that the file lacks

    monkeypatch.setattr(slicer, "dicomDatabase", Database(), raising=False)
    node = add_volume()
    assert dict(mrml.volume_from_node(node).metadata) == {}
    node.SetAttribute("DICOM.instanceUIDs", "1.2.3 1.2.4")
    assert dict(mrml.volume_from_node(node).metadata) == {
        "slice_thickness": 4.0,
        "spacing_between_slices": 4.5,
        "acquisition_matrix": (0, 320, 224, 0),
        "patient_name": "Doe^Jane",
    }


@pytest.mark.parametrize(
    "values, expected",
    [
        ({"0018,0050": "3\\3"}, {"slice_thickness": 3.0}),
        ({"0008,0060": "ct "}, {"modality": "CT"}),
        ({"0018,0050": "3,5", "0018,0088": None}, {"slice_thickness": 3.5}),
        ({"0018,0050": "thin", "0018,0088": "-4", "0018,1310": "256\\192"}, {}),
    ],
)
def test_malformed_values_of_the_dicom_database(scene, monkeypatch, values, expected):
    class Database:
        def instanceValue(self, uid, tag):
            return values.get(tag, "")

    monkeypatch.setattr(slicer, "dicomDatabase", Database(), raising=False)
    node = add_volume()
    node.SetAttribute("DICOM.instanceUIDs", "1.2.3")
    assert dict(mrml.volume_from_node(node).metadata) == expected
