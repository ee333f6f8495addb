"""Measured data stand in every result, and consistency never costs quality."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phantoms import pair, psnr, real_volume

import MultiContrastSRLib as mc
from MultiContrastSRLib import Volume
from MultiContrastSRLib.acquisition.axis import AxisModel
from MultiContrastSRLib.acquisition.consistency import check_image, enforce_consistency
from MultiContrastSRLib.acquisition.limit import Held
from MultiContrastSRLib.acquisition.model import AcquisitionModel
from MultiContrastSRLib.core.errors import CancelledError
from MultiContrastSRLib.core.progress import Monitor

METHODS = [method.name for method in mc.methods() if method.group == "classical"]


def zero_fill(volume: Volume, factor: float) -> Volume:
    """`volume` as a scanner delivers it that measured fewer phase-encoding lines than the image has columns."""
    axis = AxisModel("kspace", volume.shape[2], 1.0)
    fine = round(volume.shape[2] * factor)
    step, offset = axis.lattice_positions(fine)
    grid = volume.grid.remapped((*volume.shape[:2], fine), np.array([1, 1, step]), np.array([0, 0, offset]))
    return Volume(volume.array @ axis.interpolate(fine).T, grid.affine, volume.name)


def cropped(image: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The real part of the centred crop of k-space to `shape`, by FFT."""
    spectrum = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(image.astype(np.float64))))
    for axis, (n, m) in enumerate(zip(image.shape, shape, strict=True)):
        spectrum = np.take(spectrum, np.arange(n // 2 - m // 2, n // 2 - m // 2 + m), axis) * (m / n)
    return np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(spectrum))).real


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    shape=st.tuples(*[st.integers(2, 20)] * 3),
    factors=st.tuples(*[st.one_of(st.just(1.0), st.floats(1, 5))] * 3),
    seed=st.integers(0, 99),
)
def test_every_coefficient_of_a_crop_is_held(shape, factors, seed):
    truth, image = np.random.default_rng(seed).standard_normal((2, *shape)).astype(np.float32)
    axes = tuple(AxisModel("kspace", max(1, round(n / f)), 1.0) for n, f in zip(shape, factors, strict=True))
    measured = tuple(axis.samples for axis in axes)
    model = AcquisitionModel(mc.Grid(measured, np.eye(4)), axes)
    acquired = cropped(truth, measured)
    assert np.abs(model.acquire(truth) - acquired).max() < 1e-5
    consistent, _ = enforce_consistency(model, acquired.astype(np.float32), image)
    assert np.abs(cropped(consistent, measured) - acquired).max() < 1e-5
    assert np.abs(enforce_consistency(model, acquired.astype(np.float32), truth)[0] - truth).max() < 1e-5


@pytest.mark.parametrize("scale", [1.6, 2, 3])
def test_guided_agrees_exactly_with_a_simulated_crop(scale):
    truth, reference = pair((3, 95, 88))
    low = mc.degrade(truth, "kspace", scale)
    prepared = mc.prepare(low, reference, "guided", register="off")
    again = mc.degrade(prepared.render(truth.grid), "kspace", scale)
    assert np.abs(again.array - low.array).max() < 1e-4 * np.ptp(low.array)
    assert prepared.report.consistency["mode"] == "exact"
    assert prepared.report.consistency["residual_after"] < 1e-5


@pytest.mark.parametrize("method", METHODS)
def test_slices_average_to_the_acquired_ones(method):
    truth, reference = pair((24, 40, 44))
    truth, reference = (Volume(v.array, np.eye(4), v.name) for v in (truth, reference))
    thick = mc.degrade(truth, "slab", 4, axis="k")
    fine = mc.prepare(thick, reference, method, register="off").render(thick.grid.scaled((4, 1, 1)))
    again = fine.array.reshape(6, 4, 40, 44).mean(axis=1)
    assert np.abs(again - thick.array).max() < 2e-3 * np.ptp(thick.array)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scale", [2, 2.7])
def test_consistency_does_not_lower_the_psnr_of_simulated_crops(method, scale):
    truth, reference = pair()
    low = mc.degrade(truth, "kspace", scale)
    off, on = (
        psnr(mc.prepare(low, reference, method, register="off", data_consistency=dc).render(truth.grid), truth)
        for dc in (False, True)
    )
    assert on >= off - 0.01


@pytest.mark.parametrize("method", METHODS)
def test_consistency_does_not_spoil_zero_filled_scans(method):
    truth, reference = pair((4, 128, 128))
    filled = zero_fill(mc.degrade(truth, "kspace", 2), 1.5)
    off, on = (mc.prepare(filled, reference, method, register="off", data_consistency=dc) for dc in (False, True))
    assert psnr(on.render(truth.grid), truth) >= psnr(off.render(truth.grid), truth) - 0.01
    report = on.report.consistency
    assert report["mode"] == "support" and report["support"][2] == pytest.approx(1 / 1.5, abs=0.04)


def test_consistency_does_not_spoil_a_real_zero_filled_scan():
    folder = ("open_ms_data", "cross_sectional", "MNI", "patient26")
    truth, reference = (real_volume(*folder, f"{name}_*.nii.gz") for name in ("FLAIR", "T1"))
    cut = slice(60, 120, 10)
    truth, reference = (
        Volume(
            v.array[cut], v.grid.remapped((6, *v.shape[1:]), np.array([10, 1, 1]), np.array([60, 0, 0])).affine, v.name
        )
        for v in (truth, reference)
    )
    filled = zero_fill(mc.degrade(truth, "kspace", 2), 1.5)
    off, on = (
        psnr(mc.prepare(filled, reference, "guided", register="off", data_consistency=dc).render(truth.grid), truth)
        for dc in (False, True)
    )
    assert on >= off - 0.01


@pytest.mark.parametrize("method", ["bspline", "sinc", "guided"])
@pytest.mark.parametrize("overlap", [0.5, 1, 1.5, 2, 2.5, 3])
def test_slabs_thicker_or_thinner_than_their_spacing_do_not_blow_up_noise(method, overlap):
    from MultiContrastSRLib.acquisition.axis import AxisModel
    from MultiContrastSRLib.image.sampling import apply_separable

    truth, reference = (Volume(np.swapaxes(v.array, 0, 1), np.eye(4), v.name) for v in pair((20, 80, 44)))
    slabs = AxisModel("slab", 40, 2.0, 2.0 * overlap)
    array = apply_separable(truth.array, [slabs.forward(80), None, None])
    noise = np.random.default_rng(0).normal(0, 0.01 * np.ptp(array), array.shape)
    grid = truth.grid.resized((40, 20, 44))
    thick = Volume(array + noise, grid.affine, "T2", {"slice_thickness": 2.0 * overlap})
    off, on = (
        mc.prepare(thick, reference, method, register="off", data_consistency=dc, grid=truth.grid)
        for dc in (False, True)
    )
    scores = [psnr(*(np.swapaxes(v.array, 0, 1) for v in (p.render(truth.grid), truth))) for p in (off, on)]
    assert scores[1] >= scores[0] - 0.05


@pytest.mark.parametrize("axis", ["k", "j", "i"])
@pytest.mark.parametrize("method", ["bspline", "sinc", "guided"])
def test_a_crop_along_one_axis_is_undone_exactly(axis, method):
    truth, reference = (Volume(v.array, np.eye(4), v.name) for v in pair((40, 41, 42)))
    low = mc.degrade(truth, "kspace", 2, axis=axis)
    off, on = (
        mc.prepare(low, reference, method, register="off", data_consistency=dc, grid=truth.grid).render(truth.grid)
        for dc in (False, True)
    )
    assert psnr(on, truth) >= psnr(off, truth) - 0.01
    if method == "guided":  # its lattice is the truth's grid
        again = mc.degrade(on, "kspace", 2, axis=axis)
        assert np.abs(again.array - low.array).max() < 1e-3 * np.ptp(low.array)


@pytest.mark.parametrize("cores", [1, 4])
def test_slices_are_checked_in_threads_as_one_by_one(cores, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    truth, _ = pair((6, 48, 40))
    target = mc.degrade(truth, "kspace", 2)
    model = AcquisitionModel.estimate(target)
    image = truth.array.copy()
    image[2, 20, 20], image[4] = 1e6, np.nan  # held back; replaced
    checked = check_image(model, target.array, image, least=0.0)
    alone = [
        check_image(model.of_slices(0, n, n + 1), target.array[n : n + 1], image[n : n + 1], least=0.0)
        for n in range(len(image))
    ]
    assert np.array_equal(checked.array, np.concatenate([each.array for each in alone]))
    assert checked.pieces == tuple(each.held for each in alone)
    assert [piece.replaced for piece in checked.pieces] == [0, 0, 0, 0, 1, 0]
    assert checked.held == Held.sum(checked.pieces) and checked.held.parts == 6
    assert checked.before == pytest.approx(sum(each.before for each in alone))
    seen: list[float] = []
    check_image(model, target.array, image, monitor=Monitor(lambda fraction, _: seen.append(fraction)))
    assert seen == sorted(seen) and seen[0] == 0
    with pytest.raises(CancelledError):
        check_image(model, target.array, image, monitor=Monitor(None, lambda: True))
