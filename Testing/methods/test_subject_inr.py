"""The subject-specific network as a method: geometry, units, gain between contrasts, cache, cancel, shell."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from inr_fixtures import CUBE, PLAIN, lattice_of, plain, prepared
from phantoms import affine, blob, centroid
from subject_fixtures import decibel, seconds_until_cancelled

import MultiContrastSRLib as mc
from MultiContrastSRLib import Grid, Volume
from MultiContrastSRLib.cli import main
from MultiContrastSRLib.core.errors import FileWriteError, InputError
from MultiContrastSRLib.methods import get

torch = pytest.importorskip("torch", reason="The subject-specific network needs torch, which is not installed here.")

from MultiContrastSRLib.inr import fitting  # noqa: E402
from MultiContrastSRLib.inr.curve_plot import draw_curve  # noqa: E402
from MultiContrastSRLib.inr.fitting import fit  # noqa: E402
from MultiContrastSRLib.inr.presets import PRESETS, Settings  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_earlier_fits")]


@pytest.fixture(scope="module")
def run(views, truths):
    return prepared(views, truths[0].grid)


@pytest.mark.parametrize("turn", [(0.0, 0.0, 0.0), (0.3, -0.2, 0.4)])
def test_positions_are_kept(turn):
    target = Grid((15, 18, 17), affine((1.0, 1.0, 1.0), turn, (-1, -1, 1), origin=(5, -40, 9)))
    other = Grid((36, 38, 40), affine((0.7, 0.7, 0.7), (0.1, 0.2, -0.1)))  # covers the target's corners
    move = np.eye(4)
    move[:3, 3] = target.center - other.center
    other = Grid(other.shape, move @ other.affine)
    center = target.positions((np.array(target.shape) - 1) / 2 + (0.4, -0.3, 0.2))
    volume = Volume(blob(target, center, 2.0), target.affine, "T2")
    reference = Volume(200 - blob(other, center, 2.0), other.affine, "T1")
    fine = target.scaled(2)
    started = prepared((volume, reference), fine)
    assert np.abs(target.indices(centroid(started.render(fine))) - target.indices(center)).max() < 0.05
    assert np.abs(target.indices(_darkest(started.companion, fine)) - target.indices(center)).max() < 0.05
    alone = plain((volume, reference), fine).model.images(fine)
    for image in (alone[0], 200 - alone[1]):
        assert np.abs(target.indices(centroid(Volume(image, fine.affine))) - target.indices(center)).max() < 0.1


def _darkest(image, grid) -> np.ndarray:
    return centroid(Volume(np.clip(200 - image.render(grid).array, 0, 100), grid.affine))


def test_units_and_constants(views, truths, run):
    grid = truths[0].grid
    whole = run.render(grid).array
    other = Volume(views[0].array * 7 + 90, views[0].affine, "T2", views[0].metadata)
    other = prepared((other, views[1]), grid).render(grid).array
    assert np.abs(other - (7 * whole + 90)).max() < 0.02 * np.ptp(other)
    flat = Volume(np.full(views[0].shape, 321.0), views[0].affine, "flat")
    assert np.abs(prepared((flat, views[1]), grid).render(grid).array - 321).max() < 0.04


def test_views_are_crops_of_the_whole(run, truths):
    grid = truths[0].grid
    whole = run.render(grid).array
    part = run.render(grid.crop((3, 4, 5), (20, 30, 21))).array
    assert np.abs(part - whole[3:20, 4:30, 5:21]).max() < 1e-4 * np.ptp(whole)
    x, y = np.array([0.8, 0.6, 0.0]), np.array([-0.36, 0.48, 0.8])
    origin = grid.center - 6 * x - 6 * y
    large = run.render(Grid.view(origin, x, y, 0.5, (24, 24))).array
    small = run.render(Grid.view(origin + 3 * x + 2 * y, x, y, 0.5, (10, 12))).array
    assert np.abs(small - large[:, 4:14, 6:18]).max() < 1e-3 * np.ptp(whole)


def test_it_is_no_worse_than_its_start_and_joint_is_better_than_single(run, views, truths):
    grid = truths[0].grid
    scores = {
        "joint": decibel(run.render(grid), truths[0]),
        "start": decibel(prepared(views, grid, "joint-nonlocal").render(grid), truths[0]),
        "single": decibel(prepared(views, grid, variant="single-contrast").render(grid), truths[0]),
        "spline": decibel(prepared((views[0], None), grid, "bspline").render(grid), truths[0]),
    }
    assert scores["joint"] > scores["start"] - 0.02
    assert scores["joint"] > scores["single"] + 0.5
    assert scores["joint"] > scores["spline"] + 1.5
    spline = prepared((views[1], None), grid, "bspline").render(grid)
    assert decibel(run.companion.render(grid), truths[1]) > decibel(spline, truths[1]) + 1.0


def test_the_measured_slices_stand_in_the_result(run, views, truths):
    again = mc.degrade(run.render(truths[0].grid), "slab", 4, axis="i")
    assert np.abs(again.array - views[0].array).max() < 1e-3 * np.ptp(views[0].array)


def test_more_contrasts_and_more_views_of_one(views, truths):
    lattice = lattice_of(views[0])
    again = mc.degrade(truths[0], "slab", 4, axis="k")
    third = mc.degrade(Volume(300 - truths[1].array, truths[1].affine, "PD"), "slab", 4, axis="k")
    done = fit([[views[0], again], [views[1]], [third]], lattice, Settings(PRESETS["fast"]))
    assert [c.name for c in done.model.contrasts] == ["T2", "T1", "PD"] and done.outputs == (0, 1, 2)
    two = fit([[views[0]], [views[1]]], lattice, Settings(PRESETS["fast"]))
    gain = decibel(done.model.images(lattice)[0], truths[0]) - decibel(two.model.images(lattice)[0], truths[0])
    assert gain > 1.0


def test_cancel_is_heard_at_once_and_nothing_is_remembered(truths):
    seconds, _ = seconds_until_cancelled("subject-inr", truths, 0.35)
    assert seconds < 0.3
    assert get("subject-inr")._fits.nbytes == 0


def test_a_second_apply_does_not_fit_again(run, views, truths, monkeypatch):
    first = prepared(views, truths[0].grid).render(truths[0].grid).array
    monkeypatch.setattr(fitting, "fit", None)
    renamed = tuple(Volume(v.array, v.affine, "again", v.metadata) for v in views)
    assert np.array_equal(prepared(renamed, truths[0].grid).render(truths[0].grid).array, first)
    with pytest.raises(TypeError):
        prepared(views, truths[0].grid, seed=5)


def test_a_fit_without_initial_images_serves_any_lattice(views, monkeypatch):
    fits, done = [], plain(views, lattice_of(views[0]), preset=replace(PLAIN, epochs=1))

    def counted(scans, lattice, settings, **_):
        fits.append(settings)
        return done

    monkeypatch.setattr(fitting, "fit", counted)
    method = get("subject-inr")
    for preset, count in (("paper", 1), ("fast", 2)):
        fits.clear()
        for refine in ((False, False, True), (False, False, False)):
            method.prepare(*views, refine=refine, preset=preset)
        assert len(fits) == count
    method.prepare(*views, refine=(False, False, True), preset="paper", seed=1)
    assert len(fits) == 3


def test_fits_are_kept_within_a_number_of_bytes(views, monkeypatch):
    method = get("subject-inr")
    done = plain(views, lattice_of(views[0]), preset=replace(PLAIN, epochs=1))
    monkeypatch.setattr(fitting, "fit", lambda *_, **__: done)
    monkeypatch.setattr(method._fits, "limit", 5 * done.nbytes // 2)
    assert done.nbytes > 4 * sum(weight.numel() for weight in done.model.network.parameters()) > 0
    for seed in range(5):
        method.prepare(*views, refine=(False, False, True), preset="paper", seed=seed)
    assert len(method._fits) == 2 and method._fits.nbytes == 2 * done.nbytes
    method.clear_cache()
    assert len(method._fits) == method._fits.nbytes == 0


def test_the_curve_is_drawn(run, tmp_path):
    pytest.importorskip("matplotlib")
    assert draw_curve(run.fit.curve, tmp_path / "curve.png").stat().st_size > 5000


def test_the_command_fits_saves_and_renders(views, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, view in zip(("t2.nii.gz", "t1.nii.gz"), views, strict=True):
        mc.save_volume(view, name)
    assert main("fit t2.nii.gz t1.nii.gz -o p.safetensors --register off --device cpu --json".split()) == 0
    assert json.loads(capsys.readouterr().out)["files"] == ["p.safetensors", "p.json"]
    render = "super-resolve t2.nii.gz t1.nii.gz -o out.nii.gz --register off --scale 1 1 4 --device cpu --json"
    assert main([*render.split(), "--model", "p.safetensors", "--companion", "t1_out.nii.gz"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["files"] == ["out.nii.gz", "out.json", "t1_out.nii.gz", "t1_out.json"]
    assert printed["method"] == "subject-inr" and "Rendered from a model" in " ".join(printed["notes"])
    assert printed["warnings"] == []
    assert mc.load_volume("out.nii.gz").shape == CUBE
    about = json.loads(Path("t1_out.json").read_text())
    assert (about["target"], about["reference"]) == ("t1", "t2") and mc.load_volume("t1_out.nii.gz").shape == CUBE
    again = "fit t2.nii.gz t1.nii.gz -o q.safetensors --from p.safetensors --register off --device cpu"
    assert main(again.split()) == 0 and Path("q.json").exists()
    assert main([*again.split(), "--option", "model=p.safetensors", "--overwrite"]) == 2
    assert "expected none, for `fit` makes one" in capsys.readouterr().err
    ended = "fit t2.nii.gz t1.nii.gz -o r.safetensors --curve fit.png --option max_seconds=0.001 --register off"
    assert main(ended.split()) == 0 and not Path("fit.png").exists()
    assert "fit.png was not written: the network was not fitted" in capsys.readouterr().err


def test_models_of_other_scans_are_said(views, tmp_path):
    made = fit([[view] for view in views], lattice_of(views[0]), Settings(PRESETS["fast"]))
    place, _ = made.model.save(tmp_path / "patient.safetensors")
    settings = {"method": "subject-inr", "register": "off", "spacing": 1.0, "model": str(place)}
    assert mc.super_resolve(*views, **settings).report.warnings == ()
    (swapped,) = mc.super_resolve(*views[::-1], **settings).report.warnings
    assert swapped.startswith("The target looks like the model's contrast 'T1', and not like 'T2'")
    other = Volume(np.ascontiguousarray(views[0].array[:, ::-1]), views[0].affine, "other", views[0].metadata)
    (foreign,) = mc.super_resolve(other, views[1], **settings).report.warnings
    assert foreign.startswith("The model does not explain the target: their correlation is 0.")
    with pytest.raises(InputError, match=r"was fitted to T2, T1, in this order; expected T1, T2\. Give the scans"):
        fit([[view] for view in views[::-1]], lattice_of(views[0]), Settings(PRESETS["fast"]), earlier=made.model)


def test_a_model_replaces_no_sidecar_of_a_scan(views, tmp_path, monkeypatch, capsys):
    made = plain(views, lattice_of(views[0]), preset=replace(PLAIN, epochs=1))
    made.model.save(tmp_path / "t2.safetensors")
    made.model.save(tmp_path / "t2.safetensors")  # its own description may be replaced
    (tmp_path / "t2.json").write_text('{"SliceThickness": 3.5}')
    with pytest.raises(FileWriteError, match=r"t2.json would overwrite a file that is no report of ours"):
        made.model.save(tmp_path / "t2.safetensors")
    monkeypatch.chdir(tmp_path)
    mc.save_volume(views[0], "t2.nii.gz")
    monkeypatch.setattr(fitting, "fit", None)  # it is said before anything is fitted
    assert main("fit t2.nii.gz -o t2.safetensors --overwrite --device cpu".split()) == 4
    assert "perhaps the sidecar of a scan" in capsys.readouterr().err
    assert json.loads(Path("t2.json").read_text()) == {"SliceThickness": 3.5}


def test_the_registry_knows_it_without_importing_torch():
    code = (
        "import sys; from MultiContrastSRLib.methods import get; m = get('subject-inr'); "
        "assert m.requires == ('torch',); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(mc.__file__).parents[1], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
