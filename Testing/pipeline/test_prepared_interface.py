"""Images of plug-in methods that implement `render` alone work everywhere, in live zoom too."""

from __future__ import annotations

import numpy as np
import pytest
from live_fixtures import view
from phantoms import pair

import MultiContrastSRLib as mc
from MultiContrastSRLib.core.cache import Cache
from MultiContrastSRLib.core.errors import NotEnoughMemoryError
from MultiContrastSRLib.image.prepared import Prepared
from MultiContrastSRLib.live.renderer import ViewRenderer
from MultiContrastSRLib.methods import Method, get
from MultiContrastSRLib.methods.contract import REGISTRY
from MultiContrastSRLib.pipeline.checks import check_memory_for


class Plain(Prepared):
    """An image with `render` and nothing else."""

    def __init__(self, image: Prepared) -> None:
        self.target, self.lattice, self._image = image.target, image.lattice, image

    def render(self, grid, monitor=None):
        """See `Prepared.render`."""
        return self._image.render(grid, monitor)


@pytest.fixture
def plain_method():
    class PlainMethod(Method):
        name, label, summary, group, citation = "plain-image", "Plain", "Linear.", "classical", "None, 2026"

        def prepare(self, target, reference=None, *, refine=None, device="cpu", monitor=None, **options):
            return Plain(get("linear").prepare(target, refine=refine))

    REGISTRY.register(PlainMethod)
    yield PlainMethod
    REGISTRY.unregister("plain-image")


def test_an_image_with_render_alone_is_shown_by_live_zoom(plain_method):
    truth, _ = pair((6, 40, 36))
    target = mc.degrade(truth, "kspace", 2)
    renderer = ViewRenderer(target, None, Cache(1 << 20), method="plain-image", data_consistency=False)
    for plane in ("axial", "sagittal", "tilted"):
        grid = view(target.grid, plane)
        renderer.prepare(grid, lambda: False)
        assert renderer.ready(grid) and renderer.missing(grid) == 0 and not renderer.can_look_ahead(grid)
        assert renderer.can_sketch(grid) and renderer.sketched_by(grid) == "plain-image"
        expected = get("linear").prepare(target).render(grid).array
        assert np.array_equal(renderer.render(grid), expected) and np.array_equal(renderer.sketch(grid), expected)
    assert renderer.nbytes == 0


def test_methods_state_the_lattice_and_the_memory_that_they_need(plain_method, monkeypatch):
    truth, _ = pair((6, 40, 36))
    target = mc.degrade(truth, "kspace", 2)
    grid = target.grid.scaled(2)
    usual = check_memory_for(get("plain-image"), target, None, grid)
    monkeypatch.setattr(plain_method, "lattice_copies", 18.0, raising=False)
    assert check_memory_for(get("plain-image"), target, None, grid) == pytest.approx(usual * 20 / 11, abs=4)
    monkeypatch.setattr(plain_method, "oversampling", 4, raising=False)
    assert check_memory_for(get("plain-image"), target, None, grid) > 3 * usual
    monkeypatch.setattr("MultiContrastSRLib.core.memory.available_memory", lambda: usual)
    with pytest.raises(NotEnoughMemoryError):
        mc.super_resolve(target, method="plain-image", scale=2)
