"""Scans far from zero are moved near it without loss; others are not touched."""

from __future__ import annotations

import numpy as np
import pytest

from MultiContrastSRLib import Volume
from MultiContrastSRLib.acquisition.lattice import fill_value, least_value
from MultiContrastSRLib.image import offset
from MultiContrastSRLib.image.offset import near_zero, subtracted
from MultiContrastSRLib.image.prepared import Prepared


def scan(low: float, high: float) -> Volume:
    array = np.random.default_rng(0).uniform(low, high, (3, 8, 8)).astype(np.float32)
    array[0, 0, :2] = low, high
    return Volume(array, np.eye(4), "scan", {"modality": "CT"})


@pytest.mark.parametrize(("low", "high"), [(0, 9), (-3, 5), (4, 9), (-1000, -450), (0, 0)])
def test_scans_that_span_as_much_as_they_lie_from_zero_stay_as_they_are(low, high):
    given = scan(low, high)
    assert near_zero(given)[0] is given and subtracted(given) == 0


@pytest.mark.parametrize(("low", "high"), [(5.01, 9), (3e4, 3.1e4), (-3.1e4, -3e4), (7, 7), (-2e-9, -1.5e-9)])
def test_no_digit_is_lost(low, high):
    given = scan(low, high)
    (moved,) = near_zero(given)
    assert np.array_equal(moved.array.astype(np.float64) + subtracted(moved), given.array.astype(np.float64))
    assert moved.array.min() == 0 and moved.name == "scan" and moved.metadata["modality"] == "CT"
    assert near_zero(moved)[0] is moved
    assert fill_value(moved) + subtracted(moved) == fill_value(given)
    assert least_value(moved) + subtracted(moved) == least_value(given)


def test_views_of_one_contrast_keep_their_difference():
    one, other = near_zero(scan(5000, 5400), scan(5100, 5500))
    assert subtracted(one) == subtracted(other) == 5000 and other.array.min() == 100
    one, other = given = scan(5000, 5400), scan(0, 5500)
    assert near_zero(*given) == [one, other]


def test_restored_images_pass_on_all_that_an_image_may_do():
    inherited = {"made_as", "lattice_array"}
    may_do = {name for name, found in vars(Prepared).items() if callable(found) or isinstance(found, property)}
    assert {name for name in may_do if not name.startswith("__")} - inherited <= set(vars(offset._Restored))
