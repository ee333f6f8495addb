"""Forward models: positions of degraded samples, exactness, support of the spectrum."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phantoms import affine, blob, centroid, pair, real_volume

import MultiContrastSRLib as mc
from MultiContrastSRLib import Grid, Volume
from MultiContrastSRLib.acquisition.axis import AxisModel
from MultiContrastSRLib.acquisition.model import AcquisitionModel
from MultiContrastSRLib.acquisition.support import estimate_support
from MultiContrastSRLib.core.errors import InputError
from MultiContrastSRLib.image import kernels


@pytest.mark.parametrize("n", [24, 25, 32, 33])
@pytest.mark.parametrize("m", [9, 10, 12, 13])
def test_kspace_crop_is_the_centred_fft_crop(n, m):
    signal = np.random.default_rng(n * m).normal(size=n)
    spectrum = np.fft.fftshift(np.fft.fft(np.fft.ifftshift(signal)))
    first = n // 2 - m // 2
    cropped = np.fft.fftshift(np.fft.ifft(np.fft.ifftshift(spectrum[first : first + m]))).real * m / n
    volume = Volume(signal.reshape(1, 1, n), np.eye(4))
    low = mc.degrade(volume, "kspace", n / m, axis="i")
    assert low.shape == (1, 1, m)
    assert np.allclose(low.array[0, 0], cropped, atol=1e-5)
    # the convention: LR sample m//2 coincides with HR sample n//2, and the spacing is the rounded one
    assert np.allclose(low.grid.positions((0, 0, m // 2)), volume.grid.positions((0, 0, n // 2)))
    assert low.spacing[2] == pytest.approx(n / m)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    n=st.tuples(*[st.integers(40, 61)] * 3),
    scale=st.floats(1.0, 3.0),
    kind=st.sampled_from(["kspace", "slab", "spline", "subsample"]),
    axis=st.sampled_from(["k", "j", "i", None]),
    angles=st.tuples(*[st.floats(-1, 1)] * 3),
)
def test_degraded_volumes_stay_in_place(n, scale, kind, axis, angles):
    grid = Grid(n, affine((1.0, 1.0, 1.0), angles))
    center = grid.positions((np.array(n) - 1) / 2 + (0.3, -0.2, 0.4))
    truth = Volume(blob(grid, center, 4.0), grid.affine)
    low = mc.degrade(truth, kind, scale, axis)
    assert np.abs(low.grid.indices(centroid(low)) - low.grid.indices(center)).max() < 0.05


def test_slabs_are_means_and_tile_the_field_of_view():
    array = np.broadcast_to(np.arange(12, dtype=np.float32).reshape(12, 1, 1), (12, 5, 6))
    low = mc.degrade(Volume(array, np.eye(4)), "slab", 4)
    assert low.array[:, 2, 3].tolist() == [1.5, 5.5, 9.5]
    assert low.grid.positions((0, 0, 0))[2] == pytest.approx(1.5)
    assert low.spacing == (4.0, 1.0, 1.0)


def test_default_axes_follow_the_acquisition():
    thick = Volume(np.ones((10, 30, 32)), np.diag([1, 1, 4, 1]))
    assert mc.degrade(thick, "kspace", 2).shape == (10, 15, 16)
    assert mc.degrade(thick, "slab", 2).shape == (5, 30, 32)
    assert mc.degrade(thick, "kspace", (1, 2, 3)).shape == (10, 15, 11)
    cube = Volume(np.ones((10, 30, 32)), np.eye(4))
    assert mc.degrade(cube, "kspace", 2).shape == (10, 15, 16)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fourier", 2), "Degradation is 'fourier'; expected one of kspace, slab, spline, subsample."),
        (("kspace", 0), "Scale is"),
        (("kspace", 0.5), "Degradation scale is 0.5 for an axis of 30 samples; expected 1 to 30."),
        (("slab", 2, "x"), "Axis is 'x' with scale 2; expected 0, 1, 2 or k, j, i, with one number as the scale."),
    ],
)
def test_bad_degradations_are_refused(arguments, message):
    with pytest.raises(InputError) as caught:
        mc.degrade(Volume(np.ones((10, 30, 32)), np.diag([1, 1, 4, 1])), *arguments)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("kind", ["kspace", "slab"])
@pytest.mark.parametrize(("m", "n"), [(9, 27), (10, 27), (10, 30), (12, 12), (13, 40)])
def test_what_is_spread_is_recorded_again(kind, m, n):
    axis = AxisModel(kind, m, 1.0, 1.0)
    if m == n:
        assert axis.forward(n) is None and axis.spread(n) is None
        return
    assert np.allclose(axis.forward(n) @ axis.spread(n), np.eye(m), atol=1e-5)


def test_support_of_a_fully_measured_image_is_full():
    truth, _ = pair((4, 128, 128))
    assert estimate_support(truth.array, 1).full
    assert estimate_support(mc.degrade(truth, "kspace", 2).array, 2).full


@pytest.mark.parametrize("factor", [1.25, 1.5, 2.0])
def test_zero_filling_is_noticed(factor):
    truth, _ = pair((4, 120, 128))
    fine = round(128 * factor)
    axis = AxisModel("kspace", 128, 1.0)
    filled = truth.array @ axis.interpolate(fine).T
    found = estimate_support(filled, 2)
    assert found.edge == pytest.approx(128 / fine, abs=0.04)
    assert estimate_support(filled, 1).full


@pytest.mark.parametrize("kink", [0.3, 0.4, 0.5])
def test_an_uneven_spectrum_is_no_edge(kink):
    """A power spectrum that falls as f⁻⁴·⁵, and slowly from `kink` (of Nyquist) on: all of it was measured."""
    frequency = np.abs(np.fft.rfftfreq(256)) * 2
    amplitude = np.maximum(frequency, 1e-2) ** -2.25
    amplitude[frequency > kink] = amplitude[frequency > kink][0] * (frequency[frequency > kink] / kink) ** -0.4
    phase = np.random.default_rng(0).uniform(0, 2 * np.pi, (4, 64, len(frequency)))
    lines = np.fft.irfft(amplitude * np.exp(1j * phase), 256).astype(np.float32)
    assert estimate_support(lines, 2).full
    cut = np.fft.irfft(amplitude * (frequency < 0.7) * np.exp(1j * phase), 256).astype(np.float32)
    noise = np.random.default_rng(1).normal(0, 0.3 * amplitude[-1] / 256**0.5, cut.shape).astype(np.float32)
    assert estimate_support(cut + noise, 2).edge == pytest.approx(0.7, abs=0.05)


def test_raw_clinical_scans_are_zero_filled_along_phase_encode():
    scan = real_volume("open_ms_data", "longitudinal", "raw", "patient12", "study1_T2W.nii.gz")
    model = AcquisitionModel.estimate(scan)
    assert [axis.kind for axis in model.axes] == ["slab", "kspace", "kspace"]
    assert model.axes[1].support.full
    assert 0.70 <= model.axes[2].support.edge <= 0.80
    assert model.resolution[2] == pytest.approx(scan.spacing[2] / model.axes[2].support.edge)
    assert any("Slice thickness is not stated" in sentence for sentence in model.assumptions)


def test_kernels_reproduce_constants_and_samples():
    positions = np.linspace(-0.5, 9.5, 41)
    signal = np.random.default_rng(0).normal(size=10)
    for kernel in (
        kernels.nearest,
        kernels.linear,
        kernels.bspline,
        kernels.quintic,
        kernels.lanczos(3),
        kernels.sinc,
        kernels.mirrored_sinc,
    ):
        assert np.allclose(kernel(10, positions).sum(axis=1), 1, atol=1e-9)
        assert np.allclose(kernel(10, np.arange(10.0)) @ signal, signal, atol=1e-9)


def test_the_acquisition_matrix_of_dicom_bounds_the_support():
    truth, _ = pair((4, 128, 128))
    # frequency rows, frequency columns, phase rows, phase columns
    stated = Volume(truth.array, truth.affine, "T2", {"acquisition_matrix": (0, 128, 96, 0)})
    model = AcquisitionModel.estimate(stated)
    assert model.axes[1].support.edge == pytest.approx(0.75) and model.axes[2].support.full
    # which no longer holds once the volume is degraded in plane
    assert "acquisition_matrix" not in mc.degrade(stated, "kspace", 2).metadata


def test_stated_thickness_is_used_and_survives_in_plane_degradation():
    truth, _ = pair((6, 64, 64))
    stated = Volume(truth.array, truth.affine, "T2", {"slice_thickness": 2.5})
    assert AcquisitionModel.estimate(stated).axes[0].thickness == 2.5
    assert AcquisitionModel.estimate(mc.degrade(stated, "kspace", 2)).axes[0].thickness == 2.5
