"""The auxiliary image by joint total variation."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="The networks need torch, which is not installed here.")

import MultiContrastSRLib as mc  # noqa: E402
from MultiContrastSRLib import Grid, Volume  # noqa: E402
from MultiContrastSRLib.acquisition.model import AcquisitionModel  # noqa: E402
from MultiContrastSRLib.acquisition.slices import SliceAcquisition  # noqa: E402
from MultiContrastSRLib.core.errors import CancelledError  # noqa: E402
from MultiContrastSRLib.core.progress import Monitor  # noqa: E402
from MultiContrastSRLib.inference.auxiliary_image import JointTVSlices  # noqa: E402
from MultiContrastSRLib.inference.correction_inputs import correction_inputs  # noqa: E402
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


def gap(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max() / np.ptp(b))


@pytest.mark.parametrize("shown", ["high", "low", "none"])
@pytest.mark.parametrize("factor", [2, 2.7, 4])
def test_single_slices_are_those_of_a_volume(pair, factor, shown):
    """What a network is trained on is what it is given."""
    truth, reference = pair
    target = mc.degrade(truth, "kspace", factor)
    acquisition = SliceAcquisition.of(SHAPE, (factor, factor))
    low, other, seen = acquisition.forward(tensor(truth)), tensor(reference), reference
    if shown == "low":
        seen, other = mc.degrade(reference, "kspace", factor), acquisition.forward(other)
    elif shown == "none":
        seen = other = None
    image = joint_tv(acquisition, low, other)[0].numpy()
    lattice = AcquisitionModel.estimate(target).lattice(truth.shape)
    slices = JointTVSlices(target, seen, lattice, 0, "cpu", Monitor())
    made = slices.stack(slice(0, 1), Monitor())[0]
    if shown == "low":  # is interpolated by sinc here and by spline there, to begin with
        assert np.sqrt(np.mean((made - image) ** 2)) < 0.01 * np.ptp(image)
    else:
        assert gap(made, image) < 2e-4
    if shown == "high":
        _, on, across = joint_lattice(target, reference)
        whole = joint_images([[target], [reference]], on, across, iterations=ITERATIONS)[0][0]
        assert gap(whole[0], image) < 2e-4


def test_it_knows_more_than_the_sinc(pair):
    truth, reference = pair
    acquisition = SliceAcquisition.of(SHAPE, (3.0, 3.0))
    low = acquisition.forward(tensor(truth))
    guided, joint = correction_inputs("guided+joint-tv", acquisition, low, tensor(reference))[0]
    sinc = correction_inputs("sinc", acquisition, low, None)[0, 0]
    alone = correction_inputs("guided+joint-tv", acquisition, low, None)[0]
    errors = [float((x - tensor(truth)[0]).square().mean()) for x in (sinc, guided, alone[1], joint)]
    assert errors[3] < 0.9 * errors[0] and errors[3] < 0.97 * errors[2] < 0.97 * errors[0], errors
    assert torch.equal(alone[0], sinc)  # without a reference guided is the sinc


def test_slices_of_a_batch_do_not_know_each_other(pair):
    truth, reference = pair
    acquisition = SliceAcquisition.of(SHAPE, (2.0, 4.0))
    both = torch.cat([tensor(truth), 3 * tensor(reference).flip(-1)])
    others = torch.cat([tensor(reference), tensor(truth)])
    together = joint_tv(acquisition, acquisition.forward(both), others)
    alone = joint_tv(acquisition, acquisition.forward(both[1:]), others[1:])
    assert torch.equal(together[1:], alone)


def test_a_slice_where_nothing_is_stays_so(pair):
    acquisition = SliceAcquisition.of(SHAPE, (2.0, 2.0))
    nothing = torch.zeros(1, *acquisition.measured)
    assert joint_tv(acquisition, nothing, tensor(pair[1])).abs().max() == 0


@pytest.mark.parametrize("across", [0, 1, 2])
def test_slices_in_any_number_and_order(across):
    """Of thick slabs that overlap, and of an isotropic volume along any axis."""
    grid = Grid((20, 36, 28), np.diag([5.0, 5.0, 5.0, 1.0]))
    truth, reference = head_phantom("T2", grid), head_phantom("T1", grid)
    factors = [1 if axis == across else 2 for axis in range(3)]
    target = mc.degrade(truth, "kspace", factors)
    lattice = AcquisitionModel.estimate(target).lattice(truth.shape)
    slices = JointTVSlices(target, reference, lattice, across, "cpu", Monitor())
    all_of_them = slices.stack(slice(0, truth.shape[across]), Monitor())
    assert all_of_them.shape == np.moveaxis(truth.array, across, 0).shape
    for numbers in (slice(9, 11), slice(3, 4)):
        assert gap(slices.stack(numbers, Monitor()), all_of_them[numbers]) < 1e-4
    assert slices.nbytes >= truth.array.nbytes
    with pytest.raises(CancelledError):
        slices.stack(slice(0, 4), Monitor(None, lambda: True))


def test_slabs_that_overlap_are_taken_one_by_one(pair):
    array = np.repeat(np.array(pair[0].array), 4, axis=0)
    thick = Volume(array, np.diag([3.0, 3.0, 3.0, 1.0]), "thick", {"slice_thickness": 7.0})
    model = AcquisitionModel.estimate(thick)
    slices = JointTVSlices(thick, None, model.lattice((4, 128, 112)), 0, "cpu", Monitor())
    images = slices.stack(slice(0, 4), Monitor())
    assert images.shape == (4, 128, 112) and gap(images[1], images[2]) < 1e-4
