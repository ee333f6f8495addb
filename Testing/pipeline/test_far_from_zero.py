"""A scan far from zero gives the image of the same scan near zero, moved like it, to float32's resolution there."""

from __future__ import annotations

import numpy as np
import pytest
from live_fixtures import prepared_renderer, trained
from phantoms import pair

import MultiContrastSRLib as mc
from MultiContrastSRLib import Volume
from MultiContrastSRLib.acquisition.lattice import LatticeImage
from MultiContrastSRLib.image.prepared import Prepared
from MultiContrastSRLib.image.region import Region
from MultiContrastSRLib.live.view import view_grid
from MultiContrastSRLib.methods import Method, all_methods, get
from MultiContrastSRLib.methods.contract import REGISTRY

FAR = 30_000.0
RESOLUTION = float(np.spacing(np.float32(FAR)))
METHODS = [
    pytest.param(method.name, marks=[] if method.group == "classical" else pytest.mark.slow) for method in all_methods()
]


def scans(shape: tuple[int, int, int], noise: float = 0.0) -> tuple[Volume, Volume]:
    """Target and reference of intensities that float32 represents exactly far from zero, too, some of them negative."""
    truth, reference = pair(shape)
    low = mc.degrade(truth, "kspace", 2)
    array = low.array + noise * np.random.default_rng(0).standard_normal(low.shape)
    found = Volume(array, low.affine, "target", low.metadata), reference
    return tuple(Volume(np.round(64 * (v.array - 1)) / 64, v.affine, v.name, v.metadata) for v in found)


@pytest.fixture(scope="module")
def near() -> tuple[Volume, Volume]:
    return scans((4, 40, 36))


def moved(scans: tuple[Volume, Volume], offset: float, other: float = 0.0) -> tuple[Volume, Volume]:
    """The scans with `offset` added to the target's intensities and `other` to the reference's."""
    return tuple(Volume(v.array + x, v.affine, v.name, v.metadata) for v, x in zip(scans, (offset, other), strict=True))


def run(scans: tuple[Volume, Volume], method: str, **settings) -> mc.Result:
    return mc.super_resolve(*scans, method=method, register="off", device="cpu", **trained(method), **settings)


def difference(far: Volume, near: Volume, offset: float) -> float:
    """The largest one of far − offset and near, in steps of float32 there."""
    return float(np.abs(far.array.astype(np.float64) - offset - near.array).max()) / RESOLUTION


@pytest.mark.parametrize("offset", [FAR, -FAR])
@pytest.mark.parametrize("method", METHODS)
def test_the_result_moves_with_the_scan(method, offset, near):
    expected, found = run(near, method), run(moved(near, offset, -offset), method)
    assert difference(found.volume, expected.volume, offset) < 2
    assert found.report.consistency["residual_after"] < 0.1 * expected.report.consistency["residual_after"]
    assert found.report.consistency["mode"] == expected.report.consistency["mode"]
    companion, other = found.companion(), expected.companion()
    assert companion is None or difference(companion.volume, other.volume, -offset) < 2


@pytest.mark.parametrize("method", METHODS)
def test_a_view_is_the_crop_of_the_whole(method, near):
    scans = moved(near, FAR)
    whole = run(scans, method).volume
    plane = whole.grid.crop((2, 0, 0), (3, *whole.shape[1:]))
    grid = view_grid(np.array(plane.affine), plane.shape[2], plane.shape[1], scans[0].grid)
    renderer = prepared_renderer(*scans, grid, method=method, device="cpu", **trained(method))
    assert np.abs(renderer.render(grid) - whole.array[2:3]).max() <= RESOLUTION


@pytest.mark.parametrize("method", ["guided", pytest.param("swift", marks=pytest.mark.slow)])
def test_so_is_a_region(method, near):
    scans = moved(near, FAR)
    region = Region.of(near[0].grid.center, 14.0)
    whole, part = run(scans, method).volume, run(scans, method, region=region).volume
    window = tuple(slice(*ends) for ends in zip(*region.crop(whole.grid), strict=True))
    assert np.abs(whole.array[window] - part.array).max() <= RESOLUTION


def test_noise_is_weighed_as_near_zero():
    noisy = scans((4, 96, 88), noise=40.0)
    expected, found = run(noisy, "linear"), run(moved(noisy, FAR), "linear")
    assert expected.report.consistency["mode"] == found.report.consistency["mode"] == "noise"
    assert found.report.consistency["noise"] == pytest.approx(expected.report.consistency["noise"], rel=1e-6)
    assert difference(found.volume, expected.volume, FAR) < 2


@pytest.mark.parametrize("consistent", [True, False])
def test_limits_and_fill_are_those_of_the_scan_itself(near, consistent):
    """The lowest voxel of a scan far above zero is no limit, but the value outside its field of view."""
    step = np.where(np.arange(36) < 18, 0.0, 500.0) * np.ones((4, 40, 1))
    above, zero = (Volume(step + offset, near[0].affine, "step") for offset in (FAR, 0.0))
    prepared = [mc.prepare(scan, method="sinc", data_consistency=consistent) for scan in (above, zero)]
    fine = above.grid.scaled(2)
    assert prepared[0].render(fine).array.min() < FAR - 10 and prepared[1].render(fine).array.min() == 0
    beyond = fine.crop((0, 0, 0), (1, 1, 1)).remapped((1, 1, 1), np.ones(3), np.array([0, -50, 0]))
    assert prepared[0].render(beyond).array == FAR and prepared[1].render(beyond).array == 0


class Brightened(Prepared):
    """An image with `render` alone, which knows nothing of other units."""

    def __init__(self, image: LatticeImage) -> None:
        self.target, self.lattice, self._image = image.target, image.lattice, image

    def render(self, grid, monitor=None):
        made = self._image.render(grid, monitor)
        return Volume(made.array + 1, made.affine, made.name)


@pytest.mark.parametrize("consistent", [True, False])
def test_plug_in_methods_need_not_know(near, consistent, monkeypatch):
    class Plugin(Method):
        name, label, summary, group, citation = "plug-in", "Plug-in", "Sinc.", "classical", "None, 2026"

        def prepare(self, target, reference=None, *, refine=None, device="cpu", monitor=None, **options):
            assert target.array.min() == 0 and np.ptp(target.array) < FAR
            return Brightened(get("sinc").prepare(target, refine=refine))

    monkeypatch.setitem(REGISTRY._methods, "plug-in", Plugin())
    scans = moved(near, FAR)
    how = {"register": "off", "scale": 2, "data_consistency": consistent}
    found, plain = (mc.super_resolve(*scans, method=name, **how).volume for name in ("plug-in", "sinc"))
    assert np.abs(found.array - plain.array - (0 if consistent else 1)).max() <= RESOLUTION
