"""A request to stop and the time limit end a fit in every stage, and what there is then is kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from inr_fixtures import PLAIN, lattice_of
from subject_fixtures import ellipsoids, thick_views

from MultiContrastSRLib.core.errors import CancelledError
from MultiContrastSRLib.core.progress import Monitor

torch = pytest.importorskip("torch", reason="The subject-specific network needs torch, which is not installed here.")

from MultiContrastSRLib.inr import fit_loop, fitting  # noqa: E402
from MultiContrastSRLib.inr.callbacks import FitCallbacks  # noqa: E402
from MultiContrastSRLib.inr.fitting import fit  # noqa: E402
from MultiContrastSRLib.inr.limits import FitLimits  # noqa: E402
from MultiContrastSRLib.inr.model import SubjectModel  # noqa: E402
from MultiContrastSRLib.inr.presets import PRESETS, Settings  # noqa: E402
from MultiContrastSRLib.joint import solver, volumes  # noqa: E402

pytestmark = pytest.mark.slow

FAST = Settings(PRESETS["fast"])


@pytest.fixture(scope="module")
def views():
    return thick_views(ellipsoids((28, 32, 24), 29, 8))


@pytest.fixture
def stages(monkeypatch):
    """The names of the stages that have begun, in their order."""
    begun = []

    def record(owner, name, stage):
        real = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *args, **settings: (begun.append(stage), real(*args, **settings))[1])

    record(volumes, "observe_target", "observation")
    record(solver.Solver, "iterate", "iteration")
    record(solver, "nonlocal_means", "round")
    record(fitting, "residual_samples", "samples")
    record(fit_loop.FitLoop, "_backward", "step")
    return begun


@pytest.mark.parametrize("stage", ["observation", "iteration", "round", "samples"])
def test_a_stop_before_the_network_is_fitted_keeps_the_initial_images(views, stages, stage, tmp_path):
    lattice = lattice_of(views[0])
    stopped = fit(
        [[view] for view in views], lattice, FAST, callbacks=FitCallbacks(should_stop=lambda: stage in stages)
    )
    assert stages[-1] == stage and stages.count(stage) == 1 and "step" not in stages
    assert stopped.model.provenance["stopped_by"] == "stop request" and stopped.curve == ()
    assert any("ended by its stop request before the network was fitted" in note for note in stopped.notes)
    images = stopped.model.images(lattice)
    assert len(images) == (1 if stage == "observation" else 2)
    for image, initial in zip(images, stopped.model.initial.images, strict=True):
        assert np.isfinite(image).all() and np.array_equal(image, initial)
    place, _ = stopped.model.save(tmp_path / "stopped.safetensors")
    assert np.array_equal(SubjectModel.load(place).images(lattice)[0], images[0])


@pytest.mark.parametrize("stage", ["iteration", "round", "samples", "step"])
def test_the_time_limit_holds_in_every_stage(views, stages, stage, monkeypatch):
    monkeypatch.setattr(FitLimits, "seconds", property(lambda self: 100.0 * (stage in stages)))
    clock = iter(range(10**9))
    monkeypatch.setattr(volumes.time, "perf_counter", lambda: 1e-3 * next(clock) + 1e3 * (stage in stages))
    done = fit([[view] for view in views], lattice_of(views[0]), replace(FAST, max_seconds=50.0))
    assert done.model.provenance["stopped_by"] == "time limit"
    assert stages.count(stage) == 1 and bool(done.curve) == (stage == "step")


def test_a_cancel_is_no_stop(views, stages):
    asked = FitCallbacks(should_stop=lambda: "samples" in stages)
    with pytest.raises(CancelledError):
        monitor = Monitor(cancel=lambda: "samples" in stages)
        fit([[view] for view in views], lattice_of(views[0]), FAST, callbacks=asked, monitor=monitor)


def test_the_evaluation_after_a_stop_uses_few_samples_where_the_network_is_slow(views, monkeypatch):
    evaluated, evaluate, predict = [], fit_loop.FitLoop._evaluate, fit_loop.FitLoop._predict

    def slow(self, *args, **settings):
        self._step_seconds = 100.0
        return evaluate(self, *args, **settings)

    def recorded(self, piece):
        if not torch.is_grad_enabled():
            evaluated.append(sum(len(rows) for _, rows in piece))
        return predict(self, piece)

    monkeypatch.setattr(fit_loop.FitLoop, "_evaluate", slow)
    monkeypatch.setattr(fit_loop.FitLoop, "_predict", recorded)
    settings, counts = Settings(replace(PLAIN, epochs=1), stop="never"), []
    for stop in (False, True):
        evaluated.clear()
        callbacks = FitCallbacks(should_stop=lambda stop=stop: stop)
        done = fit([[view] for view in views], lattice_of(views[0]), settings, callbacks=callbacks)
        assert len(done.curve) == 1 and (done.model.provenance["stopped_by"] == "stop request") == stop
        counts.append(sum(evaluated))
    # a step of 2048 samples with gradients takes 100 s; those are evaluated that take 1 s, in both metrics
    assert counts[1] == pytest.approx(3 * PLAIN.batch / 100 / 2, abs=2) and counts[0] > 4 * counts[1]
