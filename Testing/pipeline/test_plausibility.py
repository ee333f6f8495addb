"""Sentences about results that the user should weigh."""

from __future__ import annotations

import numpy as np
import pytest

import MultiContrastSRLib as mc
from MultiContrastSRLib.image.grid import Grid
from MultiContrastSRLib.pipeline.plausibility import input_warnings, result_warnings

THICK = Grid((8, 40, 40), np.diag([0.5, 0.5, 4.0, 1.0]))


@pytest.mark.parametrize("spacing, coarser", [(0.5, False), (0.505, False), (0.6, True), (1.0, True)])
def test_a_result_coarser_in_plane_is_warned_of(spacing, coarser):
    found = [warning for warning in result_warnings(THICK, THICK.isotropic(spacing)) if "coarser in plane" in warning]
    assert bool(found) == coarser
    assert not coarser or "at most 0.5 mm" in found[0]


def test_thick_slices_do_not_count_as_plane():
    thin = Grid((40, 20, 20), np.diag([2.0, 2.0, 0.5, 1.0]))
    assert result_warnings(thin, thin.isotropic(2.0)) == []


def test_a_scale_beyond_four_is_warned_of_for_every_method():
    assert result_warnings(THICK, THICK.scaled(4)) == []
    (warning,) = result_warnings(THICK, THICK.scaled(5))
    assert warning.startswith("The result is up to 5 times as fine as the scan. Beyond 4 times")
    volume = mc.Volume(np.random.default_rng(0).random(THICK.shape, np.float32), THICK.affine, "T2")
    assert warning in mc.super_resolve(volume, method="linear", scale=5).report.warnings


def scan(name="T2", spacing=(4.0, 1.0, 1.0), seed=0, **metadata):
    k, j, i = spacing
    array = np.random.default_rng(seed).random((8, 40, 40), np.float32)
    return mc.Volume(array, np.diag([i, j, k, 1.0]), name, metadata)


def test_a_fitting_pair_is_not_warned_of():
    for spacing in ((4.0, 0.5, 0.5), (4.0, 1.0, 1.0), (1.0, 1.2, 1.2), (4.0, 1.05, 1.0)):
        assert input_warnings(scan(), scan("T1", spacing, 1)) == []


def test_the_same_image_twice_is_warned_of():
    (warning,) = input_warnings(scan(), scan("copy"))
    assert warning.startswith("T2 and copy are the same image, which adds nothing.")


@pytest.mark.parametrize("spacing", [(4.0, 2.0, 2.0), (6.0, 1.0, 1.0)])
def test_a_reference_that_is_coarser_where_the_target_is_finer_is_warned_of(spacing):
    (warning,) = input_warnings(scan(), scan("T1", spacing, 1))
    assert warning.startswith("The reference T1 is coarser than the target T2 (") and "Were they swapped?" in warning


def test_an_oblique_reference_is_compared_along_the_axes_of_the_target():
    turn = np.eye(4)
    turn[:3, :3] = [[0, 0, 1], [0, 1, 0], [-1, 0, 0]]
    assert input_warnings(scan(), scan("T1", (1.0, 1.0, 4.0), 1).moved(turn)) == []


def test_patients_that_differ_are_warned_of_without_their_names():
    mine = {"patient_name": "Doe^Jane", "patient_id": "007"}
    cases = [
        ({"patient_name": "DOE JANE", "patient_id": "007"}, None),
        ({"patient_name": "Doe^John", "patient_id": "007"}, "names"),
        ({"patient_name": "Doe^John", "patient_id": "008"}, "names and IDs"),
        ({"patient_id": "008"}, "IDs"),
        ({}, None),
    ]
    for theirs, kinds in cases:
        found = input_warnings(scan(**mine), scan("T1", seed=1, **theirs))
        assert len(found) == (kinds is not None)
        if kinds:
            assert found[0].startswith(f"The patients' {kinds} in the DICOM headers of T2 and T1 differ.")
            assert "Doe" not in found[0] and "008" not in found[0]


def test_what_speaks_against_the_pair_is_in_the_report_and_stops_nothing():
    report = mc.super_resolve(scan(patient_id="1"), scan("T1", seed=1, patient_id="2"), register="off").report
    assert any("differ. Make sure" in warning for warning in report.warnings)
    assert "patient_id" not in str(report.as_dict())
