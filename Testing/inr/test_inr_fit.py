"""Fits of the coordinate network: plateaus, time, keep, cancel, seeds, saved models, a full GPU."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from inr_fixtures import PLAIN, lattice_of, plain
from subject_fixtures import decibel

from MultiContrastSRLib.core.errors import FileReadError, InputError

torch = pytest.importorskip("torch", reason="The subject-specific network needs torch, which is not installed here.")

from MultiContrastSRLib.inr import fit_loop  # noqa: E402
from MultiContrastSRLib.inr.callbacks import fit_callbacks  # noqa: E402
from MultiContrastSRLib.inr.fitting import fit  # noqa: E402
from MultiContrastSRLib.inr.model import SubjectModel  # noqa: E402
from MultiContrastSRLib.inr.plateau import has_plateaued  # noqa: E402
from MultiContrastSRLib.inr.presets import PRESETS, Settings  # noqa: E402
from MultiContrastSRLib.joint.volumes import joint_images  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_earlier_fits")]


def test_a_curve_settles_at_its_plateau():
    assert not has_plateaued(rising := [1.0, 1.1, 1.2, 1.3, 1.4, 1.5])
    assert has_plateaued([*rising, 1.5, 1.5, 1.5, 1.5]) and not has_plateaued([*rising, 1.5, 1.5, 1.5])


def test_the_fit_stops_at_the_plateau_of_information(views, monkeypatch):
    monkeypatch.setattr(fit_loop, "mutual_information", lambda a, b: 0.7)
    for stop, epochs in (("information", 5), ("never", 8)):
        done = plain(views, lattice_of(views[0]), preset=replace(PLAIN, epochs=8, opening=0.0), stop=stop)
        assert len(done.curve) == epochs
        assert (done.model.provenance["stopped_by"] == "plateau") == (stop == "information")


def test_it_stops_in_time_or_when_told_to_and_keeps_its_best(views):
    begin, lattice = time.process_time(), lattice_of(views[0])
    done = plain(views, lattice, preset=replace(PLAIN, epochs=100_000), max_seconds=1.5)
    assert time.process_time() - begin < 15 and done.model.provenance["stopped_by"] == "time limit"
    points, stop = [], threading.Event()

    def on_point(point, render):
        points.append(point)
        assert all(np.isfinite(image).all() for image in render(lattice.scaled(0.2)))
        if len(points) == 3:
            stop.set()

    with fit_callbacks(stop.is_set, on_point):
        kept = fit([[v] for v in views], lattice, Settings(replace(PLAIN, epochs=999), stop="never"))
    assert kept.model.provenance["stopped_by"] == "stop request" and 3 <= len(points) <= 4
    assert [e.seconds for e in kept.curve] == sorted(e.seconds for e in kept.curve)


def test_the_best_state_is_kept(views, monkeypatch):
    lattice, scores = lattice_of(views[0]), iter([9.0, 3.0, 1.0, 2.0, 5.0])
    states, few = [], lattice.scaled(0.2)
    monkeypatch.setattr(fit_loop.FitLoop, "_held_out", lambda self, monitor, stride: next(scores))
    monkeypatch.setattr(fit_loop, "_PREVIEW_EVERY", np.inf)  # at the beginning and after each epoch only
    with fit_callbacks(on_point=lambda point, render: states.append(render(few)[0])):
        settings = Settings(replace(PLAIN, epochs=4), stop="never")
        done = fit([[v] for v in views], lattice, settings)
    assert np.allclose(done.model.images(few)[0], states[2])
    assert not np.allclose(states[2], states[4])


def test_callbacks_get_points_between_epochs_and_change_nothing(views, monkeypatch):
    monkeypatch.setattr(fit_loop, "_PREVIEW_EVERY", 0.0)
    monkeypatch.setattr(fit_loop, "_PREVIEW_SHARE", 0.0)
    lattice, preset, points = lattice_of(views[0]), replace(PLAIN, epochs=1), []
    alone = plain(views, lattice, preset=preset)
    with fit_callbacks(on_point=lambda point, render: points.append(point)):
        watched = plain(views, lattice, preset=preset)
    assert len(points) > 3 and points[0].epoch == 0 and points[-1] == watched.curve[0] and len(watched.curve) == 1
    assert [e.epoch for e in points] == sorted(e.epoch for e in points)
    assert np.array_equal(alone.model.images(lattice)[0], watched.model.images(lattice)[0])


def test_joint_total_variation_is_shown_before_it_is_refined(views):
    lattice, seen = lattice_of(views[0]), []
    with fit_callbacks(on_point=lambda point, render: seen.append((point, render(lattice)))):
        fit([[v] for v in views], lattice, Settings(replace(PRESETS["fast"], epochs=1)))
    first, point = joint_images([[v] for v in views], lattice)[0], seen[0][0]
    for shown, image in zip(seen[0][1], first, strict=False):  # not lifted to the background yet
        assert np.sqrt(np.mean((shown - image) ** 2)) < 0.01 * np.ptp(image)
    assert point.epoch == 0 and point.information is None and seen[1][0].information is not None
    assert np.sqrt(np.mean((seen[1][1][0] - first[0]) ** 2)) > 0.015 * np.ptp(first[0])


def test_the_seed_decides(views):
    lattice, preset = lattice_of(views[0]), replace(PLAIN, epochs=2)
    first, second, other = (plain(views, lattice, preset=preset, seed=s).model.images(lattice)[0] for s in (1, 1, 2))
    assert np.array_equal(first, second) and not np.array_equal(first, other)


@pytest.mark.parametrize("encoding", ["grid", "fourier"])
def test_bfloat16_fits_as_well_and_leaves_nothing_of_it(views, truths, encoding):
    lattice = lattice_of(views[0])
    changes = {} if encoding == "grid" else {"encoding": "fourier", "levels": (), "width": 256, "rate": 1e-3}
    preset = replace(PLAIN, epochs=8, **changes)
    scores = []
    for precision in ("float32", "bfloat16"):
        done = plain(views, lattice, preset=preset, precision=precision)
        scores.append(decibel(done.model.images(lattice)[0], truths[0]))
        assert all(p.dtype == torch.float32 for p in done.model.network.parameters())
        assert not done.model.network.bfloat16
    assert abs(scores[0] - scores[1]) < 0.3 and (scores[0] == scores[1]) == (encoding == "grid")  # its layers are small


@pytest.mark.parametrize("preset", [PRESETS["fast"], replace(PLAIN, epochs=2)], ids=["started", "plain"])
def test_saved_models_render_the_same(views, tmp_path, preset):
    lattice = lattice_of(views[0])
    done = fit([[v] for v in views], lattice, Settings(preset))
    place, side = done.model.save(tmp_path / "patient.safetensors")
    again = SubjectModel.load(place)
    for grid in (lattice, lattice.scaled((2, 1, 1)).crop((0, 0, 0), (9, 9, 9))):
        for mine, theirs in zip(done.model.images(grid), again.images(grid), strict=True):
            assert np.array_equal(mine, theirs)
    about = json.loads(side.read_text())
    assert about["contrasts"][0]["name"] == "T2" and about["provenance"]["curve"]
    # and can be gone on from
    on = fit([[v] for v in views], lattice, Settings(replace(preset, epochs=1)), earlier=again)
    assert on.curve[0].held_out < 1.5 * done.curve[-1].held_out
    with pytest.raises(InputError, match="The model to go on from is"):
        fit([[v] for v in views], lattice, Settings(replace(preset, width=8)), earlier=again)


def test_files_that_are_no_models_are_refused(tmp_path):
    (tmp_path / "broken.safetensors").write_bytes(b"12345678 and no header")
    for name in ("broken.safetensors", "missing.safetensors"):
        with pytest.raises(FileReadError, match=r"expected a .safetensors file of `multicontrastsr fit`"):
            SubjectModel.load(tmp_path / name)


def test_a_full_gpu_halves_the_batch(views, monkeypatch):
    real, seen = fit_loop.FitLoop._loss, []

    def full(self, piece, counts):
        seen.append(sum(len(rows) for _, rows in piece))
        if seen[-1] > 300:
            raise torch.cuda.OutOfMemoryError("out of memory")
        return real(self, piece, counts)

    monkeypatch.setattr(fit_loop.FitLoop, "_loss", full)
    whole = plain(views, lattice_of(views[0]), preset=replace(PLAIN, epochs=1))
    assert max(seen) > 300 and min(seen) <= 300 and len(whole.curve) == 1
    assert whole.model.provenance["stopped_by"] == "last epoch"


def test_a_gpu_that_cannot_hold_a_few_samples_is_given_up(views, monkeypatch):
    real = fit_loop.FitLoop._loss

    def full(self, piece, counts):
        if self.device != "cpu":
            raise torch.cuda.OutOfMemoryError("out of memory")
        return real(self, piece, counts)

    monkeypatch.setattr(fit_loop.FitLoop, "_loss", full)
    lattice, settings = lattice_of(views[0]), Settings(replace(PLAIN, epochs=1), stop="never")
    done = fit([[v] for v in views], lattice, settings, device="cpu:0")  # stands for a GPU: not called "cpu"
    assert done.warnings == ("cpu:0 ran out of memory; the fit ran on the CPU.",)
    alone = fit([[v] for v in views], lattice, settings)
    assert not alone.warnings and len(done.curve) == len(alone.curve) == 1
    monkeypatch.setattr(fit_loop.FitLoop, "_loss", lambda self, *_: full(type("", (), {"device": "cuda"}), None, None))
    with pytest.raises(torch.cuda.OutOfMemoryError):  # nowhere left to fall back to
        fit([[v] for v in views], lattice, settings)
