"""Sentences about results that the user should weigh."""

from __future__ import annotations

import numpy as np
import pytest

import MultiContrastSRLib as mc
from MultiContrastSRLib.image.grid import Grid
from MultiContrastSRLib.pipeline.plausibility import result_warnings

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
