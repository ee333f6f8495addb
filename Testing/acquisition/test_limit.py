"""The local range of an interpolated image, and what exceeds it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from MultiContrastSRLib.acquisition.axis import AxisModel
from MultiContrastSRLib.acquisition.limit import REACH, count_parts, hold_back, local_limit

SLICES = (AxisModel("slab", 2, 4.0, 4.0), AxisModel("kspace", 40, 1.0), AxisModel("kspace", 32, 1.0))
VOLUME = (AxisModel("kspace", 40, 1.0), AxisModel("kspace", 35, 1.0), AxisModel("kspace", 35, 1.0))


def smooth(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """A smooth image of range 100."""
    image = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 3)
    return (100 * (image - image.min()) / np.ptp(image)).astype(np.float32)


def test_the_limit_is_the_range_near_by():
    base = np.zeros((2, 80, 96), np.float32)
    base[0, 40, 48] = 50
    limit = local_limit(base, [None, *SLICES[1:]])
    assert limit[0, 36, 54] == pytest.approx(51) and limit[0, 44, 42] == pytest.approx(51)  # ±2 acquired pixels
    assert limit[0, 35, 48] == limit[0, 40, 55] == pytest.approx(1)  # 2 % of the slice's range
    assert not limit[1].any()  # slices are independent


def test_an_image_within_its_limits_is_returned_itself():
    base = smooth((2, 80, 96))
    image = base + REACH * 0.99 * local_limit(base, [None, *SLICES[1:]])
    for each in (base, image):
        found, samples, replaced = hold_back(each, base, SLICES, 0)
        assert found is each and not samples.any() and not replaced.any()


@pytest.mark.parametrize("wrong", [1e4, -1e4, np.inf, np.nan])
def test_few_samples_are_clipped_and_many_replace_the_slice(wrong):
    base = smooth((2, 80, 96))
    limit = REACH * local_limit(base, [None, *SLICES[1:]])
    image = base + 1
    image[0, 20, 20] = wrong
    image[1, ::2] = wrong
    found, samples, replaced = hold_back(image, base, SLICES, 0)
    expected = base[0, 20, 20] + (0 if np.isnan(wrong) else np.sign(wrong) * limit[0, 20, 20])
    assert found[0, 20, 20] == pytest.approx(expected, rel=1e-5)
    rest = np.ones(base.shape, bool)
    rest[0, 20, 20] = rest[1] = False
    assert np.array_equal(found[rest], image[rest]) and np.array_equal(found[1], base[1])
    assert samples.ravel().tolist() == [1, 40 * 96] and replaced.ravel().tolist() == [0, 1]
    assert np.isnan(image).any() == np.isnan(wrong)  # the argument is untouched


def test_a_volume_is_replaced_block_by_block():
    base = smooth((80, 70, 70))
    image = base + 1
    image[70:, :6] = 1e5
    found, samples, replaced = hold_back(image, base, VOLUME, None)
    assert samples.item() == 10 * 6 * 70 and replaced.item() == 2 and count_parts(image.shape, None) == 8
    assert np.array_equal(found[64:, :64], base[64:, :64]) and np.array_equal(found[:64], image[:64])
