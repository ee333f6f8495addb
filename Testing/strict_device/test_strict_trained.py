"""Trained methods and the live renderer on another device than the CPU."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="Trained methods need torch, which is not installed here.")

from network_fixtures import TINY  # noqa: E402
from strict_comparison import Memory, equal, scans, super_resolved  # noqa: E402

from MultiContrastSRLib import Volume  # noqa: E402
from MultiContrastSRLib.core.cache import Cache  # noqa: E402
from MultiContrastSRLib.image.grid import Grid  # noqa: E402
from MultiContrastSRLib.inference import slice_network  # noqa: E402
from MultiContrastSRLib.inference.slice_network import SliceNetwork  # noqa: E402
from MultiContrastSRLib.live.renderer import ViewRenderer  # noqa: E402
from MultiContrastSRLib.networks.registry import build, light  # noqa: E402
from MultiContrastSRLib.weights.file import save_weights  # noqa: E402

pytestmark = pytest.mark.slow

METHODS = ("dual-arbnet", "dinet", "minet", "swift")


def save_perturbed(name: str, folder: Path) -> str:
    """The file of a small network that was never trained, with corrections of a few per cent."""
    torch.manual_seed(0)
    spec = light(name, **TINY[name])
    net = build(spec)
    for parameter in net.parameters():
        parameter.data.add_(0.01 * torch.randn_like(parameter))
    save_weights(folder / f"{name}.safetensors", spec, {key: value.numpy() for key, value in net.state_dict().items()})
    return str(folder / f"{name}.safetensors")


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> dict[str, str]:
    """Files of `save_perturbed`."""
    folder = tmp_path_factory.mktemp("weights")
    return {name: save_perturbed(name, folder) for name in METHODS}


@pytest.fixture
def one_by_one(monkeypatch) -> None:
    """A device computes slices one by one, as the CPU does, which rounds batches otherwise.

    Random weights enlarge such differences, and where patches are alike up to rounding, DINet's matching takes others.
    """
    monkeypatch.setattr(slice_network, "free_memory", lambda device: None if device == "cpu" else 0)


def references() -> dict[str, Volume | None]:
    _, reference = scans()
    half = Volume.on(reference.grid.crop((0, 0, 0), (4, 56, 26)), np.array(reference.array[:, :, :26]), "half")
    noise = np.random.default_rng(0).permuted(reference.array, axis=2)
    return {"none": None, "whole": reference, "half": half, "wrong": Volume.on(reference.grid, noise, "wrong")}


def assert_as_on_the_cpu(device, method: str, reference: Volume | None, **options) -> str:
    """Returns the notes and warnings of the report."""
    expected = super_resolved(method, "cpu", reference, **options)
    memory = Memory(device, lambda: super_resolved(method, device.name, reference, **options))
    found = memory.result
    assert memory.needed > 0 and memory.left == 0
    assert found.report.device == device.name and found.report.warnings == expected.report.warnings
    assert equal(found.volume.array, expected.volume.array)
    return " ".join((*found.report.notes, *found.report.warnings))


@pytest.mark.parametrize("method", METHODS)
def test_weights_that_ship(method, strict_device):
    assert_as_on_the_cpu(strict_device, method, scans()[1], test_time_augmentation=1)


@pytest.mark.parametrize("method", METHODS)
def test_ones_own_weights_with_test_time_augmentation(method, strict_device, weights, one_by_one):
    assert_as_on_the_cpu(strict_device, method, scans()[1], test_time_augmentation=8, weights=weights[method])


@pytest.mark.parametrize(
    ("method", "precision", "most"),
    [
        ("swift", "float16", 1e-3),
        ("dual-arbnet", "float16", 1e-3),
        ("dinet", "float16", 5e-3),
        ("minet", "bfloat16", 5e-3),
    ],
)
def test_other_number_formats_are_computed_on_the_device(method, precision, most, strict_device):
    found = super_resolved(method, strict_device.name, scans()[1], precision=precision)
    assert found.report.device == strict_device.name and found.report.warnings == ()
    expected = super_resolved(method, strict_device.name, scans()[1]).volume.array
    difference = np.abs(found.volume.array - expected).max() / np.ptp(expected)
    assert 1e-5 < difference <= most


@pytest.mark.parametrize("shown", ["none", "half", "wrong"])
@pytest.mark.parametrize("method", METHODS)
def test_references_that_are_missing_partial_or_rejected(method, shown, strict_device):
    report = assert_as_on_the_cpu(strict_device, method, references()[shown])
    if shown != "half":  # which networks reject on a phantom, or not
        left_out = ("did not help the network", "detail were left out: in a trial on the target they added errors")
        assert any(words in report for words in left_out) == (shown == "wrong")


@pytest.mark.parametrize("method", METHODS)
def test_detail_across_slices(method, strict_device, one_by_one):
    assert_as_on_the_cpu(strict_device, method, scans()[1], scale=(2, 2, 2))


@pytest.mark.parametrize("method", METHODS)
def test_out_of_memory_halves_the_batch_then_takes_the_cpu(method, strict_device):
    options = {"check_reference": False}
    whole = Memory(strict_device, lambda: super_resolved(method, strict_device.name, scans()[1], **options))
    with strict_device.limited(int(0.7 * whole.needed)):
        less = Memory(strict_device, lambda: super_resolved(method, strict_device.name, scans()[1], **options))
    assert less.launches > whole.launches and less.left == 0
    assert less.result.report.warnings == whole.result.report.warnings and "CPU" not in " ".join(
        less.result.report.warnings
    )
    assert equal(less.result.volume.array, whole.result.volume.array)
    with strict_device.limited(50_000):
        none = Memory(strict_device, lambda: super_resolved(method, strict_device.name, scans()[1], **options))
    assert "strict:0 ran out of memory; the network ran on the CPU." in none.result.report.warnings and none.left == 0
    assert equal(none.result.volume.array, whole.result.volume.array)


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_is_uploaded_and_downloaded_once(method, strict_device, monkeypatch, tmp_path):
    """Target, reference, and the result with what was found, however many steps there are in between."""
    path = save_perturbed(method, tmp_path)
    copies = {}
    for batches in (1, 2, 4):
        monkeypatch.setattr(SliceNetwork, "batch_size", staticmethod(lambda *_, slices=4 // batches: slices))
        super_resolved(method, strict_device.name, scans()[1], weights=path)  # constants are there afterwards
        strict_device.reset()
        super_resolved(method, strict_device.name, scans()[1], weights=path)
        copies[batches] = strict_device.counts.uploads + strict_device.counts.downloads
    # joint total variation asks twice whether slices are constant; the others once whether a reference is absent
    most = 5 if method == "swift" else 4
    assert copies[4] - copies[2] <= 2 * most and copies[2] - copies[1] <= most + 2, copies


def test_a_device_that_fails_in_the_middle_gives_way_to_the_cpu(strict_device, monkeypatch):
    expected, right, calls = super_resolved("swift", "cpu", scans()[1]), SliceNetwork.__call__, []

    def failing(network, stack, *normalisations):
        calls.append(str(stack.base.device))
        if len(calls) == 3:
            raise RuntimeError("CUDA error: an illegal memory access was encountered\nmore")
        return right(network, stack, *normalisations)

    monkeypatch.setattr(SliceNetwork, "__call__", failing)
    memory = Memory(strict_device, lambda: super_resolved("swift", strict_device.name, scans()[1]))
    assert calls[2:4] == [strict_device.name, "cpu"] and memory.left == 0
    assert [w for w in memory.result.report.warnings if w not in expected.report.warnings] == [
        "strict:0 failed (CUDA error: an illegal memory access was encountered); the network ran on the CPU.",
    ]
    assert equal(memory.result.volume.array, expected.volume.array)


@pytest.mark.parametrize("method", ["swift", "dual-arbnet"])
def test_live_views_compute_their_slices_on_the_device(method, strict_device, weights):
    target, reference = scans()
    view = Grid((1, 70, 60), np.array([[0.8, 0, 0, 0], [0, 0.7, 0, 0], [0, 0, 3.0, 3.0], [0, 0, 0, 1]]))

    def shown(device: str) -> np.ndarray:
        options = {"register": "off", "weights": weights[method], "device": device}
        renderer = ViewRenderer(target, reference, Cache(1 << 24), method=method, **options)
        renderer.prepare(view, lambda: False)
        assert renderer.ready(view) and "CPU" not in " ".join(renderer.report.warnings)
        return renderer.render(view)

    memory = Memory(strict_device, lambda: shown(strict_device.name))
    gc.collect()
    assert memory.needed > 0 and memory.left == 0 and equal(memory.result, shown("cpu"))
