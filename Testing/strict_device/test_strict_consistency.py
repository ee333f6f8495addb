"""Data consistency and the learning of guided regression on another device than the CPU."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="Other devices than the CPU need torch, which is not installed here.")

from phantoms import pair  # noqa: E402
from strict_comparison import Memory, equal, scans, super_resolved  # noqa: E402

import MultiContrastSRLib as mc  # noqa: E402
from MultiContrastSRLib import Volume  # noqa: E402
from MultiContrastSRLib.acquisition import consistency  # noqa: E402
from MultiContrastSRLib.acquisition.consistency import CheckedImage, check_image  # noqa: E402
from MultiContrastSRLib.acquisition.model import AcquisitionModel  # noqa: E402
from MultiContrastSRLib.guided import volumes  # noqa: E402
from MultiContrastSRLib.guided.volumes import GuidedVolume  # noqa: E402
from MultiContrastSRLib.inference.device_slices import DeviceSlices  # noqa: E402

pytestmark = pytest.mark.slow

KINDS = ("plain", "noisy", "diverged", "few", "not finite")
DEMANDS = (
    {},
    {"consistent": False},
    {"noise": 3.0},
    {"least": 0.0},
    {"noise": 3.0, "least": 0.0},
    {"consistent": False, "least": 0.0},
)


@cache
def cubes() -> tuple[Volume, Volume]:
    """A target in cubes of 2 mm, and a reference in cubes of 1 mm."""
    truth, reference = (Volume(np.repeat(each.array, 6, axis=0), np.eye(4)) for each in pair((6, 40, 36)))
    return mc.degrade(truth, "kspace", (2, 2, 2)), reference


def scan(slices: bool) -> Volume:
    """A scan of independent slices, or in cubes, with a black background."""
    low = (scans() if slices else cubes())[0]
    return Volume(np.where(low.array > 0.2 * low.array.max(), low.array, 0), low.affine, "scan")


def image_of(volume: Volume, kind: str) -> tuple[AcquisitionModel, np.ndarray]:
    """An image of `volume`, twice as fine, with the errors of `kind` in some slices; its model."""
    slices = volume.grid.slice_axis is not None
    model = AcquisitionModel.estimate(volume).refining((not slices, True, True))
    image = model.zero_fill(
        volume.array, [n * (1 if slices and axis == 0 else 2) for axis, n in enumerate(volume.shape)]
    )
    random = np.random.default_rng(0)
    if kind != "plain":
        image[1:] += random.normal(0, 4, image[1:].shape).astype(np.float32)
    if kind == "diverged":
        image[1] += 1e4 * random.integers(0, 2, image[1].shape).astype(np.float32)
    if kind == "few":
        image[2, 20, 20] = 1e5
    if kind == "not finite":
        image[0, 10, 10], image[1] = np.inf, np.nan
    return model, image


def facts(checked: CheckedImage) -> tuple:
    return checked.held, checked.weighed, checked.changed, checked.warnings


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("slices", [True, False])
def test_an_image_is_checked_as_on_the_cpu(slices, kind, strict_device):
    volume = scan(slices)
    model, image = image_of(volume, kind)
    assert (model.independent_axis(image.shape) == 0) == slices
    for demands in DEMANDS:
        expected = check_image(model, volume.array, image, **demands)
        memory = Memory(
            strict_device, lambda d=demands: check_image(model, volume.array, image, device=strict_device.name, **d)
        )
        found = memory.result
        assert memory.needed > 0 and memory.left == 0 and facts(found) == facts(expected), demands
        assert equal(found.array, expected.array), demands
        size = float(np.square(volume.array, dtype=np.float64).sum())
        assert [found.before, found.after] == pytest.approx(
            [expected.before, expected.after], rel=1e-3, abs=1e-10 * size
        )


@pytest.mark.parametrize("count", [1, 4])
def test_a_batch_of_slices_is_copied_to_the_device_and_back_once(count, strict_device):
    volume = scan(True)
    model, image = image_of(volume, "not finite")
    model = model.of_slices(0, 0, count)

    def check() -> CheckedImage:
        demands = {"noise": 3.0, "least": 0.0, "device": strict_device.name}
        return check_image(model, volume.array[:count], image[:count], **demands)

    check()  # matrices are there afterwards
    strict_device.reset()
    check()
    assert (strict_device.counts.uploads, strict_device.counts.downloads) == (2, 1)


def test_out_of_memory_halves_the_batch_then_takes_the_cpu(strict_device):
    volume = scan(True)
    model, image = image_of(volume, "diverged")

    def check(device: str) -> CheckedImage:
        return check_image(model, volume.array, image, least=0.0, device=device)

    expected, whole = check("cpu"), Memory(strict_device, lambda: check(strict_device.name))
    with strict_device.limited(int(0.7 * whole.needed)):
        less = Memory(strict_device, lambda: check(strict_device.name))
    assert less.launches > whole.launches and less.left == 0 and facts(less.result) == facts(expected)
    with strict_device.limited(1000):
        none = Memory(strict_device, lambda: check(strict_device.name))
    assert none.left == 0 and none.result.warnings == ("strict:0 ran out of memory; data consistency ran on the CPU.",)
    assert all(equal(each.result.array, expected.array) for each in (less, none))


@pytest.mark.parametrize("slices", [True, False])
def test_guided_regression_learns_on_the_device(slices, strict_device):
    target, reference = scans() if slices else cubes()
    refined = (not slices, True, True)
    expected = GuidedVolume(target, reference, refined)
    memory = Memory(
        strict_device, lambda: GuidedVolume(target, reference, refined, read=DeviceSlices(strict_device.name))
    )
    found = memory.result
    assert memory.needed > 0 and memory.left == 0 and found.helps and (found.across == 0) == slices
    whole = slice(None)
    assert equal(found.part(whole), expected.part(whole))
    again = GuidedVolume(target, reference, refined, read=DeviceSlices(strict_device.name))  # matrices are uploaded
    strict_device.reset()
    GuidedVolume(target, reference, refined, read=DeviceSlices(strict_device.name))
    assert again.note == expected.note
    assert (strict_device.counts.uploads, strict_device.counts.downloads) == (2, 2)  # the scans; shares and statistics


@pytest.mark.parametrize("consistent", [True, False])
def test_a_run_learns_and_checks_its_result_on_its_device(consistent, strict_device, monkeypatch):
    seen = set()

    def note(module, name: str, argument: int) -> None:
        right = getattr(module, name)

        def noting(*arguments):
            seen.add((name, str(getattr(arguments[argument], "device", "cpu"))))
            return right(*arguments)

        monkeypatch.setattr(module, name, noting)

    note(volumes, "learn", 1)
    note(consistency, "check_part", 2)
    super_resolved("dinet", strict_device.name, scans()[1], data_consistency=consistent)
    assert seen == {("learn", strict_device.name), ("check_part", strict_device.name)}
