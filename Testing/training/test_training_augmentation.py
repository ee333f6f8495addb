"""Training: every augmentation and degradation does what it says, and only where its share is above 0."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="Training needs torch, which is not installed here.")

from phantoms import pair  # noqa: E402
from training_fixtures import phantom_pack, recipe  # noqa: E402

from MultiContrastSRLib.acquisition.slices import SliceAcquisition  # noqa: E402
from MultiContrastSRLib.training.data import augmentation, random_fields  # noqa: E402
from MultiContrastSRLib.training.data.batch import Batch, make_batch  # noqa: E402
from MultiContrastSRLib.training.data.degradation import BatchDegradation, draw_degradation  # noqa: E402
from MultiContrastSRLib.training.data.examples import Examples  # noqa: E402
from MultiContrastSRLib.training.recipe import Augmentation  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = (60, 48)
AT_TWO = BatchDegradation((2.0, 2.0), ("kspace", "kspace"), SHAPE, "high")


def rng(seed=0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def scan() -> torch.Tensor:
    """Two contrasts (2, 60, 48) in 0…1."""
    images = [v.array[0] / np.percentile(v.array, 99.9) for v in pair((1, *SHAPE))]
    return torch.from_numpy(np.stack(images)).float().clamp(0, 1)


# ---------------------------------------------------------------------- images


def test_augmentations():
    image = torch.zeros(48, 48)
    image[20:28, 18:30] = 1.0
    rows = torch.arange(48.0)

    def center(x):
        return np.array([float((x.sum(1 - d) * rows).sum() / x.sum()) for d in range(2)])

    assert torch.allclose(augmentation.misregister(image, 0.0, rng()), image, atol=1e-4)
    moves = [np.linalg.norm(center(augmentation.misregister(image, 1.5, rng(s))) - center(image)) for s in range(20)]
    assert 0.5 < max(moves) < 1.8
    ramp = torch.linspace(0, 1, 48).expand(48, 48)
    for seed in range(10):
        assert (augmentation.random_intensity_curve(ramp, rng(seed)).diff(dim=1) >= -1e-6).all()
        turned = augmentation.invert_intensities(ramp, rng(seed))
        assert (turned[:, 3:].diff(dim=1) <= 1e-6).all() and abs(float(turned[0, 4]) - 1 + 4 / 47) < 1e-5


def test_lesions_enter_one_image_or_both():
    scan = torch.full((2, 64, 64), 0.5)
    changed = [((augmentation.insert_lesions(scan, rng(s)) - scan).abs() > 0.02).flatten(1).any(1).tolist()
               for s in range(30)]  # fmt: skip
    assert {tuple(c) for c in changed} == {(True, False), (False, True), (True, True)}
    assert torch.equal(augmentation.insert_lesions(scan * 0, rng()), scan * 0)  # no tissue, no lesion


def test_slices_are_fitted_to_the_canvas_without_a_jump():
    image = torch.ones(2, 40, 70)
    found = augmentation.pad_or_crop(image, (48, 48), rng())
    assert found.shape == (2, 48, 48) and float(found.max()) == 1.0
    assert float(found[..., 0].max()) < 0.05 and float(found[..., -1].max()) < 0.05  # cut off, faded out
    assert int((found[0, :, 24] > 0).sum()) == 40  # padded
    assert torch.equal(augmentation.pad_or_crop(image, (40, 70)), image)


def test_slices_may_be_cut_as_in_a_scan_of_a_part_of_the_body(scan):
    cut = augmentation.pad_or_crop(scan, (40, 30), rng(), fade=False)
    places = [(r, c) for r in range(21) for c in range(19) if torch.equal(scan[:, r : r + 40, c : c + 30], cut)]
    assert len(places) == 1
    faded = augmentation.pad_or_crop(scan, (40, 30), rng())
    assert torch.equal(faded[:, 8:-8, 8:-8], cut[:, 8:-8, 8:-8]) and float(faded[..., 0].abs().max()) < 0.05


@pytest.mark.parametrize("factor", [1.0, 1.2, 1.35])
def test_a_coarsened_pair_is_what_a_coarser_scan_records(factor, scan):
    """Its spectrum reaches its own Nyquist frequency, as that of a measured image."""
    found = augmentation.coarsened(scan, factor)
    acquisition = SliceAcquisition.of(SHAPE, (factor, factor))
    assert found.shape == (2, *acquisition.measured)
    assert torch.equal(found, acquisition.forward(scan))
    assert factor != 1 or torch.allclose(found, scan, atol=1e-6)
    assert augmentation.coarsened(scan[:, :18, :18], 2.0).shape == (2, 16, 16)  # never too small for an acquisition


def test_a_deformed_image_is_moved_by_no_more_than_the_shift_and_not_everywhere_alike():
    rows = torch.arange(60.0)[:, None].expand(60, 48).contiguous()
    assert torch.allclose(augmentation.deform(rows, 0.0, rng()), rows, atol=1e-3)
    moved = (augmentation.deform(rows, 2.0, rng()) - rows)[8:-8, 8:-8]
    assert 0.5 < float(moved.abs().max()) < 2.6  # bicubic between the points
    assert float(moved.max()) > 0 > float(moved.min())
    assert float(moved.diff(dim=0).abs().max()) < 0.7 and float(moved.diff(dim=1).abs().max()) < 0.7  # smooth


def test_a_random_region_is_irregular_soft_and_about_a_half():
    maps = [random_fields.random_region(SHAPE, rng(seed), torch.device("cpu")) for seed in range(40)]
    assert all(m.shape == SHAPE and float(m.min()) >= 0 and float(m.max()) <= 1 for m in maps)
    assert 0.4 < np.mean([float(m.mean()) for m in maps]) < 0.6
    both = [m for m in maps if float(m.min()) == 0 and float(m.max()) == 1]
    assert len(both) > 30  # sure of either in most
    assert all(float(m.diff(dim=dim).abs().max()) < 0.9 for m in maps for dim in (0, 1))  # no step
    assert torch.equal(maps[0], random_fields.random_region(SHAPE, rng(0), torch.device("cpu")))


def test_bias_fields_are_smooth_and_one_for_each_image():
    field = random_fields.bias_fields(SHAPE, rng(), torch.device("cpu"))
    assert field.shape == (2, *SHAPE) and float((field[0] - field[1]).abs().max()) > 0.05
    assert 0.6 < float(field.min()) < float(field.max()) < 1.6 and float(field.diff(dim=-1).abs().max()) < 0.06


# ---------------------------------------------------------------------- shares


def changed(settings: Augmentation, scan: torch.Tensor, seeds: range = range(12)) -> list[list[bool]]:
    """For every seed, whether the augmentation of intensities changes (target, reference)."""
    made = [augmentation.augment_intensities(scan, settings, rng(seed)) for seed in seeds]
    return [[not torch.equal(m[n], scan[n]) for n in range(2)] for m in made]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bias_field", [True, True]),
        ("target_curve", [True, False]),
        ("target_inversion", [True, False]),
        ("intensity_curve", [False, True]),
        ("intensity_inversion", [False, True]),
    ],
)
def test_intensities_change_in_the_images_that_are_named(name, expected, scan):
    assert changed(Augmentation(**{name: 1.0}), scan) == [expected] * 12
    some = changed(Augmentation(**{name: 0.5}), scan, range(200))
    assert abs(np.mean([max(each) for each in some]) - 0.5) < 0.15


@pytest.mark.parametrize("name", ["shifted", "locally_shifted", "partly_wrong"])
def test_the_reference_changes_by_its_share(name, scan):
    settings = Augmentation(max_shift=2.0, **{name: 1.0})
    made = [augmentation.augment_reference(scan[1], scan[0], settings, rng(seed)) for seed in range(12)]
    assert all(torch.isfinite(m).all() and float((m - scan[1]).abs().max()) > 0.05 for m in made)
    half = replace(settings, **{name: 0.5})
    kept = [torch.equal(augmentation.augment_reference(scan[1], scan[0], half, rng(s)), scan[1]) for s in range(200)]
    assert abs(np.mean(kept) - 0.5) < 0.15


def test_a_partly_wrong_reference_is_the_other_slice_in_a_region(scan):
    settings, other = Augmentation(partly_wrong=1.0), torch.full(SHAPE, 2.0)
    made = augmentation.augment_reference(scan[1], other, settings, rng(3))
    right, wrong = made == scan[1], made == 2.0
    assert 0.05 < float(right.float().mean()) < 0.95 and 0.05 < float(wrong.float().mean()) < 0.95
    assert ((made >= scan[1] - 1e-6) & (made <= 2.0)).all()


def test_varied_images_stay_finite():
    everything = Augmentation(
        bias_field=1.0, target_curve=1.0, target_inversion=1.0, intensity_curve=1.0, intensity_inversion=1.0,
        max_shift=1.5, shifted=1.0, locally_shifted=1.0, partly_wrong=1.0,
    )  # fmt: skip
    for scan in (torch.rand(2, 40, 40), torch.zeros(2, 40, 40), torch.ones(2, 40, 40)):
        assert torch.isfinite(augmentation.augment_intensities(scan, everything, rng())).all()
        assert torch.isfinite(augmentation.augment_reference(scan[1], scan[0], everything, rng())).all()


def test_shares_of_zero_leave_examples_unchanged(scan):
    nothing = Augmentation(max_shift=2.0)
    for seed in range(8):
        assert torch.equal(augmentation.augment_intensities(scan, nothing, rng(seed)), scan)
        assert torch.equal(augmentation.augment_reference(scan[1], scan[0], nothing, rng(seed)), scan[1])
    r = recipe(augmentation={"flips": False}, degradation={"slice_sizes": [80]})
    stack = torch.from_numpy(phantom_pack().stacks[0].images).float()
    for number in range(2):
        batch = Examples(phantom_pack(), r)[number]
        truth = batch.intensity.undo(batch.truth)
        for image in truth[:, 0]:  # a slice of the scan, padded
            content = image[:, image.amax(0) > 1e-3]
            assert any(
                torch.allclose(stack[c, k][:, stack[c, k].amax(0) > 1e-3], content, atol=1e-3)
                for c in range(2)
                for k in range(6)
                if stack[c, k][:, stack[c, k].amax(0) > 1e-3].shape == content.shape
            )


def batch_of(step: int, **parts: dict) -> Batch:
    return Examples(phantom_pack(), recipe(**parts))[step]


SETTINGS = {
    "augmentation": {
        "hard_edges": 1.0, "max_coarsening": 1.35, "bias_field": 1.0, "target_curve": 1.0, "target_inversion": 1.0,
        "locally_shifted": 1.0, "partly_wrong": 1.0, "partly_absent": 1.0, "offset": 0.1,
    },
    "degradation": {"noise": 0.1, "magnitude": 1.0, "apodised": 1.0, "eight_bit": 1.0},
}  # fmt: skip


@pytest.mark.parametrize(("part", "name"), [(part, name) for part, names in SETTINGS.items() for name in names])
def test_every_setting_changes_examples_and_the_seed_alone_decides_how(part, name):
    """Each by itself, from examples that do not vary otherwise."""
    values = {name: SETTINGS[part][name]}
    if part == "augmentation" and name == "locally_shifted":
        values["max_shift"] = 2.0
    if name == "magnitude":
        values["noise"] = 0.1
    without = {"noise": 0.1} if name == "magnitude" else {}
    plain = batch_of(3, **({part: without} if without else {}))
    one, two = (batch_of(3, **{part: values}) for _ in range(2))
    for image in ("target", "truth", "reference", "base"):
        assert torch.equal(getattr(one, image), getattr(two, image)) and getattr(one, image).isfinite().all()
    images = ("target", "truth", "reference")
    assert any(not torch.equal(getattr(one, image), getattr(plain, image)) for image in images)


def test_every_new_share_is_tried_above():
    tried = {name for names in SETTINGS.values() for name in names}
    others = {  # tested elsewhere
        "synthetic", "flips", "intensity_curve", "intensity_inversion", "max_shift", "shifted", "wrong_reference",
        "no_reference", "lesions", "reference_lesions", "gain",
    }  # fmt: skip
    assert {field.name for field in fields(Augmentation)} <= tried | others


# ---------------------------------------------------------------------- degradation


def degraded(scan: torch.Tensor, by: BatchDegradation = AT_TWO, seed: int | None = 0, **settings) -> Batch:
    return make_batch(recipe(**settings), scan[None], by, None if seed is None else [rng(seed)])


def in_scan_units(batch: Batch) -> torch.Tensor:
    return batch.intensity.undo(batch.target)[0, 0]


def test_magnitudes_are_never_negative_and_noise_adds_to_air(scan):
    empty = torch.zeros_like(scan)
    empty[:, 20:40, 16:32] = 1.0
    air = slice(0, 6)
    real, magnitude = (
        torch.stack([in_scan_units(degraded(empty, seed=seed, degradation=settings))[air] for seed in range(20)])
        for settings in ({"noise": 0.05}, {"noise": 0.05, "magnitude": 1.0})
    )
    assert float(real.min()) < 0 <= float(magnitude.min())
    assert abs(float(real.mean())) < 0.2 * float(magnitude.mean())  # Rician
    clean = in_scan_units(degraded(scan, degradation={"magnitude": 1.0}))
    assert torch.allclose(clean, in_scan_units(degraded(scan, seed=None)).abs(), atol=1e-5)


def test_eight_bit_targets_have_at_most_256_values(scan):
    plain, stored = (in_scan_units(degraded(scan, degradation={"eight_bit": share})) for share in (0.0, 1.0))
    step = float(plain.max()) / 255
    assert float((stored - plain).abs().max()) <= 0.501 * step
    levels = stored / step
    assert float((levels - levels.round()).abs().max()) < 1e-2 and len(levels.round().unique()) <= 300
    assert len(plain.unique()) > 600


def test_apodised_targets_are_weaker_towards_the_border_of_kspace(scan):
    plain = in_scan_units(degraded(scan, seed=None))
    weaker = in_scan_units(degraded(scan, AT_TWO._replace(border_gain=0.4), None))
    ratio = (torch.fft.fft2(weaker).abs() / torch.fft.fft2(plain).abs().clamp(min=1e-6)).numpy()
    assert ratio[0, 0] == pytest.approx(1.0, abs=1e-4)
    assert ratio[15, 0] == pytest.approx(0.4, abs=1e-3) and ratio[0, 12] == pytest.approx(0.4, abs=1e-3)
    assert ratio[15, 12] == pytest.approx(0.16, abs=1e-3)
    assert (np.diff(ratio[:16, 0]) < 1e-3).all()


def test_shares_of_the_batches():
    r = recipe(degradation={"apodised": 0.3}, augmentation={"partly_absent": 0.2, "no_reference": 0.2})
    drawn = [draw_degradation(r, 10**6, rng(seed)) for seed in range(1000)]
    gains = [d.border_gain for d in drawn if d.border_gain < 1]
    assert abs(len(gains) / 1000 - 0.3) < 0.06 and 0.3 <= min(gains) < 0.35 < 0.85 < max(gains) <= 0.9
    high = [d for d in drawn if d.reference == "high"]
    assert abs(np.mean([d.partly_absent for d in high]) - 0.2) < 0.06
    assert not any(d.partly_absent for d in drawn if d.reference != "high")
    plain = [draw_degradation(recipe(), 5, rng(seed)) for seed in range(50)]
    assert all(d.border_gain == 1 and not d.partly_absent for d in plain)


def test_a_partly_absent_reference_is_zero_and_unused_in_a_region(scan):
    wanted = {"model": {"base": "guided"}}
    whole = degraded(scan, seed=1, **wanted)
    none = degraded(scan, AT_TWO._replace(reference="none"), 1, **wanted)
    part = degraded(scan, AT_TWO._replace(partly_absent=True), 1, **wanted)
    absent = (part.reference == 0) & (whole.reference.abs() > 0.05)
    present = (part.reference == whole.reference) & (whole.reference.abs() > 0.05)
    assert absent.float().mean() > 0.02 and present.float().mean() > 0.02
    # the base image has the detail of the reference where that is present; data consistency acts across the border

    def distance(one: Batch, where: torch.Tensor) -> float:
        return float((part.base - one.base)[where].square().mean())

    assert distance(whole, present) < 0.3 * distance(none, present)
    assert distance(none, absent) < 0.3 * distance(whole, absent)


@pytest.mark.parametrize("name", ["gain", "offset"])
def test_errors_of_the_normalisation_are_bounded(name, scan):
    exact = degraded(scan, seed=None)
    for seed in range(12):
        found = degraded(scan, seed=seed, augmentation={name: 0.1})
        ratio = float(found.intensity.scale / exact.intensity.scale)
        moved = float((found.intensity.offset - exact.intensity.offset) / exact.intensity.scale)
        assert abs(ratio - 1) <= 0.1 + 1e-4 and abs(moved) <= 0.1 + 1e-4
        assert (abs(ratio - 1) > 1e-6) == (name == "gain") and (abs(moved) > 1e-6) == (name == "offset")
        # all images that the network sees in the target's units follow, the reference keeps its own
        assert torch.allclose(found.intensity.undo(found.truth), exact.intensity.undo(exact.truth), atol=1e-5)
        assert torch.equal(found.reference, exact.reference)
