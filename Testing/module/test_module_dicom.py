"""Save as DICOM series in the panel and from the console, and the series in the scene again."""

from __future__ import annotations

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")
pydicom = pytest.importorskip("pydicom")

from dicom_series import write_series  # noqa: E402
from panel_fixtures import run_to_end  # noqa: E402

import MultiContrastSRLib as mc  # noqa: E402


@pytest.fixture
def from_database(pair, tmp_path, monkeypatch):
    """The target of the pair as if it came from Slicer's DICOM database."""
    target, _ = pair
    pixels = np.round(slicer.util.arrayFromVolume(target)).astype(np.int16)
    folder = write_series(
        tmp_path / "scan", pixels, np.diag([-2.0, -2.0, 3.0, 1.0]), g0010_0010="Doe^Jane", g0010_0020="4711"
    )
    files = {pydicom.dcmread(path).SOPInstanceUID: str(path) for path in folder.iterdir()}

    class Database:
        def fileForInstance(self, instance):
            return files.get(instance, "")

        def instanceValue(self, instance, tag):
            return {"0010,0010": "Doe^Jane", "0010,0020": "4711"}.get(tag, "")

    monkeypatch.setattr(slicer, "dicomDatabase", Database(), raising=False)
    target.SetAttribute("DICOM.instanceUIDs", " ".join(files))
    return target


def headers(folder):
    return [pydicom.dcmread(path) for path in sorted(folder.iterdir())]


def test_the_panel_saves_and_slicer_reads_it_again(module, pair, from_database, harness, tmp_path, monkeypatch):
    import qt

    ui = module.ui
    run_to_end(module, harness)
    node = module.widget.panel.run.node
    monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", lambda *arguments: str(tmp_path))
    harness.click(ui.dicomButton)
    harness.wait(lambda: ui.dicomButton.enabled, 30, "the series")
    folder = tmp_path / node.GetName()
    assert ui.dicomLabel.text == f"Saved as DICOM series in {folder}." and not harness.messages.of("error")
    file = headers(folder)[0]
    assert file.PatientName == "Doe^Jane" and file.PatientID == "4711" and len(file.SourceImageSequence) == 12
    assert file.DerivationDescription.startswith("guided, 2x;")
    display = node.GetDisplayNode()
    assert (file.WindowCenter, file.WindowWidth) == pytest.approx((display.GetLevel(), display.GetWindow()))
    logic = slicer.modules.volumes.logic()
    names = sorted(str(path) for path in folder.iterdir())
    back = logic.AddArchetypeVolume(names[0], "back", 0)
    voxels, truth = slicer.util.arrayFromVolume(back), slicer.util.arrayFromVolume(node)
    assert voxels.shape == truth.shape and np.abs(voxels - truth).max() < 1e-4 * np.ptp(truth)
    assert np.allclose(back.GetSpacing(), node.GetSpacing()) and np.allclose(back.GetOrigin(), node.GetOrigin())
    harness.click(ui.dicomButton)  # a second time: another folder
    harness.wait(lambda: ui.dicomButton.enabled, 30, "the series")
    assert (tmp_path / f"{node.GetName()} 2").is_dir()


def test_without_patient_and_without_a_database(module, pair, from_database, harness, tmp_path, monkeypatch):
    node = module.logic.process(*pair, scale=2, register="off")
    paths = module.logic.saveDicom(node, tmp_path / "a", keepPatient=False)
    assert len(paths) == 12 and headers(tmp_path / "a")[0].PatientName == ""
    monkeypatch.delattr(slicer, "dicomDatabase")
    module.logic.saveDicom(node, tmp_path / "b")
    file = headers(tmp_path / "b")[0]
    assert file.PatientName == "" and "SourceImageSequence" not in file
    assert mc.load_volume(tmp_path / "b").grid.same_as(mc.load_volume(tmp_path / "a").grid)


def test_a_result_under_a_transform_is_saved_where_it_is(module, pair, from_database, tmp_path):
    import vtk

    node = module.logic.process(*pair, scale=2, register="off")
    moved = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    shift = vtk.vtkTransform()
    shift.Translate(5, 0, 0)
    moved.SetMatrixTransformToParent(shift.GetMatrix())
    module.logic.saveDicom(node, tmp_path / "a")
    node.SetAndObserveTransformNodeID(moved.GetID())
    module.logic.saveDicom(node, tmp_path / "b")
    files = [headers(tmp_path / name)[0] for name in "ab"]
    assert float(files[1].ImagePositionPatient[0]) == pytest.approx(float(files[0].ImagePositionPatient[0]) - 5)
    assert files[0].FrameOfReferenceUID != files[1].FrameOfReferenceUID


def test_what_goes_wrong_is_said(module, pair, harness, tmp_path, monkeypatch):
    import qt

    with pytest.raises(Exception, match=r"'T2' cannot be saved as a derived series"):
        module.logic.saveDicom(pair[0], tmp_path / "a")
    run_to_end(module, harness)
    monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", lambda *arguments: "")
    harness.click(module.ui.dicomButton)  # the user closed the dialog
    assert module.ui.dicomButton.enabled and not module.ui.dicomLabel.visible
    monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", lambda *arguments: str(tmp_path / "none"))
    harness.click(module.ui.dicomButton)
    harness.wait(lambda: module.ui.dicomButton.enabled, 30, "the error")
    (text,) = harness.messages.of("error")
    assert "does not exist; expected an existing folder" in text and not module.ui.dicomLabel.visible


def test_folders_are_named_after_the_volume(tmp_path):
    from MultiContrastSRPanel.logic.dicom_series import new_folder

    assert new_folder(tmp_path, "T2 a/b: 2x").name == "T2 a_b_ 2x"
    assert new_folder(tmp_path, "...").name == "series"
