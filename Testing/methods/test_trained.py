"""Trained networks as methods: where their image lies, what they do with a reference, and how volumes become slices."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

pytest.importorskip("torch", reason="Trained methods need torch, which is not installed here.")

import torch

import MultiContrastSRLib as mc
from MultiContrastSRLib.acquisition.axis import AxisModel
from MultiContrastSRLib.acquisition.degrade import degrade
from MultiContrastSRLib.acquisition.model import AcquisitionModel
from MultiContrastSRLib.acquisition.slices import SliceAcquisition
from MultiContrastSRLib.acquisition.support import Support
from MultiContrastSRLib.core.errors import CancelledError, FileReadError, InputError, MethodUnavailableError
from MultiContrastSRLib.core.progress import Monitor
from MultiContrastSRLib.image.grid import Grid
from MultiContrastSRLib.image.volume import Volume
from MultiContrastSRLib.inference.prepared_step import PreparedStep
from MultiContrastSRLib.inference.slice_network import SliceNetwork
from MultiContrastSRLib.inference.steps import RefinementStep, lattice_factors, measured_axes, refinement_steps
from MultiContrastSRLib.methods import get
from MultiContrastSRLib.networks.registry import build, light
from MultiContrastSRLib.networks.test_time_augmentation import enabled_transforms
from MultiContrastSRLib.pipeline.report import Report
from MultiContrastSRLib.samples.phantom import head_phantom
from MultiContrastSRLib.weights import registry as models
from MultiContrastSRLib.weights.file import save_weights

pytestmark = pytest.mark.slow

NETWORKS = ("dual-arbnet", "dinet", "minet", "swift")


def grid(shape, spacing) -> Grid:
    affine = np.diag([*spacing[::-1], 1.0])
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape[::-1]) - 1) / 2) + (0, 0, 12)
    return Grid(shape, affine)


SLICES = grid((3, 66, 58), (4.0, 3.0, 3.0))  # 33 × 29 after ×2: an odd and an even number of pixels on both grids


def pair(on: Grid = SLICES) -> tuple[Volume, Volume]:
    return head_phantom("T2", on), head_phantom("T1", on)


@pytest.fixture(scope="module")
def untrained(tmp_path_factory) -> dict[str, str]:
    """Weights files of networks that were never trained, as files of one's own: they add nothing."""
    folder = tmp_path_factory.mktemp("weights")
    files = {}
    for name in NETWORKS:
        torch.manual_seed(0)
        spec = light(name)
        tensors = {key: value.numpy() for key, value in build(spec).state_dict().items()}
        files[name] = str(folder / f"{name}.safetensors")
        save_weights(files[name], spec, tensors)
    return files


class Rendered(NamedTuple):
    """A result on the truth's own grid, which is not that of `scale=`: a k-space crop does not keep voxel edges."""

    volume: Volume
    report: Report


def run(method: str, target: Volume, reference: Volume | None, truth: Volume, **options) -> Rendered:
    prepared = mc.prepare(target, reference, method, register="off", grid=truth.grid, **options)
    return Rendered(prepared.render(truth.grid), prepared.report)


def rms(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(a - b, dtype=np.float64))))


@pytest.mark.parametrize("method", NETWORKS)
def test_an_untrained_correction_leaves_the_guided_image(method, untrained):
    truth, reference = pair()
    target = degrade(truth, "kspace", 2)
    result = run(method, target, reference, truth, weights=untrained[method], check_reference=False)
    guided = run("guided", target, reference, truth)
    assert rms(result.volume.array, guided.volume.array) < 1e-3 * np.ptp(truth.array)


def test_reports_name_the_weights(untrained):
    truth, reference = pair()
    target = degrade(truth, "kspace", 2)
    for method, options in (("swift", {"weights": untrained["swift"]}), ("minet", {})):
        report = run(method, target, reference, truth, **options).report
        file = options.get("weights") or models.FOLDER / "minet-x2.safetensors"
        assert report.weights == hashlib.sha256(Path(file).read_bytes()).hexdigest() == report.as_dict()["weights"]
    assert run("guided", target, reference, truth).report.weights is None


@pytest.mark.parametrize("method", NETWORKS)
def test_an_untrained_correction_of_no_reference_is_the_sinc(method, untrained):
    truth, _ = pair()
    target = degrade(truth, "kspace", 2)
    result = run(method, target, None, truth, weights=untrained[method])
    assert rms(result.volume.array, run("sinc", target, None, truth).volume.array) < 2e-3 * np.ptp(truth.array)


def shift_between(image: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """By how many pixels `image` (k, j, i) lies beside `truth` within its slices: least squares on the gradient."""
    gradients = [g.ravel() for g in np.gradient(truth, axis=(1, 2))]
    matrix = np.stack(gradients, axis=1)
    return np.linalg.lstsq(matrix, (truth - image).ravel(), rcond=None)[0]


@pytest.mark.parametrize("method", NETWORKS)
@pytest.mark.parametrize("shape", [(3, 66, 58), (3, 64, 60)])
def test_the_image_lies_where_the_patient_is(method, shape):
    truth, reference = pair(grid(shape, (4.0, 3.0, 3.0)))
    result = run(method, degrade(truth, "kspace", 2), reference, truth)
    assert np.abs(shift_between(result.volume.array, truth.array)).max() < 0.05
    assert rms(result.volume.array, truth.array) < rms(np.roll(result.volume.array, 1, 2), truth.array)


def test_says_that_small_structures_may_leak_at_strong_scales():
    truth, reference = pair()
    for factor, shown, warned in ((6, reference, True), (4, reference, False), (6, None, False)):
        report = run("swift", degrade(truth, "kspace", factor), shown, truth, check_reference=False).report
        assert any("smaller than an acquired voxel" in note for note in report.notes) == warned


@pytest.mark.parametrize("method", NETWORKS)
def test_runs_without_a_reference_and_says_so(method):
    truth, _ = pair()
    result = run(method, degrade(truth, "kspace", 2), None, truth)
    assert result.volume.shape == truth.shape and np.isfinite(result.volume.array).all()
    assert any("on the target alone" in note for note in result.report.notes)


@pytest.mark.parametrize("method", NETWORKS)
def test_a_reference_that_misleads_is_left_out(method):
    truth, reference = pair()
    target = degrade(truth, "kspace", 2)
    noise = Volume(np.random.default_rng(1).uniform(0, 200, reference.shape), reference.affine, "noise")
    alone = run(method, target, None, truth).volume.array
    checked = run(method, target, noise, truth)
    if any("did not help" in warning for warning in checked.report.warnings):
        assert np.array_equal(checked.volume.array, alone)  # and its lattice is not the reference's
    assert rms(checked.volume.array, truth.array) <= 1.02 * rms(alone, truth.array)


@pytest.mark.parametrize("size", [(168, 152), (172, 148)])
def test_the_reference_of_a_network_of_by_four_is_judged_one_octave_down(size, monkeypatch):
    """Two octaves down 10 pixels are left of 168. The reference lies where the target does, for odd sizes too.

    One that lies beside it by more than a pixel of the target is noticed; by less is a matter of registration.
    """
    truth, reference = pair(grid((3, *size), (4.0, 1.2, 1.2)))
    target, measured = degrade(truth, "kspace", 4), {"right": set(), "beside": set()}
    right = SliceAcquisition.consistent

    def watched(acquisition, image, low):
        measured[name].add(acquisition.measured)
        return right(acquisition, image, low)

    monkeypatch.setattr(SliceAcquisition, "consistent", watched)
    beside = Volume(np.roll(reference.array, 6, axis=2), reference.affine, "beside")
    found = {}
    for name, other in (("right", reference), ("beside", beside)):
        warnings = run("minet", target, other, truth, test_time_augmentation=1).report.warnings
        found[name] = any("did not help" in warning for warning in warnings)
    assert found == {"right": False, "beside": True}
    assert measured["right"] == {(20, 16)}  # half of 42 or 43 by 38 or 37 pixels, in whole eights


def test_trials_use_no_test_time_augmentation(monkeypatch):
    """Neither the check of the reference, with and without it, nor the trial of each batch before its result."""
    truth, reference = pair()
    seen, right = [], SliceNetwork.__call__

    def watched(network, *arguments):
        seen.append(enabled_transforms(network.net.test_time_augmentation))
        return right(network, *arguments)

    monkeypatch.setattr(SliceNetwork, "__call__", watched)
    run("swift", degrade(truth, "kspace", 2), reference, truth, test_time_augmentation=4)
    assert seen[:2] == [1, 1] and sorted(seen[2:]) == sorted([1, 4] * (len(seen) // 2 - 1))


@pytest.mark.parametrize("method", ["dual-arbnet", "dinet"])
def test_thick_slices_become_thin(method):
    truth, reference = pair(grid((24, 40, 36), (4.0, 4.0, 4.0)))
    target = degrade(truth, "slab", 2, axis=0)
    result = run(method, target, reference, truth)
    assert result.volume.shape == truth.shape
    spline = run("bspline", target, None, truth)
    assert rms(result.volume.array, truth.array) < rms(spline.volume.array, truth.array)


def test_what_goes_wrong_in_the_first_of_two_steps_is_told(monkeypatch):
    truth, reference = pair(grid((16, 40, 36), (4.0, 4.0, 4.0)))
    target = degrade(degrade(truth, "slab", 2, axis=0), "kspace", (1, 2, 2))
    monkeypatch.setattr(PreparedStep, "whole", diverging_where_stacks_are_two())
    report = mc.prepare(target, reference, "dinet", register="off").report
    assert any("plain interpolation is shown there instead" in sentence for sentence in report.warnings)


def diverging_where_stacks_are_two():
    """`PreparedStep.whole`, wild after a step along a single axis, which is refined in two stacks of slices."""
    whole = PreparedStep.whole

    def spoiled(prepared, monitor, needed=None):
        array = whole(prepared, monitor, needed)
        return array if prepared.across is not None else array + 1e4 * (np.indices(array.shape).sum(0) % 2)

    return spoiled


def test_minet_leaves_what_lies_across_slices_to_guided():
    truth, reference = pair(grid((16, 40, 36), (4.0, 4.0, 4.0)))
    target = degrade(truth, "slab", 2, axis=0)
    result = run("minet", target, reference, truth)
    assert any("works within slices" in note for note in result.report.notes)
    guided = run("guided", target, reference, truth)
    assert rms(result.volume.array, guided.volume.array) < 1e-3 * np.ptp(truth.array)


@pytest.mark.parametrize("scale", [1.5, 2.7, (1.0, 2.0, 1.3)])
def test_any_scale_and_one_for_each_axis(scale):
    truth, reference = pair()
    target = degrade(truth, "kspace", scale)
    result = run("dual-arbnet", target, reference, truth)
    assert result.volume.shape == truth.shape
    assert rms(result.volume.array, truth.array) < 1.05 * rms(
        run("sinc", target, None, truth).volume.array, truth.array
    )


def test_a_reference_that_covers_half_of_the_patient_helps_there():
    truth, reference = pair()
    half = Volume.on(reference.grid.crop((0, 0, 0), (3, 66, 30)), np.array(reference.array[:, :, :30]), "half")
    target = degrade(truth, "kspace", 2)
    alone = run("dual-arbnet", target, None, truth).volume.array
    whole = run("dual-arbnet", target, reference, truth, check_reference=False).volume.array
    seen = run("dual-arbnet", target, half, truth, check_reference=False).volume.array
    assert rms(seen[:, :, 44:], alone[:, :, 44:]) < 0.5 * rms(seen[:, :, :20], alone[:, :, :20]) + 1e-3
    assert rms(seen[:, :, :20], whole[:, :, :20]) < rms(alone[:, :, :20], whole[:, :, :20])


# ------------------------------------------------------------------ planning


def model(kinds: str, samples=(8, 32, 32), edge: float = 1.0) -> AcquisitionModel:
    axes = tuple(
        AxisModel("slab", n, 4.0, 4.0) if kind == "s" else AxisModel("kspace", n, 1.0, support=Support(edge))
        for kind, n in zip(kinds, samples, strict=True)
    )
    return AcquisitionModel(grid(samples, tuple(axis.spacing for axis in axes)), axes)


@pytest.mark.parametrize(
    ("kinds", "active", "expected"),
    [
        ("skk", (0, 1, 1), [RefinementStep((1, 2), (0,))]),
        ("skk", (1, 1, 1), [RefinementStep((0,), (1, 2)), RefinementStep((1, 2), (0,))]),
        ("skk", (1, 0, 0), [RefinementStep((0,), (1, 2))]),
        ("skk", (0, 1, 0), [RefinementStep((1,), (0,))]),
        ("kks", (1, 1, 1), [RefinementStep((2,), (0, 1)), RefinementStep((0, 1), (2,))]),
        ("kkk", (1, 1, 1), [RefinementStep((0,), (1, 2)), RefinementStep((1, 2), (0,))]),
        ("kkk", (0, 1, 0), [RefinementStep((1,), (0, 2))]),
        ("kkk", (0, 0, 0), []),
    ],
)
def test_planes_follow_the_anisotropy(kinds, active, expected):
    assert refinement_steps(model(kinds), tuple(map(bool, active))) == expected


def test_lattices_are_as_fine_as_the_reference_or_twofold():
    target = model("skk")
    reference = Volume(np.zeros((8, 64, 96)), grid((8, 64, 96), (4.0, 0.5, 1 / 3)).affine)
    assert np.allclose(lattice_factors(target, reference, (False, True, True)), (1, 2, 3))
    assert lattice_factors(target, None, (False, True, True)) == (1, 2, 2)
    assert lattice_factors(target, None, (True, False, False)) == (4, 1, 1)


def test_networks_see_a_zero_filled_matrix_as_it_was_measured():
    axes = measured_axes(model("skk", edge=0.75), (False, True, False))
    assert [axis.samples for axis in axes] == [8, 24, 32]
    assert axes[1].spacing == pytest.approx(32 / 24)


# ------------------------------------------------------------------ weights, cancel


@pytest.mark.parametrize("method", NETWORKS)
def test_weights_ship_with_cards_and_are_small(method):
    found = models.shipped(method)
    assert len(found) == (2 if method == "minet" else 1)
    for model_file in found:
        assert model_file.path.stat().st_size <= (3_500_000 if method == "swift" else 1_700_000)
        assert model_file.card["data"] and model_file.path.with_suffix(".md").exists()


def test_damaged_weights_are_refused(monkeypatch, tmp_path):
    for path in models.FOLDER.glob("dual-arbnet.*"):
        shutil.copy(path, tmp_path)
    damaged = tmp_path / "dual-arbnet.safetensors"
    data = bytearray(damaged.read_bytes())
    data[-1] ^= 1
    damaged.write_bytes(data)
    monkeypatch.setattr(models, "FOLDER", tmp_path)
    truth, reference = pair()
    with pytest.raises(FileReadError, match="SHA-256"):
        run("dual-arbnet", degrade(truth, "kspace", 2), reference, truth)


def test_other_networks_weights_and_missing_ones_are_refused(monkeypatch, tmp_path, untrained):
    truth, reference = pair()
    target = degrade(truth, "kspace", 2)
    with pytest.raises(InputError, match="belong to 'dinet'; expected 'dual-arbnet'"):
        run("dual-arbnet", target, reference, truth, weights=untrained["dinet"])
    with pytest.raises(FileReadError, match="cannot be read"):
        run("dual-arbnet", target, reference, truth, weights=str(tmp_path / "none.safetensors"))
    monkeypatch.setattr(models, "FOLDER", tmp_path)
    with pytest.raises(MethodUnavailableError, match="No weights ship for method 'dual-arbnet'"):
        run("dual-arbnet", target, reference, truth)


@pytest.mark.parametrize("method", NETWORKS)
def test_a_cancel_is_heard_between_slices(method):
    truth, reference = pair()
    target = degrade(truth, "kspace", 2)
    calls = []

    def cancel() -> bool:
        calls.append(None)
        return len(calls) > 20

    with pytest.raises(CancelledError):
        get(method).prepare(target, reference, monitor=Monitor(None, cancel))


def test_the_same_twice():
    truth, reference = pair()
    target = degrade(truth, "kspace", 2)
    first, second = (run("dual-arbnet", target, reference, truth).volume.array for _ in range(2))
    assert np.array_equal(first, second)
