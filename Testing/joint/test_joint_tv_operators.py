"""Joint total variation, its parts: exact acquisition models, the operators' algebra, the noise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

import MultiContrastSRLib as mc
from MultiContrastSRLib import Volume
from MultiContrastSRLib.acquisition.model import AcquisitionModel
from MultiContrastSRLib.core.progress import Monitor

torch = pytest.importorskip("torch", reason="Joint total variation needs torch, which is not installed here.")

from MultiContrastSRLib.acquisition.noise import noise_level  # noqa: E402
from MultiContrastSRLib.joint import coupling  # noqa: E402
from MultiContrastSRLib.joint.data_term import DataTerm, expand, project  # noqa: E402
from MultiContrastSRLib.joint.observation import aligned_grid, observe, observe_target  # noqa: E402

LIKE = torch.empty(0)
CUBE = (44, 48, 40)
SCENE = (CUBE, 69, 9)


@pytest.mark.parametrize("kind", ["slab", "spline", "kspace"])
@pytest.mark.parametrize("factor", [2, 2.7, 4])
def test_the_targets_model_is_that_of_the_acquisition(truths, kind, factor):
    truth = truths[0]
    low = mc.degrade(truth, kind, factor, axis="j")
    model = AcquisitionModel.estimate(low)
    seen = observe_target(low, model, model.lattice(truth.shape), Monitor())
    assert seen.measured is None
    residual = DataTerm(seen, 1.0, 1.0, LIKE).residual(torch.from_numpy(truth.array.copy()))
    assert float(residual.abs().max()) < 1e-4 * np.ptp(truth.array) * np.sqrt(truth.array.size / low.array.size)


@pytest.mark.parametrize("stored", ["same axes", "permuted and flipped"])
def test_an_orthogonal_view_has_its_exact_slab_model(truths, views, stored):
    lattice, scan = truths[0].grid, views[1]
    if stored != "same axes":  # the same scan as another program might store it: axes (i reversed, k, j)
        array = np.ascontiguousarray(np.transpose(scan.array, (2, 0, 1))[::-1])
        turn = np.zeros((4, 4))
        turn[3, 3] = turn[1, 0] = turn[2, 1] = 1
        turn[0, 2], turn[0, 3] = -1, scan.shape[2] - 1
        scan = Volume(array, scan.affine @ turn, scan.name)
    grid, operators = aligned_grid(scan, lattice)
    assert grid.same_as(views[1].grid)
    assert operators[0] is None and operators[2] is None
    expected = AcquisitionModel.estimate(views[1]).axes[1].forward(lattice.shape[1])
    assert np.abs(operators[1] - expected).max() < 1e-6
    seen = observe(scan, lattice, None, Monitor())
    residual = DataTerm(seen, 1.0, 1.0, LIKE).residual(torch.from_numpy(truths[1].array.copy()))
    assert float(residual.abs().max()) < 2e-3 * np.ptp(truths[1].array)


def test_operators_and_their_adjoints_agree(views, truths):
    generator = torch.Generator().manual_seed(0)
    low = mc.degrade(mc.degrade(truths[0], "slab", 3, axis="i"), "kspace", (1.5, 2, 1))
    model = AcquisitionModel.estimate(low)
    scans = [
        observe_target(low, model, model.lattice(CUBE), Monitor()),
        observe(views[1], truths[0].grid, None, Monitor()),
    ]
    for seen in scans:
        term = DataTerm(seen, 1.0, 1.0, LIKE)
        image = torch.randn(CUBE, generator=generator)
        other = torch.randn(seen.coefficients.shape, generator=generator)
        there, back = project(image, term.bases), expand(other, term.bases)
        assert float((there * other).sum()) == pytest.approx(float((image * back).sum()), rel=1e-3, abs=1e-1)
        # the columns are orthonormal, so that the proximal step is exact: its optimality condition holds
        assert torch.allclose(project(expand(other, term.bases), term.bases), other, atol=1e-4)
        moved, trust, step = image.clone(), 7.0, 0.3
        DataTerm(seen, 1.0, trust, LIKE).prox(moved, step)
        pull = torch.zeros(CUBE)
        term.add_adjoint(term.residual(moved), -step * trust, pull)
        assert float((moved - image - pull).abs().max()) < 1e-3 * float(
            image.abs().max() + term.coefficients.abs().max()
        )


def test_smoothing_is_self_adjoint_and_keeps_constants():
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randn((3, 5, 6, 7), generator=generator, dtype=torch.float64) for _ in range(2))
    for dim in (1, 2, 3):
        smooth = [first.clone(), second.clone()]
        for field in smooth:
            coupling.binomial_smooth(field, dim)
        assert float((smooth[0] * second).sum()) == pytest.approx(float((first * smooth[1]).sum()))
    ones = torch.ones((1, 4, 5, 6))
    coupling.binomial_smooth(ones, 2)
    assert torch.equal(ones, torch.ones((1, 4, 5, 6)))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_functions_of_matrices(count):
    generator = torch.Generator().manual_seed(0)
    gradient = torch.randn((count, 4, 6, 5, 3), generator=generator, dtype=torch.float64)
    field = torch.empty((len(coupling.upper_triangle(count)), 6, 5, 3), dtype=torch.float64)
    coupling.gradient_products(gradient, field)
    matrix = torch.einsum("caxyz,daxyz->xyzcd", gradient, gradient)
    values, vectors = torch.linalg.eigh(matrix)
    expected = vectors @ torch.diag_embed(torch.sqrt(values)) @ vectors.transpose(-1, -2)
    got = field.clone()
    coupling.apply_matrix_function(got, torch.sqrt)
    for number, (a, b) in enumerate(coupling.upper_triangle(count)):
        assert torch.allclose(got[number], expected[..., a, b])
    assert torch.allclose(coupling.trace_of_function(field, torch.sqrt), torch.sqrt(values).sum(-1))


@pytest.mark.parametrize("level", [3.0, 12.0])
def test_noise_is_estimated(level):
    smooth = ndimage.gaussian_filter(np.random.default_rng(1).normal(0, 4000, (12, 90, 80)), 6)
    noisy = smooth + np.random.default_rng(0).normal(0, level, smooth.shape)
    noisy[:, :20] = 0  # a masked background is no evidence of quiet
    scan = Volume(noisy, np.diag([1, 1, 4, 1]))
    assert noise_level(scan) == pytest.approx(level, rel=0.1)


@pytest.mark.parametrize("kept", [(12, 8), (8, 12), (12, None), (None, 8), (None, None)])
@pytest.mark.parametrize("volume", [False, True])
def test_products_do_not_depend_on_the_order_of_the_axes(kept, volume):
    generator = torch.Generator().manual_seed(0)
    shape = (3, 20, 16)
    ranks = (2 if volume else None, *kept)
    bases = [None if r is None else torch.randn(n, r, generator=generator) for n, r in zip(shape, ranks, strict=True)]
    full = [torch.eye(n) if basis is None else basis for n, basis in zip(shape, bases, strict=True)]
    image = torch.randn(shape, generator=generator)
    coefficients = torch.einsum("kji,ka,jb,ic->abc", image, *full)
    assert torch.allclose(project(image, bases), coefficients, atol=1e-4)
    expected = torch.einsum("abc,ka,jb,ic->kji", coefficients, *full)
    assert torch.allclose(expand(coefficients, bases), expected, rtol=1e-4, atol=1e-3)
    onto = image.clone()
    assert expand(coefficients, bases, onto=onto) is onto
    assert torch.allclose(onto, image + expected, rtol=1e-4, atol=1e-3)
