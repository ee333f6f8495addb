"""Operators of an acquisition: the same for numpy and torch, and usable for gradients."""

from __future__ import annotations

import numpy as np
import pytest

from MultiContrastSRLib.acquisition import axis as axis_module
from MultiContrastSRLib.acquisition.axis import AxisModel
from MultiContrastSRLib.acquisition.operators import apply_operator, weigh
from MultiContrastSRLib.acquisition.support import Support
from MultiContrastSRLib.image.sampling import apply_separable

FINE = (6, 24, 33)
AXES = (
    AxisModel("slab", 3, 2.0, 2.0),
    AxisModel("kspace", 24, 1.0, support=Support(0.6)),
    AxisModel("kspace", 20, 1.65),
)
MEASURED = tuple(axis.samples for axis in AXES)
SHAPES = {"forward": FINE, "interpolate": MEASURED, "spread": MEASURED, "zero_fill": MEASURED, "linear": MEASURED}
random = np.random.default_rng(0).random


@pytest.mark.parametrize("operator", SHAPES)
def test_numpy_and_torch_agree(operator):
    torch = pytest.importorskip("torch")
    array = random(SHAPES[operator]).astype(np.float32)
    expected = apply_operator(AXES, operator, array, FINE)
    found = apply_operator(AXES, operator, torch.from_numpy(array), FINE)
    assert np.abs(found.numpy() - expected).max() < 1e-5
    # models of fewer axes are those of the last ones
    part = apply_operator(AXES[1:], operator, array, FINE[1:])
    assert np.abs(apply_operator(AXES[1:], operator, torch.from_numpy(array), FINE[1:]).numpy() - part).max() < 1e-5
    assert part.shape == (array.shape[0], *expected.shape[1:])


def test_corners_of_kspace_are_the_same_in_numpy_and_torch():
    torch = pytest.importorskip("torch")
    axes, fine = (AxisModel("kspace", 10, 2.0), AxisModel("kspace", 8, 2.0)), (20, 17)
    image = random((3, *fine)).astype(np.float32)
    expected = apply_operator(axes, "forward", image, fine)
    assert np.abs(apply_operator(axes, "forward", torch.from_numpy(image), fine).numpy() - expected).max() < 1e-6
    separate = apply_separable(image, [None, *(axis.forward(n) for axis, n in zip(axes, fine, strict=True))])
    corner = np.fft.fft2(separate - expected) / expected[0].size
    at_corner = np.abs(corner[:, 5, 4])
    assert at_corner.min() > 1e-4 and np.abs(corner).sum() == pytest.approx(at_corner.sum(), rel=1e-3)


def test_operators_return_a_new_array_even_where_they_are_the_identity():
    axes = tuple(AxisModel("kspace", n, 1.0) for n in FINE)
    image = random(FINE).astype(np.float32)
    result = apply_operator(axes, "spread", image, FINE)
    assert np.array_equal(result, image) and not np.shares_memory(result, image)


def test_weighing_removes_what_was_not_measured():
    torch = pytest.importorskip("torch")
    acquired = random(MEASURED).astype(np.float32)
    weighed = weigh(AXES, acquired)
    spectrum = np.abs(np.fft.fft(weighed, axis=1))
    assert spectrum[:, np.abs(np.fft.fftfreq(24) * 2) > 0.6].max() < 1e-4 < spectrum[:, 1].max()
    assert np.abs(weigh(AXES, torch.from_numpy(acquired)).numpy() - weighed).max() < 1e-6
    complete = (AXES[0], AxisModel("kspace", 24, 1.0), AXES[2])
    assert weigh(complete, acquired) is acquired


@pytest.mark.parametrize("samples", [2, 7, 24, 65])
@pytest.mark.parametrize("thickness", [0.0, 0.5, 1.0])
def test_slabs_no_thicker_than_their_spacing_record_every_frequency(samples, thickness):
    assert axis_module._recorded(samples, thickness) is None
    assert AxisModel("slab", samples, 1.0, thickness).weight() is None


def test_slabs_much_thicker_than_their_spacing_lose_the_finest_frequencies():
    weight = AxisModel("slab", 24, 1.0, 2.0).weight()
    assert np.linalg.matrix_rank(weight) < 24 and np.allclose(weight @ weight, weight, atol=1e-5)


def test_matrices_of_a_prediction_serve_training_in_the_same_process():
    torch = pytest.importorskip("torch")
    axes = (AxisModel("kspace", 13, 1.0), AxisModel("kspace", 11, 1.0))
    image = torch.rand(2, 29, 31)
    with torch.inference_mode():
        apply_operator(axes, "forward", image, (29, 31))
    image.requires_grad_()
    apply_operator(axes, "forward", image, (29, 31)).sum().backward()
    assert image.grad.abs().sum() > 0


def test_a_matrix_along_any_axis_of_a_tensor():
    torch = pytest.importorskip("torch")
    array, matrices = random((5, 6, 7)), [random((3, 5)), random((4, 6)), None]
    found = apply_separable(torch.from_numpy(array), [None if m is None else torch.from_numpy(m) for m in matrices])
    assert np.allclose(found.numpy(), np.einsum("ak,bj,kji->abi", matrices[0], matrices[1], array))
