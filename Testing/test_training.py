"""Training: examples, losses, curriculum, the loop and its checkpoints, processes, export, the verb `train`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="Training needs torch, which is not installed here.")

from phantoms import pair  # noqa: E402
from training_fixtures import phantom_pack, phantom_stack, recipe, tables  # noqa: E402

import MultiContrastSRLib as mc  # noqa: E402
from MultiContrastSRLib.acquisition import AxisModel, degrade  # noqa: E402
from MultiContrastSRLib.cli import main  # noqa: E402
from MultiContrastSRLib.detail import Level, learn, transfer  # noqa: E402
from MultiContrastSRLib.errors import FileReadError, FileWriteError, InputError, UnknownNameError  # noqa: E402
from MultiContrastSRLib.model_card import load_card, problems  # noqa: E402
from MultiContrastSRLib.networks.intensity import intensity_of  # noqa: E402
from MultiContrastSRLib.networks.positions import sample_linear  # noqa: E402
from MultiContrastSRLib.sampling import apply_separable  # noqa: E402
from MultiContrastSRLib.training import augmentation, checkpoint, loop  # noqa: E402
from MultiContrastSRLib.training.checkpoint import load_state  # noqa: E402
from MultiContrastSRLib.training.curriculum import condition, stage  # noqa: E402
from MultiContrastSRLib.training.data import build_pack  # noqa: E402
from MultiContrastSRLib.training.degradation import SliceAcquisition  # noqa: E402
from MultiContrastSRLib.training.examples import Examples  # noqa: E402
from MultiContrastSRLib.training.export import export  # noqa: E402
from MultiContrastSRLib.training.guided import guided  # noqa: E402
from MultiContrastSRLib.training.losses import kspace_loss, total_loss  # noqa: E402
from MultiContrastSRLib.training.pack import Pack, load_pack, save_pack  # noqa: E402
from MultiContrastSRLib.training.predict import predict  # noqa: E402
from MultiContrastSRLib.training.recipe import Augmentation, Loss, Source  # noqa: E402
from MultiContrastSRLib.training.recipe_file import from_mapping, load_recipe, recipe_names  # noqa: E402
from MultiContrastSRLib.training.synthetic import synthetic_pair  # noqa: E402
from MultiContrastSRLib.training.validation import Validation  # noqa: E402
from MultiContrastSRLib.weights import load_network  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def rng(seed=0) -> np.random.Generator:
    return np.random.default_rng(seed)


# ---------------------------------------------------------------------- recipes


@pytest.mark.parametrize("name", recipe_names())
def test_recipes_survive_a_checkpoint_and_train_on_the_right_patients(name):
    found = load_recipe(name)
    assert from_mapping(json.loads(json.dumps(found.as_dict()))) == found
    named = {subject for source in found.sources for subject in source.subjects}
    assert named <= {"patient01", "patient04", "patient07", "patient19", "patient03", "patient26"}
    trained = {s for source in found.sources if source.part == "train" for s in source.subjects}
    assert not trained & {"patient03", "patient26"}


def test_the_papers_settings():
    r = load_recipe("dual-arbnet-published")
    assert (r.optimisation.batch, r.optimisation.patch, r.optimisation.rate) == (6, 32, 1e-4)
    assert r.degradation.scales == (1.0, 4.0) and r.degradation.step == 0.1 and r.loss.kspace == 0.05
    assert all(n % 24 == 0 for n in r.degradation.canvas) and r.curriculum.warmup > 0
    assert load_recipe("dinet-published").optimisation.patch == 64
    assert load_recipe("minet-published-x4").optimisation.rate == 1e-5


def test_changes_are_laid_over_a_recipe():
    changed = load_recipe("dual-arbnet-light", {"optimisation.batch": "3", "model.features": "16"})
    assert changed.optimisation.batch == 3 and changed.spec.features == 16


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"optimisation": {"bach": 3}}, "unknown 'bach'; expected some of"),
        ({"optimisation": {"batch": 1.5}}, "tiny.optimisation.batch of the recipe is 1.5; expected a whole number"),
        ({"optimisation": {"rate": -1.0}}, "optimisation.rate is -1.0; expected a number above 0"),
        ({"degradation": {"scales": [0.5, 2.0]}}, "degradation.scales is .*; expected the lowest and the highest"),
        ({"augmentation": {"wrong": 3.0}}, "augmentation.wrong is 3.0; expected a share"),
        ({"optimisation": {"whole": 2.0}}, "optimisation.whole is 2.0; expected a share"),
        ({"optimisation": {"schedule": "steep"}}, "'steep'; expected one of cosine, halving, constant"),
        ({"model": {"in_channels": 2}}, "2 channels; expected 1"),
        ({"model": {"size": "huge"}}, "'huge'; expected one of light, published"),
    ],
)
def test_recipe_errors(parts, words):
    with pytest.raises(InputError, match=words):
        from_mapping(tables(**parts))


def test_a_network_of_one_scale_is_trained_at_it():
    with pytest.raises(InputError, match=r"expected \[2, 2\]"):
        recipe("minet", degradation={"scales": [2.0, 3.0]})
    with pytest.raises(InputError, match="expected multiples of 4"):
        recipe("minet", degradation={"canvas": [46]})


def test_recipe_files_that_are_none(tmp_path):
    with pytest.raises(UnknownNameError, match="Unknown recipe 'nothing'; expected one of"):
        load_recipe("nothing")
    with pytest.raises(FileReadError, match="cannot be read"):
        load_recipe(tmp_path / "gone.toml")
    (tmp_path / "bad.toml").write_text("[model\n")
    with pytest.raises(FileReadError, match="no valid TOML"):
        load_recipe(tmp_path / "bad.toml")


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
    where = acquisition.positions()
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
    for network, (low, high) in {"dinet": (0.005, 0.995), "minet": (None, None)}.items():
        found = intensity_of(image, network)
        seen = found.apply(image)
        assert torch.allclose(found.undo(seen), image, rtol=1e-4)
        if low is None:
            assert torch.allclose(seen.mean((1, 2, 3)), torch.zeros(3), atol=1e-4)
            assert torch.allclose(seen.std((1, 2, 3), correction=0), torch.ones(3), atol=1e-4)
        else:
            levels = torch.quantile(seen.flatten(1), torch.tensor([low, high]), dim=1)
            assert torch.allclose(levels, torch.tensor([[0.0], [1.0]]).expand(2, 3), atol=1e-4)


RICH = {
    "augmentation": {
        "curve": 0.5, "invert": 0.5, "shifted": 1.0, "shift": 1.5, "wrong": 0.2, "lesions": 0.5, "gain": 0.1,
    },
    "degradation": {
        "scales": [1.0, 3.0], "step": 0.0, "canvas": [48, 60], "noise": 0.02, "anisotropic": 0.5, "slab": 0.2,
    },
    "optimisation": {"batch": 4},
}  # fmt: skip


def test_examples_depend_on_seed_step_and_number_alone():
    pack, r = phantom_pack(2), recipe(**RICH, curriculum={"low_reference": 0.5})
    whole, again = Examples(pack, r).batch(5), Examples(pack, r).batch(5)
    part = Examples(pack, r).batch(5, slice(1, None, 2))
    assert torch.equal(whole.truth, again.truth) and torch.equal(whole.target, again.target)
    assert torch.allclose(whole.truth[1::2], part.truth, atol=1e-6)
    assert torch.allclose(whole.base[1::2], part.base, atol=1e-5)
    assert not torch.equal(whole.truth[:, :, :48, :48], Examples(pack, r).batch(6).truth[:, :, :48, :48])


@pytest.mark.parametrize("reference", [0.0, 1.0])
@pytest.mark.parametrize("factor", [1.7, 2.0, 3.0])
def test_patches_lie_where_their_positions_say(factor, reference):
    wanted = {"scales": [factor, factor], "canvas": [72], "step": 0.0}
    r = recipe(degradation=wanted, curriculum={"low_reference": reference}, optimisation={"patch": 16, "batch": 3})
    batch = Examples(phantom_pack(2), r).batch(1)
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
    wanted = {"scales": [2, 2], "canvas": [72]}
    r = recipe("minet", degradation=wanted, optimisation={"patch": 16, "batch": 3})
    for step in range(4):
        batch = Examples(phantom_pack(2), r).batch(step)
        assert tuple(batch.truth.shape[-2:]) == (32, 32) == tuple(batch.base.shape[-2:])
        assert torch.allclose(batch.positions.rows_t, torch.arange(32, dtype=torch.float64) / 2)


def test_windows_cost_the_same_at_every_scale_and_the_last_batches_are_whole():
    wanted = {"scales": [1.5, 4.0], "canvas": [72], "step": 0.0}
    optimisation = {"patch": 16, "window": 32, "batch": 3, "steps": 10, "whole": 0.2, "whole_batch": 2}
    examples = Examples(phantom_pack(2), recipe(degradation=wanted, optimisation=optimisation))
    shapes = [tuple(examples.batch(step).truth.shape) for step in range(10)]
    assert all(b == 3 and abs(h - 32) <= 4 and abs(w - 32) <= 4 for b, _, h, w in shapes[:8])
    assert shapes[8:] == [(2, 1, 72, 72)] * 2


@pytest.mark.parametrize("slab", [0.0, 1.0])
def test_a_patch_is_a_field_of_view_of_its_own(slab):
    wanted = {"scales": [2.0, 2.0], "canvas": [72], "step": 0.0, "slab": slab}
    batch = Examples(phantom_pack(2), recipe(degradation=wanted, optimisation={"patch": 16, "batch": 3})).batch(1)
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
    assert torch.isfinite(examples.batch(0).truth).all()


def test_augmentations():
    image = torch.zeros(48, 48)
    image[20:28, 18:30] = 1.0
    rows = torch.arange(48.0)

    def center(x):
        return np.array([float((x.sum(1 - d) * rows).sum() / x.sum()) for d in range(2)])

    assert torch.allclose(augmentation.misregistered(image, 0.0, rng()), image, atol=1e-4)
    moves = [np.linalg.norm(center(augmentation.misregistered(image, 1.5, rng(s))) - center(image)) for s in range(20)]
    assert 0.5 < max(moves) < 1.8
    ramp = torch.linspace(0, 1, 48).expand(48, 48)
    for seed in range(10):
        assert (augmentation.curved(ramp, rng(seed)).diff(dim=1) >= -1e-6).all()
        turned = augmentation.inverted(ramp, rng(seed))
        assert (turned[:, 3:].diff(dim=1) <= 1e-6).all() and abs(float(turned[0, 4]) - 1 + 4 / 47) < 1e-5
    views = {augmentation.turned(ramp[None] + 2 * ramp.T[None], rng(s)).numpy().tobytes() for s in range(60)}
    assert len(views) == 8


def test_lesions_enter_one_image_or_both():
    scan = torch.full((2, 64, 64), 0.5)
    changed = [((augmentation.with_lesions(scan, rng(s)) - scan).abs() > 0.05).flatten(1).any(1).tolist()
               for s in range(30)]  # fmt: skip
    assert {tuple(c) for c in changed} == {(True, False), (False, True), (True, True)}
    assert torch.equal(augmentation.with_lesions(scan * 0, rng()), scan * 0)  # no tissue, no lesion


def test_slices_are_fitted_to_the_canvas_without_a_jump():
    image = torch.ones(2, 40, 70)
    found = augmentation.fitted(image, (48, 48), rng())
    assert found.shape == (2, 48, 48) and float(found.max()) == 1.0
    assert float(found[..., 0].max()) < 0.05 and float(found[..., -1].max()) < 0.05  # cut off, faded out
    assert int((found[0, :, 24] > 0).sum()) == 40  # padded
    assert torch.equal(augmentation.fitted(image, (40, 70)), image)


def test_varied_references_stay_finite():
    everything = Augmentation(curve=1.0, invert=1.0, shift=1.5, shifted=1.0)
    scan = torch.rand(40, 40)
    assert torch.isfinite(augmentation.varied_reference(scan, everything, rng())).all()
    assert torch.equal(augmentation.varied_reference(scan, Augmentation(), rng()), scan)


# ---------------------------------------------------------------------- curriculum and losses


def test_curriculum_goes_from_whole_factors_to_all_references():
    r = recipe(
        curriculum={"warmup": 0.2, "prelearning": 0.3, "low_reference": 0.5},
        degradation={"scales": [1.0, 4.0], "step": 0.1},
        augmentation={"missing": 0.2},
        optimisation={"steps": 1000},
    )
    assert [stage(r, s) for s in (0, 199, 200, 499, 500, 999)] == [
        "warmup", "warmup", "prelearning", "prelearning", "full", "full",
    ]  # fmt: skip
    drawn = {name: [condition(r, first + i, rng(i)) for i in range(200)]
             for name, first in (("warmup", 0), ("prelearning", 250), ("full", 600))}  # fmt: skip
    assert {d.factors for d in drawn["warmup"]} == {(2.0, 2.0), (3.0, 3.0), (4.0, 4.0)}
    later = {round(d.factors[0], 6) for d in drawn["prelearning"] + drawn["full"]}
    assert later <= {round(1 + 0.1 * i, 6) for i in range(31)} and len(later) == 31
    assert {d.reference for d in drawn["warmup"] + drawn["prelearning"]} == {"high"}
    shares = {kind: np.mean([d.reference == kind for d in drawn["full"]]) for kind in ("none", "low", "high")}
    assert abs(shares["none"] - 0.2) < 0.08 and abs(shares["low"] - 0.4) < 0.1


def test_learning_rates():
    o = recipe(optimisation={"steps": 110, "warmup": 10, "rate": 1.0}).optimisation
    assert [round(loop.learning_rate(o, s), 6) for s in (0, 9, 10, 60)] == [0.1, 1.0, 1.0, 0.5]
    assert loop.learning_rate(o, 110) < 1e-9
    h = recipe(optimisation={"schedule": "halving", "halve": 40, "rate": 1.0}).optimisation
    assert [loop.learning_rate(h, s) for s in (39, 40, 80)] == [1.0, 0.5, 0.25]


def test_kspace_loss_against_a_wave():
    n = 16
    x = torch.arange(n)
    wave = {f: torch.cos(2 * torch.pi * f * x / n).expand(1, 1, n, n) for f in (1, 3, 4, 6)}
    zero = torch.zeros(1, 1, n, n)
    # an orthonormal n×n transform of the cosine has two frequencies of modulus n/2
    alone = 2 * (n / 2) / n**2
    assert kspace_loss(wave[6], zero, (8, 8)).item() == pytest.approx(alone, rel=1e-4)
    assert kspace_loss(wave[1], zero, (8, 8)).item() == pytest.approx(0, abs=1e-6)  # measured, so masked
    assert kspace_loss(wave[1], zero, (8, 8), band="measured").item() == pytest.approx(alone, rel=1e-4)
    assert kspace_loss(wave[6], zero, (8, 8), norm="l2").item() == pytest.approx(np.sqrt(0.5), rel=1e-4)
    # of 7 samples frequencies −3…3 are measured, no more and no less
    assert kspace_loss(wave[3], zero, (7, 7)).item() == pytest.approx(0, abs=1e-6)
    assert kspace_loss(wave[4], zero, (7, 7)).item() == pytest.approx(alone, rel=1e-4)
    odd = torch.randn(1, 1, 15, 13, requires_grad=True)  # no frequency twice or lost
    both = sum(kspace_loss(odd, zero[..., :15, :13], (7, 6), band=band) for band in ("lost", "measured"))
    spectrum = torch.fft.fft2(odd, norm="ortho").abs().mean()
    assert both.item() == pytest.approx(spectrum.item(), rel=1e-4)
    kspace_loss(zero.clone().requires_grad_(), zero, (8, 8)).backward()
    both.backward()
    assert torch.isfinite(odd.grad).all()


def test_terms_are_weighed():
    image, truth = torch.full((1, 1, 4, 4), 0.5), torch.zeros(1, 1, 4, 4)
    mirrored, reference = torch.full((1, 1, 8, 8), 0.25), torch.full((1, 1, 8, 8), 1.0)
    total, terms = total_loss(Loss(target=0.7, reference=0.3), image, truth, (2, 2), mirrored, reference)
    assert total.item() == pytest.approx(0.7 * 0.5 + 0.3 * 0.75)
    assert {k: v.item() for k, v in terms.items()} == {"target": 0.5, "reference": 0.75}
    # only the mean of the image differs, and that was measured
    total, _ = total_loss(Loss(kspace=0.05), image, truth, (2, 2))
    assert total.item() == pytest.approx(0.5)


# ---------------------------------------------------------------------- packs and scans


def test_a_pack_survives_its_file(tmp_path):
    labels = rng().integers(0, 4, (5, 6, 7)).astype(np.uint8)
    pack = Pack(phantom_pack().stacks, (labels,), (0, 2, 41, 502), ("phantoms",))
    found = load_pack(save_pack(pack, tmp_path / "pack.npz"))
    assert found.label_values == pack.label_values and found.sources == pack.sources
    assert np.array_equal(found.labels[0], labels)
    for one, other in zip(found.stacks, pack.stacks, strict=True):
        assert (one.name, one.part, one.contrasts, one.targets, one.axes) == (
            other.name, other.part, other.contrasts, other.targets, other.axes)  # fmt: skip
        assert np.array_equal(one.images, other.images) and one.images.dtype == np.float16


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"\x80\x04K\x01."])
def test_a_damaged_pack_is_refused(tmp_path, content):
    (tmp_path / "pack.npz").write_bytes(content)
    with pytest.raises(FileReadError, match="cannot be read.*--pack"):
        load_pack(tmp_path / "pack.npz")
    np.savez(tmp_path / "other.npz", about=np.array({"format": 1}, dtype=object))  # would need pickle
    with pytest.raises(FileReadError, match="cannot be read"):
        load_pack(tmp_path / "other.npz")


@pytest.fixture
def scans(tmp_path) -> Path:
    """Two subjects; the second one's reference lies on another grid."""
    for number, subject in enumerate(("anna", "bert")):
        (tmp_path / subject).mkdir()
        t2, t1 = pair((5, 64, 60), number)
        mc.save_volume(t2, tmp_path / subject / "t2.nii.gz")
        mc.save_volume(mc.degrade(t1, "kspace", 1.25) if number else t1, tmp_path / subject / "t1.nii.gz")
    return tmp_path


def with_sources(*sources: dict):
    contrasts = {"T2": "{subject}/t2.nii.gz", "T1": "{subject}/t1.nii.gz"}
    return from_mapping({**tables(), "source": [{"contrasts": contrasts, **source} for source in sources]})


def test_a_folder_of_pairs_becomes_stacks(scans):
    pack = build_pack(with_sources({"subjects": ["anna"]}, {"part": "validation", "subjects": ["bert"]}), scans)
    (anna,), bert = pack.part("train"), pack.part("validation")
    assert anna.contrasts == ("T2", "T1") and anna.targets == (0, 1) and anna.images.shape[1] == 5
    assert [(s.contrasts, s.targets) for s in bert] == [(("T2", "T1"), (0,)), (("T1", "T2"), (0,))]
    for stack in bert:  # resampled to the right place
        one, other = stack.images.astype(np.float32)
        at = np.corrcoef(np.abs(np.gradient(one, axis=2)).ravel(), np.abs(np.gradient(other, axis=2)).ravel())[0, 1]
        rolled = np.roll(other, 2, axis=2)
        beside = np.corrcoef(np.abs(np.gradient(one, axis=2)).ravel(), np.abs(np.gradient(rolled, axis=2)).ravel())
        assert at > beside[0, 1] + 0.1
    assert pack.sources[0] == "train: anna (T2, T1)"


def test_a_share_of_the_subjects_validates(scans):
    pack = build_pack(with_sources({"validation": 0.5, "targets": ["T2"]}), scans)
    assert {s.name.split()[0] for s in pack.part("train")} != {s.name.split()[0] for s in pack.part("validation")}
    assert all(s.targets == (0,) and s.contrasts[0] == "T2" for s in pack.stacks)


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        ([{}, {"part": "validation"}], "in the training and in the validation data"),
        ([{"subjects": ["carl"]}], "No two contrasts of subject 'carl' were found"),
        ([{"contrasts": {"T2": "anna/t2.nii.gz", "T1": "anna/t1.nii.gz"}}], "expected one with {subject}"),
        ([{"contrasts": {"T2": "{subject}/t*.nii.gz", "T1": "{subject}/t1.nii.gz"}}], "has several files"),
    ],
)
def test_sources_that_cannot_be(scans, sources, words):
    with pytest.raises(InputError, match=words):
        build_pack(with_sources(*sources), scans)


def test_the_held_out_patient_is_refused(tmp_path):
    for name in ("t1", "t2"):
        place = tmp_path / "open_ms_data/longitudinal/raw/patient12" / f"{name}.nii.gz"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    prefix = "open_ms_data/longitudinal/raw/{subject}/"
    source = Source(contrasts={"T1": prefix + "t1.nii.gz", "T2": prefix + "t2.nii.gz"})
    with pytest.raises(InputError, match="'patient12' is held out"):
        build_pack(with_sources({"contrasts": dict(source.contrasts)}), tmp_path)
    with pytest.raises(FileReadError, match="does not exist"):
        build_pack(recipe(), tmp_path / "gone")


# ---------------------------------------------------------------------- the loop


@pytest.mark.parametrize("amp", ["off", "bf16"])
@pytest.mark.parametrize("network", ["dual-arbnet", "dinet", "minet"])
def test_every_network_trains_with_and_without_reference(network, amp, tmp_path):
    auxiliary = {} if network == "dual-arbnet" else {"target": 0.7, "reference": 0.3}
    r = recipe(network, augmentation={"missing": 0.5}, loss={"kspace": 0.05, **auxiliary},
               optimisation={"steps": 4, "validate": 0, "clip": 1.0, "amp": amp})  # fmt: skip
    assert {condition(r, s, np.random.default_rng((0, s))).reference for s in range(4)} == {"none", "high"}
    outcome = loop.train(r, phantom_pack(), tmp_path)
    assert outcome.finished and outcome.step == 4
    state = load_state(tmp_path)
    torch.manual_seed(0)
    fresh = loop.build(r.spec).state_dict()
    assert state.skipped == 0 and all(torch.isfinite(t).all() for t in state.model.values())
    assert any(not torch.equal(state.model[n], fresh[n]) for n in fresh)


def test_resume_equals_uninterrupted(tmp_path):
    pack, r = phantom_pack(), recipe(**{**RICH, "optimisation": {"steps": 5, "batch": 2, "validate": 2, "save": 10}})
    whole = loop.train(r, pack, tmp_path / "whole")
    asked = iter([False, False, True])
    with pytest.raises(loop.StoppedError, match="Stopped after step 3; .* Run the same command again"):
        loop.train(r, pack, tmp_path / "parts", cancel=lambda: next(asked))
    late = loop.train(r, pack, tmp_path / "parts", minutes=0.0)  # time is over at once; every call does a step
    assert (late.step, late.finished) == (4, False)
    parts = loop.train(r, pack, tmp_path / "parts")
    assert parts.finished and parts.curve == whole.curve and len(whole.curve) == 3
    one, other = load_state(tmp_path / "whole"), load_state(tmp_path / "parts")
    for name in ("model", "average"):
        a, b = getattr(one, name), getattr(other, name)
        assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
    for index, moments in one.optimiser["state"].items():
        assert all(torch.equal(moments[k], other.optimiser["state"][index][k]) for k in ("exp_avg", "exp_avg_sq"))
    assert not all(torch.equal(one.model[k], one.average[k]) for k in one.model)  # the average is one
    assert json.loads((tmp_path / "parts/curve.json").read_text()) == list(whole.curve)


def test_another_recipe_does_not_go_on(tmp_path):
    r = recipe(optimisation={"steps": 1, "validate": 0})
    loop.train(r, phantom_pack(), tmp_path)
    with pytest.raises(InputError, match=r"another recipe \(different: optimisation.rate\)"):
        loop.train(recipe(optimisation={"steps": 1, "validate": 0, "rate": 0.5}), phantom_pack(), tmp_path)


def test_a_checkpoint_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    r = recipe(optimisation={"steps": 2, "save": 1, "validate": 0})
    loop.train(r, phantom_pack(), tmp_path, minutes=0.0)
    before = (tmp_path / checkpoint.NAME).read_bytes()

    def full_disk(value, path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.torch, "save", full_disk)
    with pytest.raises(FileWriteError, match="No space left"):
        loop.train(r, phantom_pack(), tmp_path)
    assert (tmp_path / checkpoint.NAME).read_bytes() == before and load_state(tmp_path).step == 1
    assert [p.name for p in tmp_path.iterdir()] == [checkpoint.NAME]


def test_a_damaged_checkpoint_is_refused(tmp_path):
    (tmp_path / checkpoint.NAME).write_bytes(b"no checkpoint")
    with pytest.raises(FileReadError, match="damaged.*Remove it"):
        loop.train(recipe(), phantom_pack(), tmp_path)
    with pytest.raises(FileReadError, match="Train first"):
        load_state(tmp_path / "gone")


def poison(monkeypatch, bad_steps):
    """The loss of these calls is not a number."""
    count = iter(range(1000))

    def poisoned(*arguments, **keywords):
        total, terms = total_loss(*arguments, **keywords)
        return total * (float("nan") if next(count) in bad_steps else 1.0), terms

    monkeypatch.setattr(loop, "total_loss", poisoned)


def test_a_step_that_is_not_a_number_is_skipped(tmp_path, monkeypatch):
    poison(monkeypatch, {1, 3})
    r = recipe(optimisation={"steps": 4, "validate": 4, "patience": 2})
    outcome = loop.train(r, phantom_pack(), tmp_path)
    state = load_state(tmp_path)
    assert outcome.finished and (state.skipped, state.row) == (2, 1)
    assert all(torch.isfinite(t).all() for t in (*state.model.values(), *state.average.values()))
    assert np.isfinite(outcome.curve[-1]["loss"])


def test_gradients_that_stay_not_a_number_stop_the_training(tmp_path, monkeypatch):
    poison(monkeypatch, {2, 3, 4})
    r = recipe(optimisation={"steps": 20, "validate": 0, "save": 1, "patience": 3})
    with pytest.raises(loop.DivergedError, match="not finite in 3 steps.*last checkpoint stands.*Lower"):
        loop.train(r, phantom_pack(), tmp_path)
    state = load_state(tmp_path)
    assert state.step == 4 and all(torch.isfinite(t).all() for t in state.model.values())


def test_training_raises_psnr_on_unseen_slices(tmp_path):
    r = recipe(
        model={"features": 12},
        degradation={"scales": [3.0, 3.0]},
        optimisation={"steps": 150, "batch": 4, "rate": 4e-3, "warmup": 10, "clip": 1.0, "validate": 75, "save": 150,
                      "validation_scales": [3.0], "slices": 3},
    )  # fmt: skip
    lines, fractions = [], []
    outcome = loop.train(r, phantom_pack(8), tmp_path, say=lines.append,
                         progress=lambda f, stage: fractions.append(f))  # fmt: skip
    score = outcome.curve[-1]["scores"]["3"]
    assert score["psnr"] > score["sinc"] + 1.0, score  # the network's base
    assert len(lines) == 2 and "x3" in lines[0] and fractions[-1] == 1.0
    pytest.importorskip("matplotlib")
    assert (tmp_path / "curve.png").stat().st_size > 5000


def test_tensorboard_gets_the_curve(tmp_path, monkeypatch):
    written = []

    class Writer:
        def __init__(self, folder):
            written.append(folder)

        def add_scalar(self, name, value, step):
            written.append((name, value, step))

        def flush(self):
            written.append("flushed")

        def close(self):
            written.append("closed")

    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    outcome = loop.train(recipe(optimisation={"steps": 2, "validate": 2}), phantom_pack(), tmp_path)
    (entry,) = outcome.curve
    score = entry["scores"]["2"]
    assert written == [
        str(tmp_path), ("loss", entry["loss"], 2), ("psnr/x2", score["psnr"], 2), ("gain/x2", score["gain"], 2),
        "flushed", "closed",
    ]  # fmt: skip


def test_consistent_losses_see_the_record_put_back(tmp_path, monkeypatch):
    seen = []

    def watched(wanted, image, truth, measured, *rest):
        seen.append((image.detach(), truth))
        return total_loss(wanted, image, truth, measured, *rest)

    monkeypatch.setattr(loop, "total_loss", watched)
    r = recipe(loss={"consistent": True}, optimisation={"steps": 1, "validate": 0})
    loop.train(r, phantom_pack(), tmp_path)
    acquisition = SliceAcquisition.of((48, 48), (2.0, 2.0))
    ((image, truth),) = seen
    assert torch.allclose(acquisition.forward(image), acquisition.forward(truth), atol=1e-4)


def as_toml(values: dict) -> str:
    """Tables of plain values as TOML; JSON's texts, numbers and lists are TOML's."""

    def value(given: object) -> str:
        if isinstance(given, dict):
            return "{" + ", ".join(f"{k} = {value(v)}" for k, v in given.items()) + "}"
        return json.dumps(given)

    return "\n".join(f"{key} = {value(entry)}" if not isinstance(entry, list)
                     else f"{key} = [{', '.join(map(value, entry))}]" for key, entry in values.items())  # fmt: skip


def test_two_processes_share_a_batch(tmp_path):
    """Their gradients' mean is the whole batch's gradient, so both trainings are one."""
    wanted = {**RICH, "optimisation": {"steps": 3, "batch": 4, "validate": 3, "save": 10}}
    r, pack = recipe(**wanted), phantom_pack()
    save_pack(pack, tmp_path / "pack.npz")
    (tmp_path / "tiny.toml").write_text(as_toml(tables(**wanted)))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "MultiContrastSRLib.cli", "train", str(tmp_path / "tiny.toml")]
    command += ["--from", str(tmp_path / "pack.npz"), "--output", str(tmp_path / "two"), "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("3 of 3 steps, finished") == 1 and done.stderr.count("step 3/3") == 1
    loop.train(r, pack, tmp_path / "one")
    one, two = load_state(tmp_path / "one"), load_state(tmp_path / "two")
    assert two.step == 3 and len(two.curve) == 1
    start = recipe(**wanted)
    torch.manual_seed(0)
    fresh = loop.build(start.spec).state_dict()
    for name, tensor in one.model.items():
        moved = float((tensor - fresh[name]).abs().max())
        assert float((tensor - two.model[name]).abs().max()) <= 0.02 * moved + 1e-6, name


def test_a_batch_that_cannot_be_shared(tmp_path, monkeypatch):
    monkeypatch.setattr(loop.Processes, "join", classmethod(lambda cls, device: cls(0, 3, 0)))
    with pytest.raises(InputError, match="batch is 2 for 3 processes"):
        loop.train(recipe(), phantom_pack(), tmp_path)


# ---------------------------------------------------------------------- export and the verb


def test_export_is_what_was_trained(tmp_path):
    r, pack = recipe(about={"title": "Tiny", "limits": ["Phantoms only."]}), phantom_pack()
    loop.train(r, pack, tmp_path / "run")
    files = export(tmp_path / "run", tmp_path / "tiny.safetensors", pack)
    assert [f.suffix for f in files] == [".safetensors", ".json", ".md"]
    card = load_card(files[1])
    net = load_network(files[0], card["file"]["sha256"], network="dual-arbnet")
    average = load_state(tmp_path / "run").average
    assert net.spec == r.spec
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, average[name].half().float())
    batch = Examples(pack, r).batch(0)
    unrounded = loop.build(r.spec)
    unrounded.load_state_dict(average)
    with torch.no_grad():
        difference = predict(net, batch)[0] - predict(unrounded, batch)[0]
    assert float(difference.abs().max()) < 2e-3
    assert card["scores"]["validation"] == Validation(pack, r)(net)
    assert card["training"]["steps"] == 6 and card["training"]["recipe"] == r.as_dict()
    text = files[2].read_text()
    assert all(w in text for w in ("# Tiny", card["file"]["sha256"], "Research use only", "- Phantoms only.", "| ×2 |"))
    with pytest.raises(FileWriteError, match="exists already"):
        export(tmp_path / "run", tmp_path / "tiny.safetensors", pack)
    with pytest.raises(FileWriteError, match="expected .safetensors"):
        export(tmp_path / "run", tmp_path / "tiny.pt", pack)
    assert problems({**card, "parameters": "many"}) == ["card.parameters is 'many'; expected integer"]
    assert problems({k: v for k, v in card.items() if k != "licence"}) == ["card lacks 'licence'"]
    files[1].write_text("{}")
    with pytest.raises(FileReadError, match="lacks 'title'. Restore"):
        load_card(files[1])


def test_the_verb(scans, tmp_path, monkeypatch, capsys):
    toml = """
[model]
network = "dual-arbnet"
size = "light"
features = 8
blocks = 1
layers = 1
fusion_layers = 2
fusion_convs = 1
[[source]]
validation = 0.5
contrasts.T2 = "{subject}/t2.nii.gz"
contrasts.T1 = "{subject}/t1.nii.gz"
[degradation]
canvas = [48]
[optimisation]
steps = 2
batch = 2
patch = 12
validate = 2
slices = 1
validation_scales = [2.0]
"""
    (tmp_path / "mine.toml").write_text(toml)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MULTICONTRASTSR_DATA", raising=False)
    assert main(["train"]) == 0 and capsys.readouterr().out.split() == recipe_names()
    assert main("train mine.toml --output run".split()) == 2
    assert "expected --data FOLDER, --from FILE" in capsys.readouterr().err
    assert main("train mine.toml".split()) == 2 and main("train mine.toml --output run --set batch".split()) == 2
    assert main("train mine.toml --data . --pack pack.npz".split()) == 0
    assert main("train mine.toml --data . --pack pack.npz".split()) == 4  # it exists
    capsys.readouterr()
    command = "train mine.toml --from pack.npz --output run --set optimisation.rate=1e-3 --device cpu"
    assert main([*command.split(), "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["finished"] is True and "step 2/2" in said.err
    assert main([*command.split(), "--export", "mine.safetensors"]) == 0
    assert capsys.readouterr().out.split() == ["mine.safetensors", "mine.json", "mine.md"]
    assert load_network("mine.safetensors", load_card("mine.json")["file"]["sha256"]).spec.features == 8
    if not torch.cuda.is_available():
        assert main("train mine.toml --from pack.npz --output run --device cuda".split()) == 3


def test_stacks_know_which_slices_show_something():
    stack = phantom_stack("train", 1)
    images = stack.images.copy()
    images[0, 2] = 0  # one contrast shows nothing there
    empty = type(stack)(stack.name, "train", stack.contrasts, stack.targets, (0,), images)
    assert [i for _, i in empty.slices()] == [0, 1, 3, 4, 5]
