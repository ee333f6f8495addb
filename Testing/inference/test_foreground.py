"""Networks applied to the foreground of slices: nothing but air differs, and that by little."""

from __future__ import annotations

import numpy as np
import pytest
import scipy

torch = pytest.importorskip("torch", reason="Networks need torch, which is not installed here.")

import MultiContrastSRLib as mc  # noqa: E402
from MultiContrastSRLib.inference import slice_network  # noqa: E402
from MultiContrastSRLib.inference.foreground import (  # noqa: E402
    foreground,
    super_resolve_foreground,
    works_on_foreground,
)
from MultiContrastSRLib.inference.slice_network import SliceNetwork  # noqa: E402
from MultiContrastSRLib.networks.positions import Positions  # noqa: E402
from MultiContrastSRLib.networks.registry import build, light  # noqa: E402
from MultiContrastSRLib.samples.phantom import head_phantom  # noqa: E402

ALLOWED = 1e-3  # of the image's range
SHAPE = (200, 240)
WIDE = mc.Grid((2, 144, 128), np.array([[2.4, 0, 0, -154], [0, 2.4, 0, -173], [0, 0, 6.0, 12], [0, 0, 0, 1]]))


def positions(reference: tuple[int, int] = SHAPE) -> Positions:
    """Output pixels, twice as fine as the target's, in a reference of this shape."""
    steps = [m / n for m, n in zip(reference, SHAPE, strict=True)]
    return Positions.regular(SHAPE, ((0.5, 0.0),) * 2, tuple((step, 0.0) for step in steps))


def bright(rows: slice, columns: slice, shape: tuple[int, int] = SHAPE, channels: int = 2) -> torch.Tensor:
    image = torch.full((1, channels, *shape), 0.01)
    image[:, -1, rows, columns] = 1.0
    return image


def test_air_beyond_a_margin_is_left_out():
    rows, columns = foreground(bright(slice(80, 90), slice(100, 110)), None, positions(), 32)
    assert (rows.start, columns.start) == (48, 68) and (rows.stop, columns.stop) == (122, 142)
    assert foreground(bright(slice(80, 90), slice(None)), None, positions(), 32) == (slice(48, 122), slice(0, 240))


@pytest.mark.parametrize("reference", [SHAPE, (100, 120)])
def test_what_only_the_reference_shows_is_foreground(reference):
    factor = SHAPE[0] // reference[0]
    other = bright(slice(150 // factor, 160 // factor), slice(100 // factor, 110 // factor), reference, channels=1)
    rows, columns = foreground(bright(slice(80, 90), slice(100, 110)), other, positions(reference), 32)
    assert rows.start == 48 and abs(rows.stop - 192) <= 1  # to half a pixel
    assert abs(columns.start - 68) <= 1 and columns.stop == 142


def test_a_slice_that_is_full_or_empty_is_not_cut():
    assert foreground(bright(slice(2, 198), slice(4, 236)), None, positions(), 32) is None
    assert foreground(torch.zeros(1, 2, *SHAPE), None, positions(), 32) is None


def test_only_local_networks_and_only_on_the_cpu():
    swift = build(light("swift"))
    assert works_on_foreground(swift, "cpu") and not works_on_foreground(swift, "cuda")
    assert not works_on_foreground(build(light("dinet", base="guided")), "cpu")


@pytest.mark.parametrize("blocks", [1, 2])
def test_swifts_correction_depends_on_pixels_within_its_reach(blocks):
    torch.manual_seed(0)
    net = build(light("swift", blocks=blocks))
    with torch.no_grad():
        net.tail.weight.normal_(0, 0.05)
    base, target, other = torch.rand(1, 2, *SHAPE), torch.zeros(1, 1, 100, 120), torch.rand(1, 1, *SHAPE)
    center, far = (100, 120), torch.ones(SHAPE, dtype=torch.bool)
    far[center[0] - net.reach : center[0] + net.reach + 1, center[1] - net.reach : center[1] + net.reach + 1] = False
    with torch.inference_mode():
        before = net(target, other, positions(), base=base)[:, :, center[0], center[1]]
        changed = net(target, torch.where(far, 0.0, other), positions(), base=torch.where(far, 0.0, base))
    assert changed[:, :, center[0], center[1]] == before


def test_the_correction_is_the_networks_own_within_the_window_and_continued_beyond():
    torch.manual_seed(0)
    net = build(light("swift"))
    with torch.no_grad():
        net.tail.weight.normal_(0, 0.05)
    base = bright(slice(80, 120), slice(100, 140))
    base[:, :, 80:120, 100:140] += 0.3 * torch.rand(1, 2, 40, 40)
    target, other = torch.rand(1, 1, 100, 120), torch.zeros(1, 1, *SHAPE)
    with torch.inference_mode():
        whole = net(target, other, positions(), base=base)
        found = super_resolve_foreground(net, target, other, positions(), base)
        both = super_resolve_foreground(
            net, *(torch.cat([x, x.flip(-1)]) for x in (target, other)), positions(), torch.cat([base, base.flip(-1)])
        )
    rows, columns = foreground(base, other, positions(), net.reach)
    cut = net(target, other, positions().crop((rows, columns)), base=base[..., rows, columns])
    assert (whole - base[:, :1]).abs().max() > 0.02
    assert torch.allclose(found[..., rows, columns], cut, atol=1e-6)
    correction = (found - base[:, :1])[0, 0]
    assert torch.allclose(correction[: rows.start], correction[rows.start].expand(rows.start, -1), atol=1e-6)
    assert torch.equal(both[:1], found)  # whatever else is in the batch


@pytest.mark.slow
@pytest.mark.parametrize("with_reference", [True, False])
def test_results_of_the_weights_that_ship_differ_by_little(with_reference, monkeypatch):
    sampled, reference = head_phantom("T2", WIDE), head_phantom("T1", WIDE.scaled((1, 2, 2)), seed=1)
    # scanners filter k-space, so that nothing rings
    low = mc.Volume(scipy.ndimage.gaussian_filter(sampled.array, (0, 1, 1)), sampled.affine, "T2")
    in_foreground, windows = slice_network.super_resolve_foreground, []

    def noting(net, target, other, places, base):
        windows.append(foreground(base[:1], None if other is None else other[:1], places, net.reach))
        return in_foreground(net, target, other, places, base)

    images = []
    for on_foreground in (False, True):
        monkeypatch.setattr(slice_network, "works_on_foreground", lambda *_, on=on_foreground: on)
        monkeypatch.setattr(slice_network, "super_resolve_foreground", noting)
        options = {"scale": (1, 2, 2), "register": "off", "device": "cpu", "check_reference": False}
        images.append(mc.super_resolve(low, reference if with_reference else None, method="swift", **options).volume)
    difference = np.abs(images[1].array - images[0].array)
    assert windows[-1] is not None  # of the result
    assert 0 < difference.max() <= ALLOWED * np.ptp(images[0].array)


def test_every_thread_has_a_slice_where_joint_total_variation_is_an_auxiliary_image(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    large = (768, 696)
    assert SliceNetwork(build(light("swift")), "cpu").batch_size(large) == 4
    assert SliceNetwork(build(light("swift", base="guided")), "cpu").batch_size(large) == 1
