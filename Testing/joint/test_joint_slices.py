"""Joint total variation of a batch of slices: on the device of its tensors, each slice by itself."""

from __future__ import annotations

import numpy as np
import pytest
from phantoms import pair

torch = pytest.importorskip("torch", reason="Joint total variation needs torch, which is not installed here.")

from MultiContrastSRLib.acquisition.noise import noise_of_samples, noise_of_slices  # noqa: E402
from MultiContrastSRLib.acquisition.slices import ACROSS, SliceAcquisition  # noqa: E402
from MultiContrastSRLib.core.progress import Monitor  # noqa: E402
from MultiContrastSRLib.joint import slices as joint_slices  # noqa: E402
from MultiContrastSRLib.joint.channel import make_channel, slice_channel  # noqa: E402
from MultiContrastSRLib.joint.observation import Observation  # noqa: E402
from MultiContrastSRLib.joint.reconstruction import reconstruct  # noqa: E402
from MultiContrastSRLib.joint.slices import ITERATIONS, joint_tv  # noqa: E402

SHAPE = (57, 44)
RATES = (0.0, 1.0, 1.0)


@pytest.fixture(scope="module")
def truths() -> tuple[torch.Tensor, torch.Tensor]:
    """Six slices of two contrasts of one head, with some noise."""
    rng = np.random.default_rng(0)
    images = [np.array(volume.array) for volume in pair((6, *SHAPE))]
    noisy = [image + rng.normal(0, 0.005 * np.ptp(image), image.shape) for image in images]
    return tuple(torch.from_numpy(image.astype(np.float32)) for image in noisy)


def at_once(acquisition: SliceAcquisition, target: torch.Tensor, reference: torch.Tensor | None) -> torch.Tensor:
    """As on a device other than the CPU: all slices in one batch of tensors."""
    return joint_slices._reconstructed(acquisition, target, reference, Monitor())


def one_by_one(acquisition: SliceAcquisition, target: torch.Tensor, reference: torch.Tensor | None) -> np.ndarray:
    """The images of slices as volumes of one slice each, reconstructed by the functions for volumes."""
    images = []
    for number in range(len(target)):
        part = slice(number, number + 1)
        observed = [(acquisition, target[part])]
        if reference is not None:
            low = reference.shape[1:] == target.shape[1:]
            own = acquisition if low else SliceAcquisition.of(SHAPE, (1.0, 1.0))
            observed.append((own, reference[part]))
        channels = []
        for own, samples in observed:
            operators = None, *(axis.forward(n) for axis, n in zip(own.axes, SHAPE, strict=True))
            array = samples.numpy()
            scan = Observation.from_operators(array, operators, own.zero_filled(samples).numpy())
            noise = noise_of_samples(array, (ACROSS, *own.axes))
            channels.append(make_channel([(scan, noise)], [array], RATES)[0])
        images.append(reconstruct(channels, RATES, iterations=ITERATIONS)[0])
    return np.concatenate(images)


@pytest.mark.parametrize("shown", ["high", "low", "none"])
@pytest.mark.parametrize("factors", [(2.0, 2.0), (3.0, 4.0)])
def test_a_batch_is_what_single_slices_are(truths, factors, shown):
    target, reference = truths
    acquisition = SliceAcquisition.of(SHAPE, factors)
    low = acquisition.forward(target)
    other = {"high": reference, "low": acquisition.forward(reference), "none": None}[shown]
    expected = one_by_one(acquisition, low, other)
    spread = np.ptp(expected, axis=(1, 2))
    for image in (joint_tv(acquisition, low, other), at_once(acquisition, low, other)):
        assert (np.abs(image.numpy() - expected).max(axis=(1, 2)) < 2e-5 * spread).all()


def test_the_other_slices_of_a_batch_change_no_bit(truths):
    target, reference = truths
    acquisition = SliceAcquisition.of(SHAPE, (2.0, 4.0))
    low = acquisition.forward(target)
    together = joint_tv(acquisition, low, reference)
    apart = [joint_tv(acquisition, *each) for each in zip(low.split(4), reference.split(4), strict=True)]
    assert torch.equal(together, torch.cat(apart))


@pytest.mark.parametrize("make", [joint_tv, at_once])
def test_a_constant_reference_is_none_and_a_constant_target_stays(truths, make):
    target, reference = truths[0].clone(), truths[1].clone()
    target[1], reference[2], reference[4] = 7.0, 0.0, 3.0
    acquisition = SliceAcquisition.of(SHAPE, (2.0, 2.0))
    low = acquisition.forward(target)
    image, alone = make(acquisition, low, reference), make(acquisition, low, None)
    assert torch.equal(image[[2, 4]], alone[[2, 4]])
    assert torch.equal(image[1], acquisition.zero_filled(low[1])) and torch.equal(alone[1], image[1])
    whole = make(acquisition, low, truths[1])
    assert torch.equal(image[[0, 3, 5]], whole[[0, 3, 5]]) and not torch.equal(image[2], whole[2])
    assert torch.equal(make(acquisition, low, torch.zeros_like(reference)), alone)


def test_the_image_can_be_trained_on(truths):
    """It is no inference tensor, unless made in inference mode; it has the type of the target."""
    acquisition = SliceAcquisition.of(SHAPE, (2.0, 2.0))
    low = acquisition.forward(truths[0][:1]).double()
    weight = torch.ones(1, dtype=torch.float64, requires_grad=True)
    (joint_tv(acquisition, low, None) * weight).sum().backward()
    assert float(weight.grad) == pytest.approx(float(truths[0][:1].sum()), rel=0.05)
    with torch.inference_mode():
        assert joint_tv(acquisition, low, None).dtype == torch.float64


def test_no_slices_have_no_images():
    acquisition = SliceAcquisition.of(SHAPE, (2.0, 2.0))
    assert joint_tv(acquisition, torch.zeros(0, *acquisition.measured), None).shape == (0, *SHAPE)


def test_noise_and_background_of_slices_are_those_of_single_scans(truths):
    samples = truths[0] + 100.0
    samples[1, :, :20] = 0.0  # a background, of which no noise is estimated
    samples[2] = 5.0
    axes = SliceAcquisition.of(SHAPE, (1.0, 1.0)).axes
    noise = noise_of_slices(samples, (ACROSS, *axes))
    scan = Observation.from_operators(samples.numpy(), (None,) * 3, samples.numpy())
    tensors = Observation((None,) * 3, torch.ones(1, 1, 1), samples, samples, (None,) * 3)
    channel, varies = slice_channel(tensors, samples, noise)
    for number, each in enumerate(samples.numpy()):
        assert float(noise[number]) == pytest.approx(noise_of_samples(each[None], (ACROSS, *axes)), rel=1e-6)
        part = slice(number, number + 1), slice(None), slice(None)
        expected, _ = make_channel([(scan.slices(part), 1.0)], [each], RATES)
        assert (expected is not None) == bool(varies[number])
        if expected is not None:
            assert float(channel.scale[number]) == pytest.approx(expected.scale, rel=1e-5)
            assert float(channel.floor[number]) == pytest.approx(expected.floor)


def test_it_knows_more_than_sinc_and_more_with_a_reference(truths):
    target, reference = truths
    acquisition = SliceAcquisition.of(SHAPE, (3.0, 3.0))
    low = acquisition.forward(target)
    images = acquisition.zero_filled(low), joint_tv(acquisition, low, None), joint_tv(acquisition, low, reference)
    sinc, alone, joint = (float((image - target).square().mean()) for image in images)
    assert joint < 0.9 * sinc and joint < 0.97 * alone < 0.97 * sinc, (sinc, alone, joint)
