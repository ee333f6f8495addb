"""Models of scans far from zero: fitted near zero, saved and rendered in the scans' own units."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from inr_fixtures import PLAIN, lattice_of, prepared

from MultiContrastSRLib import Volume

torch = pytest.importorskip("torch", reason="The subject-specific network needs torch, which is not installed here.")

from MultiContrastSRLib.inr.callbacks import fit_callbacks  # noqa: E402
from MultiContrastSRLib.inr.fitting import fit  # noqa: E402
from MultiContrastSRLib.inr.model import SubjectModel  # noqa: E402
from MultiContrastSRLib.inr.presets import PRESETS, Settings  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_earlier_fits")]

FAR = 30_000.0
RESOLUTION = float(np.spacing(np.float32(FAR)))


@pytest.fixture(scope="module")
def far(views) -> list[Volume]:
    return [Volume(np.round(v.array) + FAR, v.affine, v.name, v.metadata) for v in views]


def saved(model: SubjectModel, folder) -> str:
    return str(model.save(folder / "patient.safetensors")[0])


@pytest.mark.parametrize(
    "preset", [replace(PRESETS["fast"], epochs=1), replace(PLAIN, epochs=1)], ids=["fast", "plain"]
)
def test_images_previews_and_queries_are_in_units_of_the_scans(far, preset):
    lattice, seen = lattice_of(far[0]), []
    with fit_callbacks(on_point=lambda point, render: seen.extend(render(lattice))):
        model = fit([[scan] for scan in far], lattice, Settings(preset)).model
    point = lattice.positions(np.array([[9, 9, 9]]))
    images = model.images(lattice)
    assert np.abs(model.query(point)[0] - [image[9, 9, 9] for image in images]).max() < 0.01 * np.ptp(images[0])
    for image in (*seen, *images):
        assert abs(float(image.mean()) - float(far[0].array.mean())) < 100
    assert all(contrast.zero >= FAR - 10 and contrast.low == 0 for contrast in model.contrasts)


def test_a_saved_model_renders_what_the_run_did(far, tmp_path):
    grid = lattice_of(far[0])
    run = prepared(far, grid)
    again = prepared(far, grid, model=saved(run.fit.model, tmp_path))
    assert np.abs(run.render(grid).array - again.render(grid).array).max() <= RESOLUTION
    assert np.abs(run.companion.render(grid).array - again.companion.render(grid).array).max() <= RESOLUTION


def test_models_without_a_zero_can_still_be_used_and_gone_on_from(far, tmp_path):
    """As earlier versions wrote them: `low` and the initial images are those of the scans."""
    lattice = lattice_of(far[0])
    settings, scans = Settings(replace(PRESETS["fast"], epochs=1)), [[scan] for scan in far]
    model = fit(scans, lattice, settings).model
    expected = model.images(lattice)
    old = SubjectModel.load(saved(model, tmp_path))
    old.contrasts = tuple(replace(c, low=c.low + c.zero, zero=0.0) for c in old.contrasts)
    old.initial.images = [image + c.zero for image, c in zip(old.initial.images, model.contrasts, strict=True)]
    old = SubjectModel.load(saved(old, tmp_path))
    assert all(np.abs(a - b).max() <= 2 * RESOLUTION for a, b in zip(old.images(lattice), expected, strict=True))
    run = prepared(far, lattice, model=saved(old, tmp_path))
    assert np.abs(run.render(lattice).array - prepared(far, lattice).render(lattice).array).max() < 5.0
    on = fit(scans, lattice, settings, earlier=old).model
    assert on.contrasts[0].zero == model.contrasts[0].zero
    assert np.abs(on.images(lattice)[0] - expected[0]).max() < 0.1 * np.ptp(expected[0])


def test_views_of_one_contrast_are_moved_together(far):
    two = [far[0], Volume(far[0].array + 50, far[0].affine, "again", far[0].metadata)]
    model = fit([two, [far[1]]], lattice_of(far[0]), Settings(replace(PLAIN, epochs=1))).model
    first = model.contrasts[0]
    assert first.zero == far[0].array.min() and first.scale == np.ptp(far[0].array) + 50
