"""The guided method: better than sinc where the reference helps, never worse where it does not."""

from __future__ import annotations

import numpy as np
import pytest
from phantoms import pair, psnr, real_volume
from scipy import ndimage

import MultiContrastSRLib as mc
from MultiContrastSRLib import Volume


def scores(truth, reference, scale, register="off", kind="kspace"):
    low = mc.degrade(truth, kind, scale)
    return {
        name: mc.prepare(low, reference, name, register=register, data_consistency=name == "guided").render(truth.grid)
        for name in ("bspline", "sinc", "guided")
    }


@pytest.mark.parametrize("scale", [2, 3.3])
def test_a_related_reference_helps(scale):
    truth, reference = pair()
    results = scores(truth, reference, scale)
    assert psnr(results["guided"], truth) > psnr(results["sinc"], truth) + 1


@pytest.mark.parametrize("kind", ["noise", "blank", "other scene", "shifted"])
@pytest.mark.parametrize("scale", [2, 3])
def test_a_useless_reference_does_not_harm(kind, scale):
    truth, reference = pair()
    array = {
        "noise": np.random.default_rng(1).normal(100, 30, truth.shape),
        "blank": np.zeros(truth.shape),
        "other scene": pair(seed=5)[1].array,
        "shifted": ndimage.shift(reference.array, (0, 3, -2), order=1),
    }[kind]
    results = scores(truth, Volume(array, truth.affine, kind), scale)
    assert psnr(results["guided"], truth) >= psnr(results["sinc"], truth) - 0.05


def test_through_plane_detail_comes_from_a_thin_sliced_reference():
    truth, reference = (Volume(np.swapaxes(v.array, 0, 1), np.eye(4), v.name) for v in pair((40, 80, 44)))
    thick = mc.degrade(truth, "slab", 4, axis="k")
    guided, plain = (
        mc.prepare(thick, reference, name, register="off").render(truth.grid) for name in ("guided", "bspline")
    )
    assert psnr(np.swapaxes(guided.array, 0, 1), np.swapaxes(truth.array, 0, 1)) > 0.5 + psnr(
        np.swapaxes(plain.array, 0, 1), np.swapaxes(truth.array, 0, 1)
    )


def test_a_reference_on_its_own_oblique_grid_helps_too():
    from phantoms import rotation

    truth, reference = pair()
    turn = np.eye(4)
    turn[:3, :3] = rotation((0.0, 0.0, 0.3))
    # the reference, resampled onto a grid turned in plane: same place in the patient
    grid = mc.Grid((6, 150, 150), turn @ np.diag([0.7, 0.7, 3.0, 1.0]))
    center = np.eye(4)
    center[:3, 3] = truth.grid.center - grid.center
    grid = mc.Grid(grid.shape, center @ grid.affine)
    turned = mc.prepare(reference, method="bspline", data_consistency=False).render(grid)
    results = scores(truth, turned, 2)
    assert psnr(results["guided"], truth) > psnr(results["sinc"], truth) + 0.7


def test_no_reference_means_sinc():
    truth, _ = pair()
    low = mc.degrade(truth, "kspace", 2)
    guided, sinc = (
        mc.super_resolve(low, method=name, data_consistency=False).volume.array for name in ("guided", "sinc")
    )
    assert np.abs(guided - sinc).max() < 1e-4 * np.ptp(truth.array)


PAIRS = [("T2", "T1"), ("FLAIR", "T1"), ("T1POST", "T1"), ("FLAIR", "T2"), ("T1", "FLAIR")]


@pytest.mark.slow
@pytest.mark.parametrize(("target", "reference"), PAIRS)
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_patient26(target, reference, scale):
    folder = ("open_ms_data", "cross_sectional", "MNI", "patient26")
    volumes = [real_volume(*folder, f"{name}_*.nii.gz") for name in (target, reference)]
    steps, first = np.array([9, 1, 1]), np.array([40, 0, 0])
    truth, guide = (
        Volume(v.array[40:112:9], v.grid.remapped((8, *v.shape[1:]), steps, first).affine, v.name) for v in volumes
    )
    results = {name: psnr(volume, truth) for name, volume in scores(truth, guide, scale).items()}
    brain = np.abs(truth.array) > 0.02 * truth.array.max()
    inner = np.stack([ndimage.binary_erosion(ndimage.binary_fill_holes(s), iterations=6) for s in brain])
    eroded = {
        name: -10 * np.log10(np.mean((volume.array - truth.array)[inner] ** 2))
        for name, volume in scores(truth, guide, scale).items()
    }
    helps = reference == "T1"
    for score in (results, eroded):
        assert score["guided"] >= score["sinc"] - 0.05
        if helps:
            assert score["guided"] > max(score["sinc"], score["bspline"])


@pytest.mark.slow
@pytest.mark.parametrize("reference", ["T1W", "FLAIR"])
def test_raw_patient12_with_registration_never_falls_below_sinc(reference):
    folder = ("open_ms_data", "longitudinal", "raw", "patient12")
    truth, guide = (real_volume(*folder, f"study1_{name}.nii.gz") for name in ("T2W", reference))
    results = {name: psnr(v, truth) for name, v in scores(truth, guide, 3, register="auto").items()}
    assert results["guided"] >= results["sinc"] - 0.05
