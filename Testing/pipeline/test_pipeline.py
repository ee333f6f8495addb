"""The whole path: what super_resolve returns, reports, warns of, refuses and leaves behind."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest
from phantoms import pair

import MultiContrastSRLib as mc
from MultiContrastSRLib import Volume
from MultiContrastSRLib.core.errors import CancelledError, InputError, MethodUnavailableError, NotEnoughMemoryError

STAGES = ["load", "register", "prepare", "consistency", "render"]


@pytest.fixture(scope="module")
def scans():
    truth, reference = pair()
    return mc.degrade(truth, "kspace", 2), reference


def test_result_and_report(scans):
    target, reference = scans
    result = mc.super_resolve(target, reference, scale=2, register="off")
    assert result.volume.name == "T2 guided 2x"
    assert result.volume.grid.same_as(target.grid.scaled(2))
    report = result.report.as_dict()
    assert report["method"] == "guided" and report["target"] == "T2" and report["reference"] == "T1"
    assert report["scale"] == [1, 2, 2] and report["shape"] == [6, 96, 88] and report["device"] == "cpu"
    assert list(report["times"]) == STAGES
    assert report["consistency"]["mode"] == "exact" and report["consistency"]["residual_after"] < 1e-5
    assert report["alignment"]["used"] and report["alignment"]["overlap"] == 1.0
    assert report["resolution"]["target"] == pytest.approx([3, 2, 2])
    assert report["resolution"]["reference"] == pytest.approx([3, 1, 1])
    assert report["resolution"]["result"] == pytest.approx([3, 1, 1])
    assert "not for diagnosis" in report["statement"]
    json.dumps(report)
    assert result.report.summary().startswith("guided, 2x; 3 × 1 × 1 mm (k × j × i); reference T1; residual ")


def test_default_scale_is_two_and_spacing_replaces_it(scans):
    target, _ = scans
    assert mc.super_resolve(target, method="linear").volume.shape == (6, 96, 88)
    cubes = mc.super_resolve(target, method="linear", spacing=1.0).volume
    assert cubes.shape == (18, 96, 88) and cubes.spacing == pytest.approx((1, 1, 1))
    with pytest.raises(InputError, match=r"Both scale .* and spacing .* are given; expected one of them."):
        mc.super_resolve(target, method="linear", scale=2, spacing=1.0)


def test_inputs_are_untouched(scans):
    target, reference = scans
    before = target.array.copy(), reference.array.copy()
    mc.super_resolve(target, reference, scale=2, register="on")
    assert np.array_equal(before[0], target.array) and np.array_equal(before[1], reference.array)


def test_a_prepared_pair_renders_any_grid_later(scans):
    target, reference = scans
    prepared = mc.prepare(target, reference, register="off")
    whole = prepared.render(target.grid.scaled(3))
    once_more = prepared.render(target.grid.scaled(3))
    assert np.array_equal(whole.array, once_more.array)
    # through-plane detail is prepared when first rendered, and does not change the earlier image
    isotropic = prepared.render(target.grid.isotropic(1.0))
    assert isotropic.shape == (18, 96, 88)
    assert np.array_equal(prepared.render(target.grid.scaled(3)).array, whole.array)
    # an isotropic result, averaged over the slices, is the in-plane one
    means = isotropic.array.reshape(6, 3, 96, 88).mean(axis=1)
    assert np.abs(means - prepared.render(target.grid.scaled(2)).array).mean() < 0.02 * np.ptp(target.array)


def test_useless_references_are_reported_and_left_out(scans):
    target, reference = scans
    far = reference.moved(np.array([[1, 0, 0, 999], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]))
    result = mc.super_resolve(target, far, scale=2)
    assert "covers 0 % of the target" in result.report.warnings[0]
    assert result.report.alignment["used"] is False
    alone = mc.super_resolve(target, method="guided", scale=2)
    assert np.array_equal(result.volume.array, alone.volume.array)


def test_a_coarser_reference_is_warned_of(scans):
    target, reference = scans
    coarse = mc.degrade(reference, "kspace", 3)
    report = mc.super_resolve(target, coarse, scale=2, register="off").report
    assert any(
        "The reference is no sharper than the target across rows (3.00 mm, the target 2.00 mm)" in w
        for w in report.warnings
    )
    assert any("no finer than the target" in warning for warning in report.warnings)


def test_methods_without_reference_report_that_it_is_ignored(scans):
    target, reference = scans
    report = mc.super_resolve(target, reference, method="sinc").report
    assert report.notes == ("Method sinc uses no reference; T1 was ignored.",)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            dict(scale=0),
            InputError,
            "Scale is 0; expected one number above 0, or three in the order (k, j, i), for example 2 or (1, 2, 2).",
        ),
        (dict(scale=100), InputError, "Scale along the rows is 100; expected 1 to 16 for method 'linear'."),
        (dict(scale=0.5), InputError, "Scale along the rows is 0.5; expected 1 to 16 for method 'linear'."),
        (dict(spacing="a"), InputError, "Spacing is 'a' mm; expected a number above 0, for example 1.0."),
        (dict(spacing=-1), InputError, "Spacing is -1 mm; expected a number above 0, for example 1.0."),
        (dict(device="tpu"), InputError, "Device is 'tpu'; expected auto, cpu, cuda, cuda:N, mps or xpu."),
        (
            dict(register="maybe", method="guided"),
            InputError,
            "Registration is 'maybe'; expected one of auto, off, on.",
        ),
    ],
)
def test_bad_arguments_are_refused(scans, arguments, error, message):
    target, reference = scans
    with pytest.raises(error) as caught:
        mc.super_resolve(target, reference, **{"method": "linear", **arguments})
    assert str(caught.value) == message


def test_nan_is_refused(scans):
    target, _ = scans
    array = target.array.copy()
    array[0, 0, :3] = np.nan
    with pytest.raises(InputError) as caught:
        mc.super_resolve(Volume(array, target.affine, "T2"), method="linear")
    assert str(caught.value) == (
        f"Target T2 holds 3 NaN or infinite voxels of {array.size}; expected finite values. "
        "Have them replaced (super-resolve --replace-nan, or the box in the panel), or do so first, for example by "
        "numpy.nan_to_num."
    )


def test_one_slice_works_in_plane_and_is_refused_across(scans):
    target, reference = scans
    single = Volume(target.array[2:3], target.grid.crop((2, 0, 0), (3, 48, 44)).affine, "T2")
    assert mc.super_resolve(single, reference, scale=2, register="off").volume.shape == (1, 96, 88)
    with pytest.raises(InputError) as caught:
        mc.super_resolve(single, reference, scale=(3, 1, 1))
    assert str(caught.value) == (
        "Target has 1 sample along its slices; super-resolution along them needs at least 2. "
        "Scale in plane only, for example scale=2."
    )


def test_memory_is_checked_before_work_starts(scans, monkeypatch):
    monkeypatch.setattr("MultiContrastSRLib.core.memory.available_memory", lambda: 1_000_000)
    target, _ = scans
    with pytest.raises(NotEnoughMemoryError) as caught:
        mc.super_resolve(target, method="linear", scale=16)
    assert str(caught.value) == (
        "The output of 6 × 768 × 704 samples (slices × rows × columns) needs about 0.0 GB; 0.0 GB are free. "
        "Choose a smaller scale or a coarser spacing, or crop the target."
    )


def test_a_gpu_that_is_not_there_is_refused_for_methods_that_could_use_one(scans, monkeypatch):
    from MultiContrastSRLib.core.devices import resolve_device

    assert resolve_device("cuda:0", ("cpu",), "linear") == (
        "cpu",
        "Method linear has no GPU version; it ran on the CPU.",
    )
    with pytest.raises(MethodUnavailableError, match="Device 'cuda:7' is not there; found cpu"):
        resolve_device("cuda:7", ("cpu", "cuda"), "linear")


@pytest.mark.parametrize("stage", STAGES)
def test_cancel_works_in_every_stage(scans, stage):
    cancel = threading.Event()
    target, reference = scans

    def progress(fraction, running):
        if running == stage:
            cancel.set()

    with pytest.raises(CancelledError) as caught:
        mc.super_resolve(target, reference, register="on", progress=progress, cancel=cancel.is_set)
    assert caught.value.exit_code == 130


def test_progress_rises_and_names_the_stages(scans):
    seen = []
    mc.super_resolve(*scans, register="on", progress=lambda fraction, stage: seen.append((fraction, stage)))
    fractions = [fraction for fraction, _ in seen]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    assert [stage for stage in dict.fromkeys(stage for _, stage in seen) if stage] == STAGES


PEAK = """
import resource, sys
import numpy as np
import MultiContrastSRLib as mc
from MultiContrastSRLib.pipeline.checks import check_memory_for
from MultiContrastSRLib.methods import get

n, scale, method = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
k, j, i = np.mgrid[0:n, 0:n, 0:n].astype(np.float32)
array = 100 + 50 * np.sin(k / 3) * np.cos(j / 4) * np.sin(i / 5)
del k, j, i
target = mc.Volume(array, np.eye(4), "T2")
fine = target.grid.scaled(2.0)
finer = mc.prepare(target, method="linear", data_consistency=False).render(fine).array
reference = mc.Volume(300 - finer, fine.affine, "T1")
del finer
mc.super_resolve(mc.Volume(array[:8, :40, :40], np.eye(4)), method=method, scale=1.5)  # imports
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
mc.super_resolve(target, reference, method=method, scale=scale, register="off")
peak = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
print(peak, check_memory_for(get(method), target, reference, target.grid.scaled(scale)))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="peak memory is read the POSIX way")
@pytest.mark.parametrize("method", ["nearest", "bspline", "sinc", "guided"])
def test_the_memory_estimate_is_above_the_real_peak(method):
    import subprocess
    import sys
    from pathlib import Path

    command = [sys.executable, "-c", PEAK, "80", "2", method]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(mc.__file__).parents[1])
    assert done.returncode == 0, done.stderr
    peak, estimate = (int(number) for number in done.stdout.split())
    assert peak <= estimate
