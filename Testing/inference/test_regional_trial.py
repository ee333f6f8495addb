"""Weights by region: reference and network's correction are used where a trial one octave down is better by them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="Networks need torch, which is not installed here.")

from live_fixtures import scans, trained  # noqa: E402
from phantoms import pair  # noqa: E402

from MultiContrastSRLib import Volume  # noqa: E402
from MultiContrastSRLib.acquisition.axis import AxisModel  # noqa: E402
from MultiContrastSRLib.acquisition.slices import SliceAcquisition  # noqa: E402
from MultiContrastSRLib.inference import plane, prepared_step  # noqa: E402
from MultiContrastSRLib.inference.regional_trial import (  # noqa: E402
    RegionalWeights,
    faded,
    regional_weights,
    super_resolved,
)
from MultiContrastSRLib.inference.slice_base import base_image  # noqa: E402
from MultiContrastSRLib.inference.slice_network import SliceNetwork, volume_normalisation  # noqa: E402
from MultiContrastSRLib.inference.slice_stack import SliceStack  # noqa: E402
from MultiContrastSRLib.inference.trial_acquisition import TrialAcquisition, oversampling  # noqa: E402
from MultiContrastSRLib.methods import get  # noqa: E402
from MultiContrastSRLib.networks.registry import light  # noqa: E402

SHAPE = (96, 88)  # of the target's slices


class Adding:
    """Stands for a network: adds `detail` (of a stack) to the base image.

    Args:
        black: see `Network.black_reference_is_none`.
    """

    def __init__(self, detail=lambda stack: 0.0, spec=None, black: bool = True) -> None:
        self.spec, self._detail, self.seen = spec or light("swift"), detail, []
        self.net = SimpleNamespace(black_reference_is_none=black)

    def __call__(self, stack, target, reference):
        self.seen.append(stack)
        return stack.base + self._detail(stack)


@pytest.fixture(scope="module")
def slices() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Target, reference, and a reference that shows nothing of the patient, (2, 96, 88) each."""
    target, reference = (torch.tensor(v.array) for v in pair((2, *SHAPE)))
    wrong = np.random.default_rng(0).uniform(0, 250, target.shape).astype(np.float32)
    return target, reference, torch.from_numpy(wrong)


def normalisation_of(images: torch.Tensor, network: Adding):
    return volume_normalisation(images.numpy(), network.spec)


def weights_of(network: Adding, target: torch.Tensor, reference: torch.Tensor | None, **settings) -> RegionalWeights:
    axes = tuple(AxisModel("kspace", n, 1.0) for n in target.shape[1:])
    trial = TrialAcquisition.of(network.spec, axes, (2.0, 2.0))
    normalisations = tuple(None if x is None else normalisation_of(x, network) for x in (target, reference))
    return regional_weights(network, trial, target, reference, normalisations, **settings)


def half_wrong(slices) -> torch.Tensor:
    """A reference that is right in the left half only."""
    half = slices[1].clone()
    half[..., 44:] = slices[2][..., 44:]
    return half


# ---------------------------------------------------------------------- the reference


def test_a_reference_that_is_wrong_in_one_half_is_used_in_the_other(slices):
    target, right, _ = slices
    found, whole = (weights_of(Adding(), target, reference).reference for reference in (half_wrong(slices), right))
    assert found.shape == target.shape and found.min() >= 0 and found.max() <= 1
    assert whole.mean() > 0.95
    assert found[..., :36].mean() > 0.9 and found[..., 52:].mean() < 0.5


def test_a_reference_with_misleading_detail_is_not_used(slices):
    target, right, _ = slices
    misleading = right + 60.0 * (torch.from_numpy(np.indices(right.shape).sum(0)) % 2)
    assert weights_of(Adding(), target, misleading).reference.mean() < 0.05


def test_a_reference_that_explains_nothing_is_not_used(slices):
    """Guided regression takes no detail from it, so that nothing tells that it fits."""
    target, right, _ = slices
    constant = torch.full_like(right, 100.0)
    assert (weights_of(Adding(), target, constant).reference == 0).all()


def test_the_whole_reference_is_used_where_that_is_asked_for(slices):
    target, _, wrong = slices
    assert (weights_of(Adding(), target, wrong, whole_reference=True).reference == 1).all()


def test_without_a_reference_there_is_no_weight_for_it(slices):
    assert weights_of(Adding(), slices[0], None).reference is None


def test_an_untrusted_reference_is_absent():
    reference = torch.rand(2, 8, 8)
    normalisation = normalisation_of(reference, Adding())
    assert torch.allclose(faded(reference, torch.ones(2, 8, 8), normalisation), reference)
    absent = faded(reference, torch.zeros(2, 8, 8), normalisation)
    assert normalisation.apply(absent[:, None]).abs().max() == 0  # what the network receives


def test_the_network_sees_the_reference_as_far_as_it_is_trusted(slices):
    half, network = half_wrong(slices), Adding()
    found = weights_of(network, slices[0], half).reference
    (stack,) = network.seen
    offset = float(normalisation_of(half, network).offset)
    assert torch.allclose(stack.reference, offset + found * (half - offset), atol=1e-2)


def test_slices_without_a_trusted_reference_are_given_none(slices):
    target, right, _ = slices
    network = Adding(lambda stack: 1.0 if stack.reference is None else 2.0)
    axes = tuple(AxisModel("kspace", n, 1.0) for n in SHAPE)
    confidence = torch.stack([torch.zeros(SHAPE), torch.rand(SHAPE)])
    normalisations = tuple(normalisation_of(x, network) for x in (target, right))
    added = super_resolved(network, SliceStack(axes, target, target, right), confidence, normalisations) - target
    assert torch.allclose(added, torch.tensor([1.0, 2.0])[:, None, None], atol=1e-3)


@pytest.mark.parametrize("black", [False, True])
def test_a_network_runs_again_only_where_a_black_reference_is_not_none_to_it(black, slices):
    target, right, _ = slices
    one_absent = torch.stack([torch.full_like(right[0], 100.0), right[1]])
    for reference, absent in ((right, False), (one_absent, not black)):
        network = Adding(black=black)
        assert weights_of(network, target, reference).absent == absent
        assert [stack.reference is None for stack in network.seen] == ([False, True] if absent else [False])


def test_a_base_image_uses_the_reference_by_its_confidence(slices):
    acquisition = SliceAcquisition.of(SHAPE, (2.0, 2.0))
    low, reference = acquisition.forward(slices[0]), slices[1]
    guided, plain = (base_image(base, acquisition, low, reference) for base in ("guided", "sinc"))
    ones, zeros = torch.ones_like(reference), torch.zeros_like(reference)
    assert torch.allclose(base_image("guided", acquisition, low, reference, ones), guided, atol=1e-3)
    assert torch.allclose(base_image("guided", acquisition, low, reference, zeros), plain, atol=1e-3)
    mixed = base_image("guided", acquisition, low, reference, 0.5 * ones)
    assert torch.allclose(mixed, (guided + plain) / 2, atol=1e-2) and not torch.allclose(mixed, plain, atol=0.5)
    assert torch.allclose(acquisition.forward(mixed[:, 0]), low, atol=1e-2)
    assert base_image(None, acquisition, low, reference) is None


# ---------------------------------------------------------------------- the network


def noise(images: torch.Tensor, deviation: float) -> torch.Tensor:
    return deviation * torch.from_numpy(np.random.default_rng(1).standard_normal(images.shape).astype(np.float32))


def test_a_network_that_adds_errors_is_weighted_to_nothing(slices):
    for deviation in (20.0, 1e5):
        found = weights_of(Adding(lambda stack, d=deviation: noise(stack.base, d)), slices[0], None).correction
        assert found.shape == slices[0].shape and found.mean() < 0.02


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1e30])
def test_a_network_that_diverges_is_weighted_to_nothing(wrong, slices):
    network = Adding(lambda stack: torch.where(noise(stack.base, 1.0) > 0, wrong, 0.0))
    assert weights_of(network, slices[0], None).correction.max() == 0


def test_a_network_that_adds_what_is_missing_is_used_fully(slices):
    target = slices[0]
    assert weights_of(Adding(lambda stack: target - stack.base), target, None).correction.min() == 1
    fourfold = weights_of(Adding(lambda stack: 4 * (target - stack.base)), target, None).correction
    assert torch.allclose(fourfold, torch.tensor((0.25 - 0.1) / 0.4), atol=1e-3)


def test_a_network_that_adds_nothing_is_trusted(slices):
    assert (weights_of(Adding(), slices[0], None).correction == 1).all()


def test_a_network_is_used_where_it_is_right(slices):
    target = slices[0]

    def detail(stack: SliceStack) -> torch.Tensor:
        added = target - stack.base
        added[..., 44:] = noise(added[..., 44:], float(added.std()))
        return added

    found = weights_of(Adding(detail), target, None).correction
    assert found[..., :32].mean() > 0.8 and found[..., 56:].mean() < 0.2


# ---------------------------------------------------------------------- trials


@pytest.mark.parametrize(
    ("spec", "samples", "factors", "expected"),
    [
        (light("swift"), (24, 24), (2.0, 2.0), None),  # too small
        (light("swift"), (96, 96), (1.0, 1.0), None),  # nothing to refine
        (light("swift"), (96, 96), (4.0, 1.0), (48, 96)),
        (light("swift"), (96, 36), (4.0, 4.0), (48, 24)),
        (light("swift"), (96, 96), (1.5, 1.2), (64, 80)),
        (light("minet"), (97, 95), (2.0, 2.0), (48, 46)),
        (light("minet", scale=4), (43, 38), (4.0, 4.0), (20, 16)),
        (light("minet", scale=4), (15, 40), (4.0, 4.0), None),
    ],
)
def test_trials_are_one_octave_down_at_most(spec, samples, factors, expected):
    trial = TrialAcquisition.of(spec, tuple(AxisModel("kspace", n, 1.0) for n in samples), factors)
    assert (None if trial is None else trial.degrading.measured) == expected
    if trial is not None:
        assert trial.acquisition.measured == expected
        assert trial.acquisition.fine == tuple(oversampling(spec) * n for n in trial.degrading.fine)


@pytest.mark.parametrize("scale", [2, 4])
def test_a_trial_of_a_fixed_scale_lies_where_the_target_does(scale):
    """The result is finer than the target for x4; a centred blob stays where it is, for odd sizes too."""
    spec, shape = light("minet", scale=scale), (53, 62)
    finer = oversampling(spec)
    axes = tuple(AxisModel("kspace", n, 1.0) for n in shape)
    trial = TrialAcquisition.of(spec, axes, (scale, scale))

    def blob(factor: int) -> torch.Tensor:
        rows, columns = ((torch.arange(factor * n) - factor * n // 2) / factor for n in shape)
        return torch.exp(-(rows[:, None] ** 2 + columns**2) / 32)[None]

    truth, fine = trial.cropped(blob(1)), trial.cropped(blob(finer), finer)
    assert fine.shape[1:] == trial.acquisition.fine and truth.shape[1:] == trial.degrading.fine
    assert (trial.on_target(fine) - truth).abs().max() < 1e-3
    assert (trial.acquisition.forward(fine) - trial.degrading.forward(truth)).abs().max() < 1e-3
    weights = torch.rand(1, *trial.degrading.fine)
    assert trial.on_result(weights).shape[1:] == trial.acquisition.fine
    restored = trial.restored(weights, shape)
    assert restored.shape[1:] == shape and torch.equal(restored[:, : weights.shape[1], : weights.shape[2]], weights)
    low = trial.degrading.forward(truth)
    assert trial.stack(low, fine, None).positions.scale == pytest.approx((2 * finer, 2 * finer))


def test_weights_lie_on_the_lattice_where_they_were_found():
    ramp = torch.linspace(0, 1, 25).expand(1, 21, 25).contiguous()
    axes = AxisModel("kspace", 21, 2.0), AxisModel("kspace", 25, 2.0)
    found = RegionalWeights(None, ramp).on_lattice(axes, (42, 50))
    assert found.reference is None and found.correction.shape == (1, 42, 50)
    step, offset = axes[1].lattice_positions(50)
    expected = np.clip((step * np.arange(50) + offset) / 24, 0, 1)
    assert np.allclose(found.correction[0, 7], expected, atol=1e-5)
    same = RegionalWeights(ramp, ramp)
    assert same.on_lattice(axes, (21, 25)) is same


# ---------------------------------------------------------------------- volumes


@pytest.mark.parametrize("method", ["swift", "dual-arbnet", "dinet", "minet"])
def test_slices_of_no_confidence_are_bitwise_those_without_a_reference(method, monkeypatch):
    target, reference = scans((4, 72, 66))
    settings, confidences = {**trained(method), "check_reference": True}, []

    def untrusted(network, trial, target, reference, *_, **__) -> RegionalWeights:
        confidences.append(None if reference is None else torch.zeros_like(target))
        absent = reference is not None and not network.net.black_reference_is_none
        return RegionalWeights(confidences[-1], torch.ones_like(target), absent)

    monkeypatch.setattr(prepared_step, "reference_improves", lambda *_: True)
    monkeypatch.setattr(plane, "regional_weights", untrusted)
    with_reference, without = (get(method).prepare(target, other, **settings) for other in (reference, None))
    assert {confidence is None for confidence in confidences} == {True, False}
    assert np.array_equal(with_reference.array, without.array)
    assert any("of the reference's detail were left out" in warning for warning in with_reference.warnings)


def test_a_rejected_reference_is_bitwise_none():
    target, _ = scans((4, 72, 66))
    rng = np.random.default_rng(1)
    fine = np.diag([0.4, 0.4, 3.0, 1.0])  # its lattice must not shape the result either
    noise = Volume(rng.uniform(0, 200, (4, 180, 165)).astype(np.float32), fine, "noise")
    settings = {**trained("swift"), "check_reference": True}
    alone, checked = (get("swift").prepare(target, reference, **settings) for reference in (None, noise))
    assert any("did not help the network" in warning for warning in checked.warnings)
    assert not checked.reference_used and np.array_equal(checked.array, alone.array)


def test_regions_of_a_volume_are_weighted(monkeypatch):
    """The base image of a reference that is wrong in one half is there the one without a reference."""
    target, reference = scans((3, 144, 132))
    other = pair((3, 144, 132), seed=5)[1]
    array = reference.array.copy()
    array[..., 66:] = other.array[..., 66:]
    half = Volume.on(reference.grid, array, "half")
    monkeypatch.setattr(prepared_step, "reference_improves", lambda *_: True)
    monkeypatch.setattr(SliceNetwork, "__call__", lambda self, stack, *_: stack.base.clone())
    settings = {**trained("swift"), "check_reference": True}
    made = {
        name: get("swift").prepare(target, volume, **settings).array
        for name, volume in (("none", None), ("right", reference), ("half", half))
    }
    left, right = (..., slice(0, 54)), (..., slice(78, None))

    def difference(one: str, other: str, where: tuple) -> float:
        return float(np.square(made[one] - made[other])[where].mean())

    assert difference("half", "right", left) < 0.2 * difference("none", "right", left)
    assert difference("half", "none", right) < 0.2 * difference("none", "right", right)


def test_a_network_that_adds_errors_changes_nothing_and_the_report_says_so(monkeypatch):
    target, reference = scans((3, 144, 132))
    amplitude = 0.02 * float(np.ptp(target.array))

    def adding(self, stack, *_):
        return stack.base + amplitude * (1 - 2 * (torch.from_numpy(np.indices(stack.base.shape).sum(0)) % 2))

    settings = {**trained("swift"), "check_reference": False}
    with monkeypatch.context() as patch:
        patch.setattr(SliceNetwork, "__call__", lambda self, stack, *_: stack.base.clone())
        expected = get("swift").prepare(target, reference, **settings)
    monkeypatch.setattr(SliceNetwork, "__call__", adding)
    found = get("swift").prepare(target, reference, **settings)
    assert expected.warnings == ()
    assert np.abs(found.array - expected.array).mean() < 0.1 * amplitude
    assert any("of the network's correction were left out" in warning for warning in found.warnings)
    monkeypatch.setattr(TrialAcquisition, "of", lambda *_: None)  # without a trial it is used
    untried = get("swift").prepare(target, reference, **settings)
    assert untried.warnings == () and np.abs(untried.array - expected.array).mean() > 0.5 * amplitude
