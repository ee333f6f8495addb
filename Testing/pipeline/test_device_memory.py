"""The memory that a run needs on an accelerator, estimated before it begins."""

from __future__ import annotations

import numpy as np
import pytest
from subject_fixtures import ellipsoids, thick_views

import MultiContrastSRLib as mc
from MultiContrastSRLib import Volume
from MultiContrastSRLib.methods import get
from MultiContrastSRLib.pipeline import checks, prepared_run, run
from MultiContrastSRLib.pipeline.checks import device_memory_for

pytest.importorskip("torch", reason="Joint total variation needs torch, which is not installed here.")

CUBE = (16, 20, 12)


@pytest.fixture(scope="module")
def views() -> tuple[Volume, Volume]:
    return thick_views(ellipsoids(CUBE, 9, 5))


def estimate(views: tuple[Volume, Volume | None], method: str, scale: tuple[float, float, float], **options: object):
    chosen = get(method).check_options(options)
    return device_memory_for(get(method), *views, views[0].grid.scaled(scale), "cuda:0", chosen)


def test_it_grows_with_the_lattice_and_the_contrasts(views, monkeypatch):
    monkeypatch.setattr(checks, "free_memory", lambda name: {"cuda:0": 10**6}[name])
    both = estimate(views, "joint-tv", (1, 1, 4))
    alone = estimate((views[0], None), "joint-tv", (1, 1, 4))
    assert both.needed == 2 * alone.needed >= 2 * 10 * 4 * np.prod(CUBE) and both.free == 10**6
    assert both.needed == estimate(views, "joint-nonlocal", (1, 1, 4)).needed
    assert both.needed == estimate(views, "subject-inr", (1, 1, 4)).needed
    assert estimate(views, "subject-inr", (1, 1, 4), preset="paper").needed == 0  # is fitted in pieces
    assert estimate(views, "guided", (1, 1, 4)).needed == 0


def test_independent_slices_need_the_memory_of_one(views, monkeypatch):
    monkeypatch.setattr(checks, "free_memory", lambda _: None)
    target = mc.degrade(ellipsoids(CUBE, 9, 5)[0], "kspace", (1, 2, 2))
    thick = Volume(target.array, target.affine @ np.diag([1, 1, 12, 1]), "T2", target.metadata)
    slices = device_memory_for(get("joint-tv"), thick, None, thick.grid.scaled((1, 2, 2)), "cuda:0", {})
    assert slices.needed <= 20 * 4 * CUBE[1] * CUBE[2]


@pytest.mark.parametrize(("free", "warned"), [(10**5, True), (10**9, False), (None, False)])
def test_a_run_warns_where_more_is_needed_than_is_free(views, free, warned, monkeypatch):
    monkeypatch.setattr(checks, "free_memory", lambda _: free)
    monkeypatch.setattr(run, "resolve_device", lambda *_: ("cuda:0", None))
    method = get("joint-tv")
    monkeypatch.setattr(method, "prepare", lambda *views, **how: get("bspline").prepare(*views, refine=how["refine"]))
    on_cpu = prepared_run.make_consistent
    monkeypatch.setattr(prepared_run, "make_consistent", lambda *inputs: on_cpu(*inputs[:-1]))  # there is no GPU here
    report = mc.super_resolve(*views, method="joint-tv", scale=(1, 1, 4), register="off").report
    warnings = [each for each in report.warnings if "cuda:0" in each]
    assert bool(warnings) == warned
    if warned:
        assert "GB on cuda:0, of which 0.0 GB are free." in warnings[0] and "CPU" in warnings[0]


def test_the_cpu_has_no_memory_of_its_own(views):
    assert device_memory_for(get("joint-tv"), *views, views[0].grid, "cpu", {}).warnings == ()
