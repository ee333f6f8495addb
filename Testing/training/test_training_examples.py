"""Training: degradation and base on batches, examples and their augmentation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="Training needs torch, which is not installed here.")

from phantoms import pair  # noqa: E402
from training_fixtures import RICH, phantom_pack, phantom_stack, recipe  # noqa: E402

from MultiContrastSRLib.acquisition.axis import AxisModel  # noqa: E402
from MultiContrastSRLib.acquisition.degrade import degrade  # noqa: E402
from MultiContrastSRLib.acquisition.slices import SliceAcquisition  # noqa: E402
from MultiContrastSRLib.guided.regression import Level, learn, transfer  # noqa: E402
from MultiContrastSRLib.guided.slices import guided  # noqa: E402
from MultiContrastSRLib.image.sampling import apply_separable  # noqa: E402
from MultiContrastSRLib.networks.intensity import estimate_normalisation  # noqa: E402
from MultiContrastSRLib.networks.positions import Positions, sample_linear  # noqa: E402
from MultiContrastSRLib.networks.registry import light  # noqa: E402
from MultiContrastSRLib.training import loop  # noqa: E402
from MultiContrastSRLib.training.data import augmentation  # noqa: E402
from MultiContrastSRLib.training.data.examples import Examples  # noqa: E402
from MultiContrastSRLib.training.data.pack import Pack  # noqa: E402
from MultiContrastSRLib.training.data.synthetic import synthetic_pair  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


def rng(seed=0) -> np.random.Generator:
    return np.random.default_rng(seed)


# ---------------------------------------------------------------------- degradation and base


@pytest.mark.parametrize(("kind", "factors"), [("kspace", (1.0, 2.7, 1.4)), ("slab", (1.0, 4.0, 1.0))])
def test_the_degradation_is_the_librarys(kind, factors):
    volume = pair((3, 50, 45))[0]
    kinds = ("kspace", "kspace") if kind == "kspace" else ("slab", "slab")
    acquisition = SliceAcquisition.of((50, 45), factors[1:], kinds)
    low = acquisition.forward(torch.from_numpy(volume.array.copy()))
    expected = degrade(volume, kind, factors)
    assert np.abs(low.numpy() - expected.array).max() < 1e-3 * volume.array.max()
    # a point of the truth lies at the same place of the patient by both
    where = Positions.regular((50, 45), acquisition.lattice)
    index = np.array([[1.0, float(where.rows_t[17]), float(where.cols_t[31])]])
    assert np.allclose(expected.grid.positions(index), volume.grid.positions(np.array([[1.0, 17, 31]])), atol=1e-6)


@pytest.mark.parametrize(
    ("factors", "kinds"),
    [((2, 2), ("kspace", "kspace")), ((3.3, 1.7), ("kspace", "kspace")), ((1, 4), ("kspace", "slab"))],
)
def test_the_guided_base_is_the_librarys(factors, kinds):
    shape = (96, 88)
    target, reference = (torch.from_numpy(v.array.copy()) for v in pair((3, *shape)))
    acquisition = SliceAcquisition.of(shape, factors, kinds)
    low = acquisition.forward(target)
    found = guided(acquisition, low, reference)
    refined = (False, *(n > axis.samples for n, axis in zip(shape, acquisition.axes, strict=True)))
    level = Level((AxisModel("slab", 1, 1.0, 1.0), *acquisition.axes), (1, *shape), refined)
    for number in range(3):
        y, r = low[number : number + 1].numpy(), reference[number : number + 1].numpy()
        model = learn(level, y, r)
        assert model.helps
        zero_filled = apply_separable(y, [None, *(
            None if n == axis.samples else axis.spread(n) if axis.kind == "kspace" else axis.interpolate(n)
            for n, axis in zip(shape, acquisition.axes, strict=True)
        )])  # fmt: skip
        expected = zero_filled + transfer(level, model, y, r, np.ones_like(y))
        assert np.abs(found[number].numpy() - expected[0]).max() < 1e-3 * float(target.max())


def test_consistency_puts_the_record_back():
    acquisition = SliceAcquisition.of((48, 40), (2.0, 3.0))
    image, low = torch.rand(2, 48, 40), torch.rand(2, *acquisition.measured)
    assert torch.allclose(acquisition.forward(acquisition.consistent(image, low)), low, atol=1e-4)


# ---------------------------------------------------------------------- examples


def test_intensities():
    image = torch.rand(3, 1, 20, 20) * 700 + 50
    percentiles = (0.005, 0.995)
    for spec, (low, high) in {
        light("dinet"): percentiles, light("minet"): percentiles, light("minet", base="none"): (None, None),
    }.items():  # fmt: skip
        found = estimate_normalisation(image, spec)
        seen = found.apply(image)
        assert torch.allclose(found.undo(seen), image, rtol=1e-4)
        if low is None:
            assert torch.allclose(seen.mean((1, 2, 3)), torch.zeros(3), atol=1e-4)
            assert torch.allclose(seen.std((1, 2, 3), correction=0), torch.ones(3), atol=1e-4)
        else:
            levels = torch.quantile(seen.flatten(1), torch.tensor([low, high]), dim=1)
            assert torch.allclose(levels, torch.tensor([[0.0], [1.0]]).expand(2, 3), atol=1e-4)


def test_examples_depend_on_seed_step_and_number_alone():
    pack, r = phantom_pack(2), recipe(**RICH, curriculum={"low_reference": 0.5})
    whole, again = Examples(pack, r)[5], Examples(pack, r)[5]
    part = Examples(pack, r, part=slice(1, None, 2))[5]
    assert torch.equal(whole.truth, again.truth) and torch.equal(whole.target, again.target)
    assert torch.allclose(whole.truth[1::2], part.truth, atol=1e-6)
    assert torch.allclose(whole.base[1::2], part.base, atol=1e-5)
    assert not torch.equal(whole.truth[:, :, :48, :48], Examples(pack, r)[6].truth[:, :, :48, :48])


@pytest.mark.parametrize("reference", [0.0, 1.0])
@pytest.mark.parametrize("factor", [1.7, 2.0, 3.0])
def test_patches_lie_where_their_positions_say(factor, reference):
    wanted = {"scales": [factor, factor], "slice_sizes": [72], "scale_step": 0.0}
    r = recipe(degradation=wanted, curriculum={"low_reference": reference}, optimisation={"patch": 16, "batch_size": 3})
    batch = Examples(phantom_pack(2), r)[1]
    assert batch.target.shape[-2:] == (16, 16)
    inner = (..., slice(4, -4), slice(4, -4))

    def error(image, positions, shift=0.0):
        there = sample_linear(image, positions[0] + shift, positions[1] + shift)
        return float((there - batch.base)[inner].abs().mean())

    places = batch.positions
    at = error(batch.target, places.in_target)
    assert at < min(error(batch.target, places.in_target, 0.3), error(batch.target, places.in_target, -0.3))
    assert batch.reference.shape[-2:] == (batch.target if reference else batch.truth).shape[-2:]
    if not reference:
        assert torch.allclose(places.rows_r, torch.arange(len(places.rows_r), dtype=torch.float64))


def test_patches_of_a_network_of_one_scale_begin_on_a_target_pixel():
    wanted = {"scales": [2, 2], "slice_sizes": [72]}
    r = recipe("minet", degradation=wanted, optimisation={"patch": 16, "batch_size": 3})
    for step in range(4):
        batch = Examples(phantom_pack(2), r)[step]
        assert tuple(batch.truth.shape[-2:]) == (32, 32) == tuple(batch.base.shape[-2:])
        assert torch.allclose(batch.positions.rows_t, torch.arange(32, dtype=torch.float64) / 2)


def test_windows_cost_the_same_at_every_scale_and_the_last_batches_are_whole():
    wanted = {"scales": [1.5, 4.0], "slice_sizes": [72], "scale_step": 0.0}
    optimisation = {
        "patch": 16,
        "output_patch": 32,
        "batch_size": 3,
        "steps": 10,
        "whole_slices": 0.2,
        "whole_slice_batch_size": 2,
    }
    examples = Examples(phantom_pack(2), recipe(degradation=wanted, optimisation=optimisation))
    shapes = [tuple(examples[step].truth.shape) for step in range(10)]
    assert all(b == 3 and abs(h - 32) <= 4 and abs(w - 32) <= 4 for b, _, h, w in shapes[:8])
    assert shapes[8:] == [(2, 1, 72, 72)] * 2


def test_without_whole_slices_every_process_has_its_part_of_the_last_batch(monkeypatch, tmp_path):
    """The second of two had none of the batch after the last, which was made ahead."""
    wanted = recipe(
        optimisation={"output_patch": 24, "batch_size": 4, "steps": 2, "validate_every": 0},
        degradation={"slice_sizes": [72]},
    )
    examples = Examples(phantom_pack(2), wanted, part=slice(2, 4))
    assert [len(examples[step].truth) for step in (1, 2)] == [2, 2]
    asked, batch = [], Examples.__getitem__
    monkeypatch.setattr(Examples, "__getitem__", lambda self, step: asked.append(step) or batch(self, step))
    loop.train(wanted, phantom_pack(2), tmp_path)
    assert asked == [0, 1]


@pytest.mark.parametrize("slab", [0.0, 1.0])
def test_a_patch_is_a_field_of_view_of_its_own(slab):
    wanted = {"scales": [2.0, 2.0], "slice_sizes": [72], "scale_step": 0.0, "slab": slab}
    batch = Examples(phantom_pack(2), recipe(degradation=wanted, optimisation={"patch": 16, "batch_size": 3}))[1]
    acquisition = batch.acquisition
    assert acquisition.measured == tuple(batch.target.shape[-2:]) and acquisition.fine == tuple(batch.truth.shape[-2:])
    assert ("slab" in {axis.kind for axis in acquisition.axes}) == bool(slab)
    recorded = acquisition.forward(batch.truth)
    # an error that the record rules out is none, and one that it cannot see stays
    assert torch.allclose(acquisition.consistent(batch.truth + 0.1, recorded), batch.truth, atol=1e-4)
    fine = torch.zeros_like(batch.truth)
    fine[..., ::2, ::2], fine[..., 1::2, ::2], fine[..., ::2, 1::2], fine[..., 1::2, 1::2] = 0.1, -0.1, -0.1, 0.1
    left = acquisition.consistent(batch.truth + fine, recorded) - batch.truth
    assert left.abs().mean() > 0.05


def test_synthetic_contrasts_are_aligned_and_unlike():
    labels = torch.zeros(60, 60, dtype=torch.uint8)
    labels[10:50, 10:50], labels[20:40, 20:40], labels[0:6, 0:6] = 1, 2, 3
    brain = torch.tensor([False, True, True, False])
    pairs = [synthetic_pair(labels, brain, rng(seed)) for seed in range(8)]
    assert torch.equal(pairs[0], synthetic_pair(labels, brain, rng(0))) and not torch.equal(pairs[0], pairs[1])
    means = np.array([[float(p[c][25:35, 25:35].mean()) for c in range(2)] for p in pairs])
    assert np.std(means[:, 0]) > 0.1 and np.abs(means[:, 0] - means[:, 1]).max() > 0.2
    skulls = [float(p[0][1:5, 1:5].mean()) for p in pairs]
    assert min(skulls) < 0.01 < max(skulls)  # stripped in some
    assert all(float(p[:, 55:, 20:30].abs().max()) < 0.02 for p in pairs)  # air
    examples = Examples(Pack(phantom_pack().stacks, (labels.numpy()[None].repeat(24, 0),), (0, 2, 3, 24)),
                        recipe(augmentation={"synthetic": 1.0}))  # fmt: skip
    assert torch.isfinite(examples[0].truth).all()


def test_structures_are_inserted_into_the_reference_alone():
    scan = torch.full((2, 96, 96), 0.5)
    changed = (augmentation.insert_reference_lesions(scan, rng()) - scan).abs() > 0.02
    assert not changed[0].any() and 0.02 < float(changed[1].float().mean()) < 0.5
    pack, r = phantom_pack(2), recipe(**RICH)
    r = replace(
        r,
        augmentation=replace(r.augmentation, reference_lesions=1.0),
        optimisation=replace(r.optimisation, output_patch=40),
    )
    batches = [b for b in map(Examples(pack, r).__getitem__, range(6)) if b.reference_lesions]
    assert batches
    for batch in batches:
        (low, twin), (before, after) = batch.target.chunk(2), batch.reference.chunk(2)
        assert len(batch.truth) == 4 and torch.equal(low, twin) and torch.equal(*batch.truth.chunk(2))
        assert ((after - before).abs() > 0.02).any()
    parts = [Examples(pack, r, part=slice(n, None, 2))[0] for n in range(2)]
    assert all(p.reference_lesions and len(p.truth) == 2 for p in parts)


def test_examples_show_something():
    """Slices without tissue are drawn again: their intensity would be that of noise."""
    stack = phantom_stack("train", 1)
    images = stack.images.copy()
    images[:, 4:, :, :] = 0
    images[:, 4:, 10:13, 10:14] = 0.5  # not enough
    pack = Pack((replace(stack, images=images),))
    made = Examples(pack, recipe(optimisation={"batch_size": 4}))
    # as if they had passed the pack's own check
    made._slices, made._stack_shares = [(0, [(0, n) for n in range(len(images[0]))])], np.ones(1)
    for step in range(4):
        assert float(made[step].target.flatten(1).amax(1).max()) < 3


def test_scans_are_drawn_by_the_square_root_of_their_slices():
    stacks = (phantom_stack("train", 1, 4), phantom_stack("train", 2, 16))
    examples = Examples(Pack(stacks), recipe())
    assert [len(found) for _, found in examples._slices] == [4, 16]
    draws = rng()
    mean = [float(stack.images.astype(np.float32).mean()) for stack in stacks]
    drawn = [float(examples._from_scans(draws).mean()) for _ in range(300)]
    nearest = np.abs(np.subtract.outer(drawn, mean)).argmin(axis=1)
    assert abs(np.mean(nearest == 0) - 1 / 3) < 0.12  # by their slices it were a fifth


def test_sources_without_slices_are_never_drawn():
    empty = phantom_stack("train", 1)
    empty = replace(empty, images=np.zeros_like(empty.images))
    examples = Examples(Pack((empty, phantom_stack("train", 2))), recipe())
    assert len(examples._stacks) == len(examples._slices) == 1
    assert all(float(examples._from_scans(rng(seed)).max()) > 0.1 for seed in range(8))
