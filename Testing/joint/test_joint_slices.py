"""Joint total variation of batches of slices, the auxiliary image of networks."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="The networks need torch, which is not installed here.")

import MultiContrastSRLib as mc  # noqa: E402
from MultiContrastSRLib import Grid, Volume  # noqa: E402
from MultiContrastSRLib.acquisition.slices import SliceAcquisition  # noqa: E402
from MultiContrastSRLib.inference.slice_base import base_image  # noqa: E402
from MultiContrastSRLib.joint.slices import ITERATIONS, joint_tv  # noqa: E402
from MultiContrastSRLib.joint.volumes import joint_images  # noqa: E402
from MultiContrastSRLib.methods.joint_tv import joint_lattice  # noqa: E402
from MultiContrastSRLib.samples.phantom import head_phantom  # noqa: E402

SHAPE = (64, 56)


@pytest.fixture(scope="module")
def pair() -> tuple[Volume, Volume]:
    """One slice of two contrasts."""
    affine = np.diag([3.0, 3.0, 4.0, 1.0])
    affine[:3, 3] = (-84.0, -96.0, 12.0)
    grid = Grid((1, *SHAPE), affine)
    return head_phantom("T2", grid), head_phantom("T1", grid)


def tensor(volume: Volume) -> torch.Tensor:
    return torch.from_numpy(np.array(volume.array))


@pytest.mark.parametrize("factor", [2, 2.7, 4])
def test_single_slices_are_those_of_a_volume(pair, factor):
    truth, reference = pair
    target = mc.degrade(truth, "kspace", factor)
    acquisition = SliceAcquisition.of(SHAPE, (factor, factor))
    image = joint_tv(acquisition, acquisition.forward(tensor(truth)), tensor(reference))[0].numpy()
    _, on, across = joint_lattice(target, reference)
    whole = joint_images([[target], [reference]], on, across, iterations=ITERATIONS)[0][0]
    assert np.abs(whole[0] - image).max() < 2e-4 * np.ptp(image)


def test_it_knows_more_than_sinc_and_guided(pair):
    truth, reference = pair
    acquisition = SliceAcquisition.of(SHAPE, (3.0, 3.0))
    low = acquisition.forward(tensor(truth))
    sinc = base_image("sinc", acquisition, low, None)[0, 0]
    alone, joint = (joint_tv(acquisition, low, x)[0] for x in (None, tensor(reference)))
    errors = [float((x - tensor(truth)[0]).square().mean()) for x in (sinc, alone, joint)]
    assert errors[2] < 0.9 * errors[0] and errors[2] < 0.97 * errors[1] < 0.97 * errors[0], errors


def test_a_reference_of_the_target_s_resolution_is_used_too(pair):
    truth, reference = pair
    acquisition = SliceAcquisition.of(SHAPE, (2.0, 2.0))
    low, other = (acquisition.forward(tensor(volume)) for volume in (truth, reference))
    with_reference, alone = joint_tv(acquisition, low, other), joint_tv(acquisition, low, None)
    assert with_reference.shape == (1, *SHAPE) and not torch.equal(with_reference, alone)


def test_slices_of_a_batch_do_not_know_each_other(pair):
    truth, reference = pair
    acquisition = SliceAcquisition.of(SHAPE, (2.0, 4.0))
    both = torch.cat([tensor(truth), 3 * tensor(reference).flip(-1)])
    others = torch.cat([tensor(reference), tensor(truth)])
    together = joint_tv(acquisition, acquisition.forward(both), others)
    alone = joint_tv(acquisition, acquisition.forward(both[1:]), others[1:])
    assert torch.allclose(together[1:], alone, atol=1e-5 * float(both.max()))


def test_a_constant_reference_is_none(pair):
    acquisition = SliceAcquisition.of(SHAPE, (2.0, 2.0))
    low = acquisition.forward(tensor(pair[0]))
    assert torch.equal(joint_tv(acquisition, low, torch.full((1, *SHAPE), 7.0)), joint_tv(acquisition, low, None))


def test_a_slice_where_nothing_is_stays_so(pair):
    acquisition = SliceAcquisition.of(SHAPE, (2.0, 2.0))
    nothing = torch.zeros(1, *acquisition.measured)
    assert joint_tv(acquisition, nothing, tensor(pair[1])).abs().max() == 0
