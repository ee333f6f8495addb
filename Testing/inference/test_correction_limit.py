"""Corrections of networks that diverge: clipped to the local range of the base image, or not used, with a warning."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="Networks need torch, which is not installed here.")

import torch
from live_fixtures import TOLERANCE, deviation, scans, trained, view
from phantoms import pair
from scipy import ndimage

import MultiContrastSRLib as mc
from MultiContrastSRLib import Volume
from MultiContrastSRLib.acquisition.axis import AxisModel
from MultiContrastSRLib.acquisition.degrade import degrade
from MultiContrastSRLib.core.cache import Cache
from MultiContrastSRLib.image.sampling import apply_separable
from MultiContrastSRLib.inference import correction_limit
from MultiContrastSRLib.inference.slice_network import SliceNetwork
from MultiContrastSRLib.methods import get

AXES = (AxisModel("kspace", 20, 2.0), AxisModel("kspace", 16, 3.0))
SENTENCE = "In {} of {} slices the network's correction exceeded the local range of the scan"


def limit_correction(images: np.ndarray, bases: np.ndarray, axes: tuple) -> tuple[np.ndarray, np.ndarray]:
    limited = correction_limit.limit_correction(torch.from_numpy(images), torch.from_numpy(bases), axes)
    return limited[0].numpy(), limited[1].numpy()


def checkerboard(shape: tuple[int, ...]) -> np.ndarray:
    """±1, of which no acquisition records anything."""
    return (1 - 2 * (np.indices(shape[-2:]).sum(0) % 2)).astype(np.float32)


@pytest.fixture
def bases() -> np.ndarray:
    """Two slices of smooth structure, range 100, on the lattice of `AXES`."""
    image = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((2, 40, 48)), (0, 2, 2))
    image -= image.min((1, 2), keepdims=True)
    return (100 * image / image.max((1, 2), keepdims=True)).astype(np.float32)


def add_by_network(monkeypatch, amplitude: float) -> None:
    """Every network adds a checkerboard of this amplitude to its base image."""

    def made(self, stack, *_):
        return stack.base + torch.from_numpy(np.float32(amplitude) * checkerboard(stack.base.shape))

    monkeypatch.setattr(SliceNetwork, "__call__", made)


# ---------------------------------------------------------------------- arrays


def test_small_corrections_pass_bit_for_bit(bases):
    made = bases + checkerboard(bases.shape)
    spread = [axis.spread(n) for axis, n in zip(AXES, bases.shape[1:], strict=True)]
    made += apply_separable(np.full((2, 20, 16), 1e3, np.float32), [None, *spread])  # left to data consistency
    images, replaced = limit_correction(made, bases, AXES)
    assert np.array_equal(images, made) and not replaced.any()


def test_a_few_pixels_are_clipped_to_the_local_range(bases):
    bases = np.tile(bases, (1, 4, 4))  # so that they are less than 0.1 % of a slice
    axes = tuple(AxisModel("kspace", 4 * axis.samples, axis.spacing) for axis in AXES)
    window = bases[1, 16:25, 18:31]  # ±2 acquired pixels around (20, 24): 4 rows and 6 columns on either side
    limit = np.ptp(window) + 0.02 * np.ptp(bases[1])
    for sign in (1, -1):
        made = bases.copy()
        made[1, 20, 24] += sign * 2 * limit
        images, replaced = limit_correction(made, bases, axes)
        assert not replaced.any() and np.array_equal(images[0], bases[0])
        assert images[1, 20, 24] - bases[1, 20, 24] == pytest.approx(sign * limit, rel=1e-4)


@pytest.mark.parametrize("wrong", [1e4, np.inf, np.nan])
def test_a_slice_that_diverges_is_its_base_image(wrong, bases):
    made = bases + checkerboard(bases.shape)
    made[1] += np.float32(wrong) * checkerboard(bases.shape)
    images, replaced = limit_correction(made, bases, AXES)
    assert replaced.tolist() == [False, True]
    assert np.array_equal(images[0], made[0]) and np.array_equal(images[1], bases[1])


# ---------------------------------------------------------------------- volumes


@pytest.fixture(scope="module")
def small() -> tuple[Volume, Volume]:
    return scans((5, 40, 36))


def test_a_volume_shows_the_base_image_with_a_warning(monkeypatch):
    target, reference = scans((3, 72, 66))  # large enough for a trial of the reference
    wanted = {"register": "off", "scale": (1, 2, 2)}
    guided = mc.super_resolve(target, reference, method="guided", **wanted).volume.array
    checked = {**trained("swift"), "check_reference": True}  # a trial must not be misled by what diverges
    add_by_network(monkeypatch, 0.0)
    base = mc.super_resolve(target, reference, method="swift", **wanted, **checked).volume.array
    add_by_network(monkeypatch, 1e4)
    result = mc.super_resolve(target, reference, method="swift", **wanted, **checked)
    assert deviation(result.volume.array, base) <= TOLERANCE and deviation(base, guided) < 1e-2
    (warning,) = (w for w in result.report.warnings if "local range" in w)
    assert warning.startswith(SENTENCE.format(3, 3)) and "guided image" in warning
    assert not any("did not help" in warning for warning in result.report.warnings)


def test_small_corrections_of_a_volume_are_not_changed(monkeypatch, small):
    target, reference = small
    add_by_network(monkeypatch, 1e-2 * np.ptp(target.array))
    prepared = get("swift").prepare(target, reference, **trained("swift"))
    unlimited = lambda made, *_: (made, torch.zeros(len(made), dtype=torch.bool))  # noqa: E731
    monkeypatch.setattr("MultiContrastSRLib.inference.plane.limit_correction", unlimited)
    without_limit = get("swift").prepare(target, reference, **trained("swift"))
    assert np.array_equal(prepared.array, without_limit.array) and prepared.warnings == ()
    add_by_network(monkeypatch, 0.0)
    assert deviation(get("swift").prepare(target, reference, **trained("swift")).array, prepared.array) > TOLERANCE


@pytest.mark.parametrize("case", ["through-plane", "coarser lattice", "fixed scale"])
def test_every_way_through_a_volume_is_limited(case, monkeypatch):
    truth, reference = pair((12, 40, 36))
    method, factors, refine = "swift", (1, 4, 4), (False, True, True)
    if case == "through-plane":
        target, refine = degrade(truth, "slab", (3, 1, 1)), (True, False, False)
    else:
        target = degrade(truth, "kspace", factors)
        method = "minet" if case == "fixed scale" else "swift"
    if case == "coarser lattice":
        monkeypatch.setattr(type(get("swift")), "finest", 2.0)
    add_by_network(monkeypatch, 0.0)
    expected = get(method).prepare(target, reference, refine=refine, **trained(method))
    add_by_network(monkeypatch, 1e4)
    found = get(method).prepare(target, reference, refine=refine, **trained(method))
    assert expected.warnings == () and len(found.warnings) == 1
    assert found.notes == expected.notes and deviation(found.array, expected.array) <= 1e-6


# ---------------------------------------------------------------------- live zoom


def test_slices_made_later_are_counted(monkeypatch, small):
    add_by_network(monkeypatch, 1e4)
    encoder = get("swift").prepare_slices(*small, **trained("swift"))
    assert encoder.warnings == ()
    for start, stop, count in ((1, 2, 1), (2, 4, 3), (1, 2, 3)):
        encoder.slices(start, stop)
        (warning,) = encoder.warnings
        assert warning.startswith(SENTENCE.format(count, count))


def test_the_report_of_live_zoom_has_the_warning(monkeypatch, small):
    add_by_network(monkeypatch, 1e4)
    target, reference = small
    run = mc.prepare(target, reference, "swift", register="off", by_slices=Cache(1 << 26), **trained("swift"))
    assert not any("local range" in w for w in run.report.warnings)
    run.render(view(target.grid))
    first = [w for w in run.report.warnings if "local range" in w]
    run.render(target.grid.scaled((1, 2, 2)))
    last = [w for w in run.report.warnings if "local range" in w]
    assert len(first) == len(last) == 1 and last[0].startswith(SENTENCE.format(5, 5)) and first != last
