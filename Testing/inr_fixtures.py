"""What the tests of the coordinate network share beyond `subject_fixtures`: a small scene, quick fits."""

from __future__ import annotations

from typing import Any

import pytest
from subject_fixtures import ellipsoids, thick_views

import MultiContrastSRLib as mc
from MultiContrastSRLib import Grid, Volume
from MultiContrastSRLib.acquisition.model import AcquisitionModel
from MultiContrastSRLib.inr.presets import Preset

CUBE = (28, 32, 24)
ELLIPSOIDS = (CUBE, 29, 8)
# a network by itself, small enough for a test
PLAIN = Preset("grid", 32, 2, (8.0, 4.0, 2.0), 4, False, 0, False, 2048, 16, 1e-2, 0.0, 0.9, False, 0.4)


def prepared(views: tuple[Volume, Volume | None], grid: Grid, method: str = "subject-inr", **options: Any) -> Any:
    """The method prepared for both scans, which lie as they should."""
    return mc.prepare(*views, method, register="off", grid=grid, device="cpu", **options)


def lattice_of(target: Volume, shape: tuple[int, int, int] = CUBE) -> Grid:
    """The lattice of `target` that has the truth's samples."""
    return AcquisitionModel.estimate(target).lattice(shape)


def plain(scans: tuple[Volume, ...], lattice: Grid, **settings: Any) -> Any:
    """A fit of a network by itself, one contrast a scan."""
    from MultiContrastSRLib.inr.fitting import fit
    from MultiContrastSRLib.inr.presets import Settings

    return fit([[scan] for scan in scans], lattice, Settings(**{"preset": PLAIN, "stop": "never", **settings}))


@pytest.fixture
def no_earlier_fits() -> None:
    """Fits of other tests are forgotten."""
    from MultiContrastSRLib.methods import get

    get("subject-inr").clear_cache()


@pytest.fixture(scope="module")
def truths(request) -> tuple[Volume, Volume]:
    """The scene on the isotropic grid, in two contrasts; a module may name its own `SCENE`."""
    return ellipsoids(*getattr(request.module, "SCENE", ELLIPSOIDS))


@pytest.fixture(scope="module")
def views(truths) -> tuple[Volume, Volume]:
    """The scans of the scene, thick slices in two orientations."""
    return thick_views(truths)
