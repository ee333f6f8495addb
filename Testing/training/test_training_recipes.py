"""Training: recipes, curriculum and losses."""

from __future__ import annotations

import json
import re
from dataclasses import fields, replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="Training needs torch, which is not installed here.")

from training_fixtures import recipe, tables  # noqa: E402

from MultiContrastSRLib.core.errors import FileReadError, InputError, UnknownNameError  # noqa: E402
from MultiContrastSRLib.training.data.degradation import curriculum_stage, draw_degradation  # noqa: E402
from MultiContrastSRLib.training.losses import kspace_loss, leakage_loss, relative_error, total_loss  # noqa: E402
from MultiContrastSRLib.training.optimiser import learning_rate_factor  # noqa: E402
from MultiContrastSRLib.training.recipe import PARTS, Augmentation, Degradation, Loss, Source  # noqa: E402
from MultiContrastSRLib.training.recipe_file import from_mapping, load_recipe, recipe_names  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


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
    assert (r.optimisation.batch_size, r.optimisation.patch, r.optimisation.learning_rate) == (6, 32, 1e-4)
    assert r.degradation.scales == (1.0, 4.0) and r.degradation.scale_step == 0.1 and r.loss.kspace == 0.05
    assert all(n % 24 == 0 for n in r.degradation.slice_sizes) and r.curriculum.warmup > 0
    assert load_recipe("dinet-published").optimisation.patch == 64
    assert load_recipe("minet-published-x4").optimisation.learning_rate == 1e-5


@pytest.mark.parametrize("name", [name for name in recipe_names() if "published" in name])
def test_published_recipes_vary_nothing_but_flips(name):
    found = load_recipe(name)
    assert found.augmentation == Augmentation()
    degradation = found.degradation
    assert degradation == Degradation(
        scales=degradation.scales, scale_step=degradation.scale_step, slice_sizes=degradation.slice_sizes
    )


def test_changes_are_laid_over_a_recipe():
    changed = load_recipe("dual-arbnet-light", {"optimisation.batch": "3", "model.features": "16"})
    assert changed.optimisation.batch_size == 3 and changed.spec.features == 16


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"optimisation": {"bach": 3}}, "unknown 'bach'; expected some of"),
        (
            {"optimisation": {"batch_size": 1.5}},
            "tiny.optimisation.batch_size of the recipe is 1.5; expected a whole number",
        ),
        ({"optimisation": {"learning_rate": -1.0}}, "optimisation.learning_rate is -1.0; expected a number above 0"),
        ({"degradation": {"scales": [0.5, 2.0]}}, "degradation.scales is .*; expected the lowest and the highest"),
        (
            {"degradation": {"scale_sampling": "log"}},
            "degradation.scale_sampling is 'log'; expected one of uniform, log-uniform",
        ),
        ({"augmentation": {"wrong_reference": 3.0}}, "augmentation.wrong_reference is 3.0; expected a share"),
        ({"augmentation": {"partly_absent": -0.1}}, "augmentation.partly_absent is -0.1; expected a share"),
        ({"degradation": {"eight_bit": 1.5}}, "degradation.eight_bit is 1.5; expected a share"),
        ({"optimisation": {"whole_slices": 2.0}}, "optimisation.whole_slices is 2.0; expected a share"),
        ({"optimisation": {"decay": 1.5}}, "optimisation.decay is 1.5; expected a share"),
        ({"optimisation": {"steps": 100, "restart": 100}}, "restart is 100, with schedule 'cosine'; expected 0, or"),
        ({"optimisation": {"restart": 9, "schedule": "constant"}}, "restart is 9, with schedule 'constant'"),
        ({"optimisation": {"restart_share": 2.0}}, "restart_share is 2.0; expected a share from 0 to 1"),
        ({"optimisation": {"schedule": "steep"}}, "'steep'; expected one of cosine, stable-decay, halving, constant"),
        ({"optimisation": {"seed": -1}}, "optimisation.seed is -1; expected a number from 0 to below 2"),
        ({"optimisation": {"seed": 2**64}}, "optimisation.seed is 18446744073709551616; expected a number from 0"),
        ({"optimisation": {"validation_slices": 0}}, "optimisation.validation_slices is 0; expected 1 or more"),
        ({"optimisation": {"ema_decay": 2.0}}, "optimisation.ema_decay is 2.0; expected a number from 0 to below 1"),
        ({"optimisation": {"validation_scales": [0.5]}}, r"validation_scales is \[0.5\]; expected factors above 1"),
        ({"optimisation": {"validation_scales": [2.0, -1]}}, r"scales is \[2.0, -1\]; expected factors above 1"),
        ({"optimisation": {"validation_scales": []}}, r"scales is \[\]; .*at least one \(validate_every = 0 does not"),
        ({"optimisation": {"validation_scales": ["2"]}}, r"validation_scales is \['2'\]; .*, in finite numbers"),
        ({"degradation": {"slice_sizes": [48.5]}}, r"slice_sizes is \[48.5\]; .*at least 16, in whole numbers"),
        ({"degradation": {"slice_sizes": []}}, r"degradation.slice_sizes is \[\]; expected sizes of at least 16"),
        ({"degradation": {"scales": [3.0, 2.0]}}, r"scales is \[3.0, 2.0\]; expected the lowest and the highest"),
        ({"degradation": {"noise": -1.0}}, "degradation.noise is -1.0; expected 0 or more"),
        ({"degradation": {"scale_step": -0.1}}, "degradation.scale_step is -0.1; expected 0 or more"),
        ({"augmentation": {"max_coarsening": 0.0}}, "augmentation.max_coarsening is 0.0; expected 1 or more"),
        ({"augmentation": {"max_shift": -3.0}}, "augmentation.max_shift is -3.0; expected 0 or more"),
        ({"loss": {"target": 0.0}}, "loss.target, loss.mse, loss.kspace, loss.relative are all 0; expected at least"),
        ({"model": {"in_channels": 2}}, "2 channels; expected 1"),
        (
            {"loss": {"relative": 1.0}, "model": {"base": "none"}},
            "loss.relative is above 0; expected 0: this network has no base image",
        ),
        ({"model": {"size": "huge"}}, "'huge'; expected one of light, published"),
    ],
)
def test_recipe_errors(parts, words):
    with pytest.raises(InputError, match=words):
        from_mapping(tables(**parts))


NUMBERS = [
    (part, field.name)
    for part, cls in {**PARTS, "source": Source}.items()
    for field in fields(cls)
    if re.search("int|float", field.type)
]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -1])
@pytest.mark.parametrize(("part", "name"), NUMBERS)
def test_every_number_is_checked(part, name, value):
    good = recipe()
    table = good.sources[0] if part == "source" else getattr(good, part)
    is_list = isinstance(getattr(table, name), tuple)
    changed = replace(table, **{name: (value, value) if is_list else value})
    with pytest.raises(InputError, match=rf"Recipe 'tiny': {part}\.{name} is .*{value}.*; expected .*Correct"):
        replace(good, **({"sources": (changed,)} if part == "source" else {part: changed}))


def test_the_walk_over_the_numbers_finds_them():
    assert {("source", "spacing"), ("labels", "background"), ("degradation", "scales"), ("loss", "mse"),
            ("curriculum", "warmup"), ("optimisation", "seed"), ("augmentation", "gain")} < {*NUMBERS}  # fmt: skip


def test_a_network_of_one_scale_is_trained_at_it():
    with pytest.raises(InputError, match=r"expected \[2, 2\]"):
        recipe("minet", degradation={"scales": [2.0, 3.0]})
    with pytest.raises(InputError, match="expected multiples of 4"):
        recipe("minet", degradation={"slice_sizes": [46]})


def test_recipe_files_that_are_none(tmp_path):
    with pytest.raises(UnknownNameError, match="Unknown recipe 'nothing'; expected one of"):
        load_recipe("nothing")
    with pytest.raises(FileReadError, match="cannot be read"):
        load_recipe(tmp_path / "gone.toml")
    (tmp_path / "bad.toml").write_text("[model\n")
    with pytest.raises(FileReadError, match="not valid TOML"):
        load_recipe(tmp_path / "bad.toml")


# ---------------------------------------------------------------------- curriculum and losses


def test_curriculum_goes_from_whole_factors_to_all_references():
    r = recipe(
        curriculum={"warmup": 0.2, "prelearning": 0.3, "low_reference": 0.5},
        degradation={"scales": [1.0, 4.0], "scale_step": 0.1},
        augmentation={"no_reference": 0.2},
        optimisation={"steps": 1000},
    )
    assert [curriculum_stage(r, s) for s in (0, 199, 200, 499, 500, 999)] == [
        "warmup", "warmup", "prelearning", "prelearning", "full", "full",
    ]  # fmt: skip
    drawn = {name: [draw_degradation(r, first + i, rng(i)) for i in range(200)]
             for name, first in (("warmup", 0), ("prelearning", 250), ("full", 600))}  # fmt: skip
    assert {d.factors for d in drawn["warmup"]} == {(2.0, 2.0), (3.0, 3.0), (4.0, 4.0)}
    later = {round(d.factors[0], 6) for d in drawn["prelearning"] + drawn["full"]}
    assert later <= {round(1 + 0.1 * i, 6) for i in range(31)} and len(later) == 31
    assert {d.reference for d in drawn["warmup"] + drawn["prelearning"]} == {"high"}
    shares = {kind: np.mean([d.reference == kind for d in drawn["full"]]) for kind in ("none", "low", "high")}
    assert abs(shares["none"] - 0.2) < 0.08 and abs(shares["low"] - 0.4) < 0.1


def test_factors_are_drawn_evenly_in_difference_or_in_ratio():
    for sampling, middle in (("uniform", 4.0), ("log-uniform", 12**0.5)):
        wanted = recipe(
            degradation={
                "scales": [2.0, 6.0],
                "scale_step": 0.0,
                "scale_sampling": sampling,
                "slab": 0.0,
                "anisotropic": 0.0,
            }
        )
        factors = [draw_degradation(wanted, 10**6, np.random.default_rng(i)).factors[0] for i in range(2000)]
        assert 2.0 <= min(factors) < 2.05 and 5.9 < max(factors) <= 6.0
        assert abs(np.mean(np.array(factors) < middle) - 0.5) < 0.04  # 3.6 standard deviations


def test_shares_of_the_rate():
    o = recipe(optimisation={"steps": 110, "warmup": 10, "learning_rate": 1.0}).optimisation
    assert [round(learning_rate_factor(o, s), 6) for s in (0, 9, 10, 60)] == [0.1, 1.0, 1.0, 0.5]
    assert learning_rate_factor(o, 110) < 1e-9
    h = recipe(optimisation={"schedule": "halving", "halve_every": 40, "learning_rate": 1.0}).optimisation
    assert [learning_rate_factor(h, s) for s in (39, 40, 80)] == [1.0, 0.5, 0.25]


def test_a_cosine_begins_again_and_its_first_part_is_that_of_the_shorter_training():
    short = recipe(optimisation={"steps": 80, "warmup": 10, "schedule": "cosine"}).optimisation
    longer = replace(short, steps=200, restart=80, restart_share=0.5)
    assert [learning_rate_factor(longer, s) for s in range(80)] == [learning_rate_factor(short, s) for s in range(80)]
    assert [round(learning_rate_factor(longer, s), 6) for s in (80, 140)] == [0.5, 0.25]
    assert learning_rate_factor(longer, 199) < 1e-3


def test_the_rate_is_stable_and_then_falls_to_zero():
    o = recipe(optimisation={"steps": 200, "warmup": 10, "schedule": "stable-decay", "decay": 0.25}).optimisation
    factors = [learning_rate_factor(o, s) for s in range(200)]
    assert factors[0] == 0.1 and set(factors[9:151]) == {1.0}
    assert np.allclose(np.diff(factors[150:]), -1 / 50) and factors[199] == pytest.approx(1 / 50)
    at_once = recipe(optimisation={"steps": 200, "schedule": "stable-decay", "decay": 0.0}).optimisation
    assert [learning_rate_factor(at_once, s) for s in (0, 198, 199)] == [1.0, 1.0, 1.0]


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


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_two_channels_are_one_complex_image(norm):
    image, truth = torch.randn(2, 2, 2, 12, 10, generator=torch.Generator().manual_seed(3)).unbind()
    difference = (image - truth).double().numpy()
    spectrum = np.fft.fftshift(np.fft.fft2(difference[:, 0] + 1j * difference[:, 1], norm="ortho"), axes=(-2, -1))
    spectrum[:, 3:9, 3:8] = 0  # the measured 6 x 5
    modulus = np.abs(spectrum)
    expected = modulus.mean() if norm == "l1" else np.sqrt((modulus**2).mean((-2, -1))).mean()
    assert kspace_loss(image, truth, (6, 5), norm=norm).item() == pytest.approx(expected, rel=1e-5)
    # a real image is the same in one channel and in two
    one, two = image[:, :1], torch.cat([image[:, :1], torch.zeros(2, 1, 12, 10)], dim=1)
    pair = [kspace_loss(x, torch.zeros_like(x), (6, 5), norm=norm).item() for x in (one, two)]
    assert pair[0] == pytest.approx(pair[1], rel=1e-5)


def test_terms_are_weighed():
    image, truth = torch.full((1, 1, 4, 4), 0.5), torch.zeros(1, 1, 4, 4)
    mirrored, reference = torch.full((1, 1, 8, 8), 0.25), torch.full((1, 1, 8, 8), 1.0)
    total, terms = total_loss(Loss(target=0.7, reference=0.3), image, truth, (2, 2), mirrored, reference)
    assert total.item() == pytest.approx(0.7 * 0.5 + 0.3 * 0.75)
    assert {k: v.item() for k, v in terms.items()} == {"target": 0.5, "reference": 0.75}
    total, terms = total_loss(Loss(mse=8.0), image, truth, (2, 2))
    assert total.item() == pytest.approx(0.5 + 8 * 0.25) and terms["mse"].item() == 0.25
    # only the mean of the image differs, and that was measured
    total, _ = total_loss(Loss(kspace=0.05), image, truth, (2, 2))
    assert total.item() == pytest.approx(0.5)


def test_an_error_relative_to_the_base_image_is_the_same_at_every_size():
    truth, base = torch.zeros(3, 1, 4, 4), torch.tensor([0.5, 0.05, 0.0]).view(3, 1, 1, 1).expand(3, 1, 4, 4)
    total, terms = total_loss(Loss(target=0.0, relative=2.0), 0.5 * base, truth, (2, 2), base=base)
    assert total.item() == pytest.approx(2 * 0.25 * 2 / 3, rel=0.01) and terms["relative"] == 0.5 * total
    assert relative_error(base + 0.1, truth, base)[None].isfinite().all()


def test_a_leak_is_what_only_a_planted_reference_shows():
    reference = torch.zeros(4, 1, 20, 20)
    reference[2:, :, 4:16, 4:16] = 0.5
    image = torch.rand(2, 1, 20, 20).repeat(2, 1, 1, 1)
    assert leakage_loss(image, reference).item() == 0
    leaking = (image + 0.1 * reference).requires_grad_()
    assert leakage_loss(leaking, reference).item() == pytest.approx(0.01, rel=0.01)  # of the energy
    leakage_loss(leaking, reference).backward()
    assert leaking.grad[:2].abs().max() == 0 < leaking.grad[2:].abs().max()  # the image without is not to follow
    nothing = leakage_loss(image + torch.randn(4, 1, 20, 20) * 0.01, reference[:2].repeat(2, 1, 1, 1))
    assert nothing.item() < 10  # a window in which nothing is planted
