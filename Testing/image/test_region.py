"""A region of interest as samples of a grid."""

from __future__ import annotations

import numpy as np
import pytest
from phantoms import affine

from MultiContrastSRLib import Grid
from MultiContrastSRLib.core.errors import InputError
from MultiContrastSRLib.image.region import Region


def test_a_box_covers_the_voxels_that_it_reaches_into():
    grid = Grid((10, 40, 40), np.diag([1.0, 1.0, 3.0, 1.0]))
    start, stop = Region.of((10, 20, 12), (5, 7, 3)).crop(grid)
    assert (start, stop) == ((4, 17, 8), (5, 24, 13))  # R 7.5…12.5, A 16.5…23.5, S 10.5…13.5: edges of voxels
    assert Region.of((10, 20, 12), 1000).crop(grid) == ((0, 0, 0), (10, 40, 40))


def test_a_turned_box_is_covered_on_an_oblique_grid():
    grid = Grid((30, 50, 40), affine((0.7, 0.7, 1.2), angles=(0.3, -0.2, 0.5), flips=(-1, 1, -1), origin=(9, -8, 7)))
    turned = affine((1, 1, 1), angles=(-0.6, 0.4, 0.1))[:3, :3].T
    region = Region.of(grid.center, (6, 10, 8), turned)
    start, stop = region.crop(grid)
    inside = grid.indices(region.corners)
    assert (inside >= np.array(start) - 0.5).all() and (inside <= np.array(stop) - 0.5).all()
    for axis in range(3):  # and no more than that
        assert inside[:, axis].min() < start[axis] + 0.5 and inside[:, axis].max() > stop[axis] - 1.5


def test_the_box_around_samples_gives_these_samples_again():
    grid = Grid((30, 50, 40), affine((0.7, 0.7, 1.2), angles=(0.3, -0.2, 0.5), flips=(-1, 1, -1), origin=(9, -8, 7)))
    region = Region.of_samples(grid, (3, 10, 0), (9, 50, 17))
    assert region.crop(grid) == ((3, 10, 0), (9, 50, 17))
    fine = grid.scaled((1, 2, 2))
    assert region.crop(fine) == ((3, 20, 0), (9, 100, 34))


def test_a_region_beside_the_scan_is_refused_with_both_places():
    grid = Grid((10, 40, 40), np.diag([1.0, 1.0, 3.0, 1.0]))
    message = r"a box of 10 × 10 × 10 mm around RAS \(100, 0, 0\) mm, outside the scan, whose centre is RAS \(19.5, "
    with pytest.raises(InputError, match=message):
        Region.of((100, 0, 0), 10).crop(grid)


@pytest.mark.parametrize("size", [0, -3, float("nan"), float("inf"), (1, 2), "x", (1, 0, 1)])
def test_sizes_that_give_no_box_are_refused(size):
    with pytest.raises(InputError, match="Region has"):
        Region.of((0, 0, 0), size)
