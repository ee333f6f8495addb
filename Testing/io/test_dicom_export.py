"""Results as derived DICOM series: what they say, and that they read back as they were."""

from __future__ import annotations

import signal

import numpy as np
import pytest
from dicom_series import edit_slice, write_series
from phantoms import affine

import MultiContrastSRLib as mc
from MultiContrastSRLib import Volume, pipeline
from MultiContrastSRLib.cli import main
from MultiContrastSRLib.core.errors import CancelledError, FileWriteError, GeometryError
from MultiContrastSRLib.io import dicom_export
from MultiContrastSRLib.io.dicom_derived import Sources
from MultiContrastSRLib.io.dicom_export import files_of, save_series
from MultiContrastSRLib.pipeline import result

pydicom = pytest.importorskip("pydicom")

# Required attributes of MR Image Storage (PS3.3 A.4): type 1 has a value, type 2 may be empty
TYPE_1 = """
    SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID Modality FrameOfReferenceUID ImageType
    PixelSpacing ImageOrientationPatient ImagePositionPatient SamplesPerPixel PhotometricInterpretation Rows Columns
    BitsAllocated BitsStored HighBit PixelRepresentation PixelData ScanningSequence SequenceVariant SpecificCharacterSet
    WindowCenter WindowWidth RescaleSlope RescaleIntercept RescaleType DerivationDescription SeriesDescription
""".split()
TYPE_2 = """
    PatientName PatientID PatientBirthDate PatientSex StudyDate StudyTime StudyID AccessionNumber
    ReferringPhysicianName SeriesNumber PositionReferenceIndicator Manufacturer InstanceNumber SliceThickness
    ScanOptions MRAcquisitionType RepetitionTime EchoTime EchoTrainLength PatientPosition
""".split()
TURNED = affine((0.7, 0.8, 2.5), angles=(0.3, -0.2, 0.5), flips=(-1, -1, 1), origin=(30, -40, 50))
PATIENT = {
    "g0010_0010": "Doe^Jane", "g0010_0020": "4711", "g0010_0030": "19700101", "g0010_0040": "F",
    "g0008_0020": "20240102", "g0008_0050": "A1", "g0020_0011": "5", "g0018_0020": "SE", "g0018_0081": "80",
}  # fmt: skip


@pytest.fixture
def volume():
    return Volume(np.random.default_rng(3).normal(200, 90, (6, 20, 24)), TURNED, "FLAIR guided 2x")


@pytest.fixture
def scan(tmp_path):
    """A folder with the DICOM series of a scan of 4 slices."""
    pixels = np.random.default_rng(1).integers(0, 900, (4, 24, 20)).astype(np.int16)
    return write_series(tmp_path / "scan", pixels, np.diag([-2.0, -2.0, 3.0, 1.0]), **PATIENT)


def headers(folder):
    return [pydicom.dcmread(path) for path in sorted(folder.iterdir())]


def test_it_reads_back_as_it_was(volume, tmp_path):
    import SimpleITK as sitk

    paths = save_series(volume, tmp_path / "out")
    assert [path.name for path in paths] == [f"{n:04d}.dcm" for n in range(1, 7)]
    back = mc.load_volume(tmp_path / "out")
    step = np.ptp(volume.array) / 65535
    assert back.grid.same_as(volume.grid) and np.abs(back.array - volume.array).max() < step
    assert back.name == "FLAIR guided 2x, research use"
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "out")))
    image = reader.Execute()
    assert np.abs(sitk.GetArrayFromImage(image) - volume.array).max() < step
    assert np.allclose(image.GetSpacing(), (0.7, 0.8, 2.5)) and np.allclose(
        image.GetOrigin(), (np.diag([-1, -1, 1, 1]) @ TURNED)[:3, 3]
    )


def test_required_attributes_are_there_and_valid(volume, scan, tmp_path):
    sources = Sources(files_of(mc.load_volume(scan).metadata))
    strict = pydicom.config.settings
    before = strict.reading_validation_mode
    for number, given in enumerate((None, sources)):
        save_series(volume, tmp_path / f"out{number}", sources=given)
        strict.reading_validation_mode = pydicom.config.RAISE
        try:
            files = headers(tmp_path / f"out{number}")
            for file in files:
                for element in file.iterall():
                    assert element.value is not None or element.VM == 0  # decoding checks every value
        finally:
            strict.reading_validation_mode = before
        for file in files:
            assert [name for name in TYPE_1 if file.get(name) in (None, "", [])] == []
            assert [name for name in TYPE_2 if name not in file] == []
            assert file.file_meta.MediaStorageSOPInstanceUID == file.SOPInstanceUID
            assert file.file_meta.MediaStorageSOPClassUID == file.SOPClassUID == "1.2.840.10008.5.1.4.1.1.4"
            assert len(file.PixelData) == 2 * file.Rows * file.Columns
        for name in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Rows", "SeriesNumber"):
            assert len({str(file[name].value) for file in files}) == 1
        assert len({file.SOPInstanceUID for file in files}) == 6
        assert [file.InstanceNumber for file in files] == list(range(1, 7))


def test_it_says_that_it_is_derived_and_for_research(volume, tmp_path):
    save_series(volume, tmp_path / "out", derivation="guided, 2x; residual below 0.01 %")
    file = headers(tmp_path / "out")[0]
    assert list(file.ImageType)[:2] == ["DERIVED", "SECONDARY"] and file.Modality == "MR"
    assert file.DerivationDescription.startswith("guided, 2x; residual below 0.01 % Research use only; not for diagn")
    assert file.SeriesDescription.endswith("research use") and "SourceImageSequence" not in file
    long = Volume(volume.array, volume.affine, "x" * 200)
    save_series(long, tmp_path / "long")
    assert len(headers(tmp_path / "long")[0].SeriesDescription) <= 64


def test_patient_study_and_sources_are_kept(volume, scan, tmp_path):
    source = headers(scan)
    save_series(volume, tmp_path / "out", sources=Sources(sorted(scan.iterdir()), sorted(scan.iterdir())[:1]))
    file = headers(tmp_path / "out")[0]
    for name in ("PatientName", "PatientID", "PatientBirthDate", "StudyInstanceUID", "StudyDate", "AccessionNumber"):
        assert file[name].value == source[0][name].value
    assert file.ScanningSequence == "SE" and file.EchoTime == 80 and file.SeriesNumber == 1005
    assert file.SeriesInstanceUID != source[0].SeriesInstanceUID
    named = [item.ReferencedSOPInstanceUID for item in file.SourceImageSequence]
    assert named == [each.SOPInstanceUID for each in (*source, source[0])]
    assert file.SourceImageSequence[0].PurposeOfReferenceCodeSequence[0].CodeValue == "121322"


def test_names_in_other_character_sets_are_kept(volume, scan, tmp_path):
    first = sorted(scan.iterdir())[0]
    edit_slice(first, g0008_0005=b"ISO_IR 100", g0010_0010="Müller^Jörg".encode("latin-1"))
    named = Volume(volume.array, volume.affine, "FLAIR × 2 – Ω")
    save_series(named, tmp_path / "out", sources=Sources([first]))
    file = headers(tmp_path / "out")[0]
    assert str(file.PatientName) == "Müller^Jörg" and file.SeriesDescription == "FLAIR × 2 – Ω, research use"
    assert mc.load_volume(tmp_path / "out").name == "FLAIR × 2 – Ω, research use"


def test_without_the_patient_nothing_points_to_them(volume, scan, tmp_path):
    save_series(volume, tmp_path / "out", sources=Sources(sorted(scan.iterdir())), keep_patient=False)
    file, source = headers(tmp_path / "out")[0], headers(scan)[0]
    assert file.PatientName == "" and file.PatientID == "" and file.PatientIdentityRemoved == "YES"
    values = [str(element.value) for element in file.iterall()]
    names = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "AccessionNumber", "PatientBirthDate")
    assert not {str(source[name].value) for name in names} & set(values)
    assert not any("Doe" in value or "4711" in value for value in values)


def test_a_moved_volume_has_a_frame_of_reference_of_its_own(volume, scan, tmp_path):
    file = sorted(scan.iterdir())[0]
    header = pydicom.dcmread(file)
    header.FrameOfReferenceUID = "1.2.3.4"
    header.save_as(file)
    for same, name in ((True, "same"), (False, "moved")):
        save_series(volume, tmp_path / name, sources=Sources([file]), same_space=same)
        assert (headers(tmp_path / name)[0].FrameOfReferenceUID == "1.2.3.4") is same


@pytest.mark.parametrize("values", [0.0, 7.0, 1e-7, -3e5])
def test_odd_ranges(values, tmp_path):
    array = np.full((2, 4, 4), values, np.float32)
    array[0, 0, 0] = 3 * values + (values == 7)
    save_series(Volume(array, np.eye(4), "odd"), tmp_path / "out")
    back = mc.load_volume(tmp_path / "out").array
    assert np.abs(back - array).max() <= np.ptp(array) / 65535 + 1e-6 * np.abs(array).max()


def test_nothing_is_left_of_what_fails(volume, tmp_path, monkeypatch):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("x")
    with pytest.raises(FileWriteError, match="holds files already; expected a new or an empty folder"):
        save_series(volume, tmp_path / "full")
    with pytest.raises(FileWriteError, match="does not exist; expected an existing folder"):
        save_series(volume, tmp_path / "none" / "out")
    sheared = np.diag([1.0, 1.0, 1.0, 1.0])
    sheared[0, 1] = 0.2
    with pytest.raises(GeometryError, match="sheared axes, which DICOM images cannot have"):
        save_series(Volume(volume.array, sheared), tmp_path / "out")
    calls = []
    with pytest.raises(CancelledError):
        save_series(volume, tmp_path / "out", cancel=lambda: len(calls) > 3 or calls.append(0))

    def full(*_arguments, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pydicom, "dcmwrite", full)
    with pytest.raises(FileWriteError, match=r"No space left on device\. Nothing was left behind"):
        save_series(volume, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full"]


def test_source_files_of_other_formats_and_of_deleted_series(volume, scan, tmp_path):
    assert [path.name for path in files_of(mc.load_volume(scan).metadata)] == sorted(p.name for p in scan.iterdir())
    mc.save_volume(volume, tmp_path / "a.nii.gz")
    assert files_of(mc.load_volume(tmp_path / "a.nii.gz").metadata) == [] and files_of({}) == []
    assert files_of({"source": str(tmp_path / "gone")}) == []


def test_the_command_writes_a_series_besides(scan, tmp_path, capsys):
    command = ["super-resolve", str(scan), "-o", str(tmp_path / "a.nii.gz"), "--method", "sinc", "--dicom"]
    assert main([*command, str(tmp_path / "series")]) == 0
    assert str(tmp_path / "series") in capsys.readouterr().out
    image, series = mc.load_volume(tmp_path / "a.nii.gz"), mc.load_volume(tmp_path / "series")
    assert series.grid.same_as(image.grid) and np.abs(series.array - image.array).max() < np.ptp(image.array) / 65535
    file = headers(tmp_path / "series")[0]
    assert file.PatientID == "4711" and len(file.SourceImageSequence) == 4
    assert file.DerivationDescription.startswith("sinc, 2x;") and mc.__version__ in file.SoftwareVersions
    assert main([*command, str(tmp_path / "series"), "--overwrite"]) != 0
    assert "holds files already" in capsys.readouterr().err


@pytest.fixture
def earlier(scan, tmp_path, monkeypatch):
    """The command that writes a series and replaces an earlier result in the working folder."""
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o777)  # for `unwritable`, which may work as another user
    command = ["super-resolve", str(scan), "-o", "a.nii.gz", "--overwrite"]
    assert main([*command, "--method", "nearest"]) == 0
    return [*command, "--method", "sinc", "--dicom", "series"]


def contents(folder):
    return {path.name: path.read_bytes() if path.is_file() else sorted(path.iterdir()) for path in folder.iterdir()}


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("when", ["in the series", "in the image", "after the last check"])
def test_cancelled_while_the_outputs_are_written(earlier, tmp_path, monkeypatch, capsys, when, there):
    if there:
        (tmp_path / "series").mkdir()
    before = contents(tmp_path)
    module, name = {"in the series": (dicom_export, "_write")}.get(when, (result, "write_image"))
    write = getattr(module, name)

    def cancelled(*arguments):
        assert when == "in the series" or len(list((tmp_path / "series").iterdir())) == 4
        if when == "after the last check":
            write(*arguments)
        signal.raise_signal(signal.SIGINT)
        if when != "after the last check":
            write(*arguments)

    monkeypatch.setattr(module, name, cancelled)
    assert main(earlier) == 130
    ending = "; no incomplete file is left." if when == "after the last check" else " during save; nothing was changed."
    assert capsys.readouterr().err.endswith(f"error: Cancelled{ending}\n")
    assert contents(tmp_path) == before


@pytest.mark.parametrize(("module", "name"), [(dicom_export, "_write"), (result, "write_image")])
def test_a_full_disk_keeps_the_earlier_result(earlier, tmp_path, monkeypatch, capsys, module, name):
    def full(*_arguments):
        raise OSError(28, "No space left on device")

    before = contents(tmp_path)
    monkeypatch.setattr(module, name, full)
    assert main(earlier) == 4
    assert "No space left on device. Nothing was left behind." in capsys.readouterr().err
    assert contents(tmp_path) == before


def test_a_folder_that_is_not_writable_is_refused_before_the_work(earlier, tmp_path, monkeypatch, capsys, unwritable):
    monkeypatch.setattr(pipeline, "super_resolve", lambda *_arguments, **_settings: pytest.fail("work was begun"))
    assert main([*earlier[:-1], str(unwritable / "series")]) == 4
    assert "series: Permission denied. Nothing was left behind. Choose a folder" in capsys.readouterr().err


def test_the_reason_is_the_systems_where_pydicom_raises_an_error_of_its_own(tmp_path):
    resource = pytest.importorskip("resource", reason="Windows has no limit of the size of files")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(FileWriteError) as failed:
            save_series(Volume(np.ones((2, 99, 99)), np.eye(4)), tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    message = f"Could not write the DICOM series {tmp_path / 'out'}: File too large. Nothing was left behind. Choose a "
    assert str(failed.value).startswith(message) and not list(tmp_path.iterdir())
