"""Joint reconstruction and subject-specific networks on another device than the CPU."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="Subject-specific methods need torch, which is not installed here.")

from phantoms import pair  # noqa: E402
from strict_comparison import Memory, equal, scans, super_resolved  # noqa: E402
from subject_fixtures import ellipsoids, thick_views  # noqa: E402

from MultiContrastSRLib.acquisition.model import AcquisitionModel  # noqa: E402
from MultiContrastSRLib.acquisition.slices import SliceAcquisition  # noqa: E402
from MultiContrastSRLib.inr import fit_loop  # noqa: E402
from MultiContrastSRLib.inr.fitting import Fit, fit  # noqa: E402
from MultiContrastSRLib.inr.model import SubjectModel  # noqa: E402
from MultiContrastSRLib.inr.presets import PRESETS, Settings  # noqa: E402
from MultiContrastSRLib.joint.slices import joint_tv  # noqa: E402
from MultiContrastSRLib.joint.volumes import joint_images  # noqa: E402
from MultiContrastSRLib.methods import get  # noqa: E402

pytestmark = pytest.mark.slow

CUBE = (16, 20, 12)
FAST = replace(PRESETS["fast"], epochs=2, rounds=1, batch=512)


@cache
def views():
    """Two contrasts in slices of 4 mm, the first along i, the second along j."""
    return thick_views(ellipsoids(CUBE, 9, 5))


@cache
def lattice():
    return AcquisitionModel.estimate(views()[0]).lattice(CUBE)


def fitted(device: str, **changes: Any) -> Fit:
    earlier = changes.pop("earlier", None)
    settings = Settings(**{"preset": FAST, "stop": "never", **changes})
    return fit([[view] for view in views()], lattice(), settings, device=device, earlier=earlier)


def images_equal(found: list[np.ndarray], expected: list[np.ndarray]) -> bool:
    return all(equal(a, b) for a, b in zip(found, expected, strict=True))


# ---------------------------------------------------------------------- joint reconstruction


@pytest.mark.parametrize("rounds", [0, 1])
def test_joint_images_of_a_volume(rounds, strict_device):
    groups = [[view] for view in views()]

    def run(device: str) -> tuple:
        return joint_images(groups, lattice(), device=device, iterations=8, rounds=rounds)

    expected, (memory) = run("cpu"), Memory(strict_device, lambda: run(strict_device.name))
    estimate = get("joint-nonlocal").device_memory(*views(), (False, False, True), {})
    assert 0.5 * estimate < memory.needed <= estimate and memory.left == 0 and memory.result[1:] == ((), ())
    assert images_equal(memory.result[0], expected[0])
    with strict_device.limited(memory.needed // 2):
        less = Memory(strict_device, lambda: run(strict_device.name))
    assert less.result[2] == ("strict:0 ran out of memory; joint total variation ran on the CPU.",)
    assert less.left == 0 and images_equal(less.result[0], expected[0])


def test_joint_tv_of_independent_slices_is_halved_then_made_on_the_cpu(strict_device):
    def run(device: str):
        return super_resolved("joint-tv", device, scans()[1], iterations=8)

    expected, whole = run("cpu"), Memory(strict_device, lambda: run(strict_device.name))
    assert whole.needed > 0 and whole.left == 0 and equal(whole.result.volume.array, expected.volume.array)
    with strict_device.limited(int(0.7 * whole.needed)):
        less = Memory(strict_device, lambda: run(strict_device.name))
    assert less.launches > whole.launches and less.left == 0 and less.result.report.warnings == ()
    with strict_device.limited(100_000):
        none = Memory(strict_device, lambda: run(strict_device.name))
    assert none.result.report.warnings == tuple(
        f"strict:0 ran out of memory; {task} ran on the CPU." for task in ("joint total variation", "data consistency")
    )
    assert none.left == 0
    assert all(equal(each.result.volume.array, expected.volume.array) for each in (less, none))


def test_joint_images_of_slices_need_one_download_and_launches_for_one_slice(strict_device):
    acquisition = SliceAcquisition.of((40, 36), (2.0, 2.0))
    truths = [torch.from_numpy(np.array(view.array)) for view in pair((4, 40, 36))]
    slices = acquisition.forward(truths[0]), truths[1]
    moved = [each.to(strict_device.name) for each in slices]
    expected = [joint_tv(acquisition, *slices), joint_tv(acquisition, slices[0], None)]
    joint_tv(acquisition, *moved)  # uploads the operators, which are kept
    counts = []
    for count in (4, 1):
        strict_device.reset()
        image = joint_tv(acquisition, *(each[:count] for each in moved))
        counts.append(strict_device.counts)
        assert image.device == moved[0].device and equal(image.cpu().numpy(), expected[0][:count].numpy())
    assert [(each.uploads, each.downloads) for each in counts] == [(0, 1)] * 2
    assert counts[0].launches == counts[1].launches < 3000
    alone = joint_tv(acquisition, moved[0], torch.zeros_like(moved[1]))
    assert torch.equal(alone.cpu(), joint_tv(acquisition, moved[0], None).cpu())
    assert equal(alone.cpu().numpy(), expected[1].numpy())


@pytest.mark.parametrize("method", ["joint-nonlocal", "subject-inr"])
def test_as_methods(method, strict_device):
    options = {"stop": "never", "seed": 1, "max_seconds": 0} if method == "subject-inr" else {}
    monkey = pytest.MonkeyPatch()
    monkey.setitem(PRESETS, "fast", FAST)
    try:
        expected = super_resolved(method, "cpu", scans()[1], **options)
        memory = Memory(strict_device, lambda: super_resolved(method, "auto", scans()[1], **options))
    finally:
        monkey.undo()
        get(method).clear_cache()
    assert memory.needed > 0 and memory.left == 0 and memory.result.report.device == strict_device.name
    assert memory.result.report.warnings == expected.report.warnings
    assert equal(memory.result.volume.array, expected.volume.array)


# ---------------------------------------------------------------------- coordinate networks


def test_a_fit_is_the_cpus_and_can_be_saved_loaded_and_gone_on_from(strict_device, tmp_path):
    expected, memory = fitted("cpu"), Memory(strict_device, lambda: fitted(strict_device.name))
    done = memory.result
    assert memory.needed > 0 and memory.left == 0 and done.warnings == () and len(done.curve) == 2
    grid = lattice().scaled((1.3, 1.0, 1.0))
    images = Memory(strict_device, lambda: done.model.images(grid, strict_device.name))
    assert images.launches > 0 and images.left == 0
    assert images_equal(images.result, expected.model.images(grid))
    done.model.save(tmp_path / "model.safetensors")
    again = SubjectModel.load(tmp_path / "model.safetensors")
    assert images_equal(again.images(grid, strict_device.name), images.result)
    on = Memory(strict_device, lambda: fitted(strict_device.name, earlier=again))
    assert on.left == 0
    assert images_equal(on.result.model.images(grid), fitted("cpu", earlier=again).model.images(grid))


def test_a_fit_halves_its_pieces_then_begins_anew_on_the_cpu(strict_device):
    preset = replace(PRESETS["paper"], width=32, depth=2, epochs=1, batch=2048)
    expected = fitted("cpu", preset=preset)
    whole = Memory(strict_device, lambda: fitted(strict_device.name, preset=preset))
    assert images_equal(whole.result.model.images(lattice()), expected.model.images(lattice()))
    with strict_device.limited(int(0.6 * whole.needed)):
        less = Memory(strict_device, lambda: fitted(strict_device.name, preset=preset))
    assert less.launches > whole.launches and less.left == 0 and less.result.warnings == ()
    with strict_device.limited(100_000):
        none = Memory(strict_device, lambda: fitted(strict_device.name, preset=preset))
    assert none.result.warnings == ("strict:0 ran out of memory; the fit ran on the CPU.",) and none.left == 0
    for each in (less, none):
        assert images_equal(each.result.model.images(lattice()), expected.model.images(lattice()))


def test_points_and_batches_of_a_fit_are_on_the_device(strict_device):
    """A further epoch copies little, however many samples it has; pieces of a batch copy nothing."""
    copies = []
    for epochs, points in ((2, None), (3, None), (3, 256)):
        with pytest.MonkeyPatch.context() as patch:
            if points:
                patch.setattr(SubjectModel, "points_at_once", lambda *_, points=points, **__: points)
            memory = Memory(
                strict_device, lambda epochs=epochs: fitted(strict_device.name, preset=replace(FAST, epochs=epochs))
            )
        copies.append((memory.uploads, memory.downloads))
    assert copies[1][0] - copies[0][0] <= 60 and copies[2][0] == copies[1][0], copies
    assert copies[2][1] == copies[1][1], copies


def test_a_device_that_fails_in_a_fit_gives_way_to_the_cpu(strict_device, monkeypatch):
    expected, right, calls = fitted("cpu"), fit_loop.FitLoop._loss, []

    def failing(loop, *arguments):
        calls.append(loop.device)
        if len(calls) == 3:
            raise RuntimeError("CUDA error: unspecified launch failure")
        return right(loop, *arguments)

    monkeypatch.setattr(fit_loop.FitLoop, "_loss", failing)
    memory = Memory(strict_device, lambda: fitted(strict_device.name))
    assert calls[2:4] == [strict_device.name, "cpu"] and memory.left == 0
    assert memory.result.warnings == (
        "strict:0 failed (CUDA error: unspecified launch failure); the fit ran on the CPU.",
    )
    assert images_equal(memory.result.model.images(lattice()), expected.model.images(lattice()))


def test_rendering_of_a_fit_is_halved_then_made_on_the_cpu(strict_device):
    model = fitted("cpu").model
    grid = lattice().scaled((1.0, 1.5, 1.0))
    expected = model.images(grid)
    whole = Memory(strict_device, lambda: model.images_with_warnings(grid, strict_device.name))
    with strict_device.limited(int(0.7 * whole.needed)):
        less = Memory(strict_device, lambda: model.images_with_warnings(grid, strict_device.name))
    with strict_device.limited(1000):
        none = Memory(strict_device, lambda: model.images_with_warnings(grid, strict_device.name))
    assert less.launches > whole.launches and less.result[1] == ()
    assert none.result[1] == ("strict:0 ran out of memory; the fitted network ran on the CPU.",)
    for each in (whole, less, none):
        assert each.left == 0 and images_equal(each.result[0], expected)
