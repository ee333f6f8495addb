"""A reference on another lattice: what stands outside its field of view."""

from __future__ import annotations

import numpy as np
import pytest
from phantoms import pair

from MultiContrastSRLib import Volume
from MultiContrastSRLib.core.progress import Monitor
from MultiContrastSRLib.image.resample import resample_reference


@pytest.mark.parametrize(("factor", "offset"), [(1.0, -2e3), (1.0, 2e3), (-1.0, 0.0), (1e-9, 0.0)])
def test_other_units_give_the_same_image_in_those_units(factor, offset):
    reference = pair((3, 48, 44))[1]
    lattice = reference.grid.remapped((3, 30, 30), np.array([1, 2, 2]), np.array([0, -4, -5]))  # reaches outside
    other = Volume(factor * reference.array.astype(np.float64) + offset, reference.affine, "T1")
    (plain, covered), (found, covered_too) = (
        resample_reference(each, lattice, lattice, Monitor()) for each in (reference, other)
    )
    assert covered.min() == 0 and np.array_equal(covered, covered_too)
    assert np.abs((found.astype(np.float64) - offset) / factor - plain).max() < 1e-4 * np.ptp(plain)


def test_outside_is_as_the_border():
    array = np.full((2, 20, 20), 5.0)
    array[:, 4:16, 4:16] = 90
    reference = Volume(array, np.diag([1, 1, 4, 1]), "T1")
    wider = reference.grid.remapped((2, 30, 30), np.ones(3), np.array([0, -5, -5]))
    found, _ = resample_reference(reference, wider, wider, Monitor())
    assert np.array_equal(found[:, :4], np.full((2, 4, 30), 5, np.float32))
