"""The lesion probe and the robustness probe, on methods whose faults are known."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from phantoms import real_volume
from scipy import ndimage

from MultiContrastSRLib import Volume
from MultiContrastSRLib.acquisition.lattice import LatticeImage
from MultiContrastSRLib.acquisition.model import AcquisitionModel
from MultiContrastSRLib.core.errors import CancelledError, InputError
from MultiContrastSRLib.evaluation import (
    LesionFindings,
    MethodUnderTest,
    RobustnessFindings,
    evaluate,
    probe_lesions,
    robustness_rows,
    study_of,
)
from MultiContrastSRLib.evaluation.probes import inserted_lesions as inserted
from MultiContrastSRLib.evaluation.protocols.case import make_case
from MultiContrastSRLib.evaluation.protocols.protocol import PROTOCOLS
from MultiContrastSRLib.evaluation.protocols.references import REFERENCES, reference_variant
from MultiContrastSRLib.image.resample import resample_reference
from MultiContrastSRLib.methods import REGISTRY
from MultiContrastSRLib.methods.contract import Method, Option, register

SCALE = 2


@pytest.fixture
def faulty():
    """A method that loses a share of what the sinc shows, and adds a share of the reference."""

    @register
    class Faulty(Method):
        name, label, summary, group, citation = "faulty", "Faulty", "For tests.", "classical", "none"
        reference = "optional"
        options = (Option("paint", 0.0, "Paint", "Share."), Option("lose", 0.0, "Lose", "Share."))

        def prepare(self, target, reference=None, *, refine=None, device="cpu", monitor=None, **options):
            model = AcquisitionModel.estimate(target)
            samples = tuple(n * f for n, f in zip(target.shape, (1, SCALE, SCALE), strict=True))
            image = model.spread(target.array, samples)
            if reference is not None:
                shown, _ = resample_reference(reference, model.lattice(samples), target.grid, monitor)
                image = image + options.get("paint", 0.0) * shown
            return LatticeImage(target, model, (1 - options.get("lose", 0.0)) * image)

    yield "faulty"
    REGISTRY.unregister("faulty")


def probe(masked_pair, *entries, **settings):
    target, reference, lesions = masked_pair
    return probe_lesions(target, reference, methods=entries, scales=(SCALE,), lesions=lesions, **settings)


# ------------------------------------------------------------------------------------------------ inserted lesions


def test_an_inserted_lesion_has_its_size_and_contrast(masked_pair):
    case = make_case(masked_pair[0], masked_pair[1], PROTOCOLS["p3"], lesions=masked_pair[2])
    sites = inserted.choose_sites(case, masked_pair[1].array[:, :, 4:76])
    assert 3 <= len(sites) <= inserted.MAX_SITES and {site.sign for site in sites} == {1, -1}
    centers = np.array([site.center for site in sites])
    apart = np.linalg.norm(centers[:, None] - centers[None], axis=-1) + 1e3 * np.eye(len(sites))
    assert apart.min() >= inserted.MIN_DISTANCE
    change = inserted.insert_lesions(case.truth, sites, 1000.0).array - case.truth.array
    for site in sites:
        core, ring = inserted.site_regions(case, site)
        plane = case.scored(change)[site.plane]
        assert abs(core.sum() - np.pi * site.radius**2) < 0.45 * np.pi * site.radius**2
        assert 0.8 * 200 < site.sign * inserted.contrast(plane, core, ring) <= 200.1
        _, j, i = np.round(case.truth.grid.indices(site.center)).astype(int)
        assert case.brain[site.plane, j, i] and not case.lesions[site.plane, j, i]


def test_a_lesion_lies_at_the_same_place_on_another_grid(masked_pair):
    case = make_case(masked_pair[0], None, PROTOCOLS["p3"])
    site = next(site for site in inserted.choose_sites(case, None) if site.plane == 1)
    turned = Volume(
        np.zeros((90, 90, 100), np.float32), np.array([[0, 0, 1.1, -5], [1, 0, 0, -5], [0, 1, 0, 0], [0, 0, 0, 1.0]])
    )
    change = inserted.insert_lesions(turned, [site], 100.0).array
    middle = turned.grid.positions(np.array(ndimage.center_of_mass(np.abs(change))))
    assert np.linalg.norm(middle - site.center) < 0.3


def test_removing_a_lesion_leaves_the_tissue_around_it():
    rng = np.random.default_rng(0)
    clean = 100 + ndimage.gaussian_filter(rng.normal(0, 20, (12, 40, 40)), 3) * 5
    mask = np.zeros(clean.shape)
    mask[4:8, 15:21, 17:24] = 1
    lesioned = Volume(clean + 80 * mask, np.eye(4))
    again = inserted.remove_lesions(lesioned, Volume(mask, np.eye(4)))
    assert np.abs(again.array - clean)[mask > 0].mean() < 5
    far = ~ndimage.binary_dilation(mask > 0)
    np.testing.assert_array_equal(again.array[far], lesioned.array[far])


# ------------------------------------------------------------------------------------------------ lesions


def test_the_sinc_keeps_everything_by_definition_and_has_nothing_to_leak(masked_pair):
    shares = probe(masked_pair, "guided").shares(SCALE, "sinc")
    assert shares["kept"] == shares["kept_low"] == shares["real_kept"] == 1
    assert np.isnan(shares["leaked"]) and np.isnan(shares["real_leaked"])


def test_lost_and_painted_shares_are_found(masked_pair, faulty):
    rows = [
        MethodUnderTest(faulty, "loses", {"lose": 0.2}, data_consistency=False),
        MethodUnderTest(faulty, "paints", {"paint": 0.1}, data_consistency=False),
        MethodUnderTest(faulty, "honest", data_consistency=False),
        MethodUnderTest(faulty, "blind", {"paint": 0.1}, data_consistency=False, reference="none"),
    ]
    found = probe(masked_pair, *rows)
    loses, paints, honest, blind = (found.shares(SCALE, row.label) for row in rows)
    assert honest["kept"] == pytest.approx(1, abs=3e-3) and honest["real_kept"] == pytest.approx(1, abs=3e-3)
    for name in ("kept", "real_kept", "kept_2mm", "kept_4mm"):
        assert loses[name] == pytest.approx(0.8 * honest[name], rel=1e-4)
    levels = [inserted.peak_intensity(make_case(volume, None, PROTOCOLS["p3"]).truth) for volume in masked_pair[:2]]
    expected = 0.1 * inserted.peak_intensity(masked_pair[1]) / levels[0]
    assert paints["leaked"] == pytest.approx(expected, rel=0.05)
    assert paints["leaked_rms"] == pytest.approx(expected, rel=0.05)
    assert paints["kept"] == pytest.approx(honest["kept"], abs=1e-4)
    assert honest["leaked"] == pytest.approx(0, abs=1e-5) and blind["leaked"] == pytest.approx(0, abs=1e-5)
    assert [found.meets_criteria(row.label) for row in rows] == [False, False, True, True]
    text = found.table("text")
    assert "loses fails: wanted are at least 95 % kept and at most 5 % leaked" in text and "honest passes" in text


def test_lesion_tables(masked_pair):
    first, second = (probe(masked_pair, "guided", subject=name) for name in ("one", "two"))
    found = LesionFindings.joined([first, second])
    assert found.subjects == ("one", "two") and found.pairs == (("T2", "T1"),)
    for name in ("kept", "leaked", "leaked_rms", "real_kept"):
        assert found.shares(SCALE, "guided")[name] == pytest.approx(first.shares(SCALE, "guided")[name])
    assert "| ×2 guided |" in found.table() and "Kept, radius 2 mm, %" in found.table()
    lines = list(csv.DictReader(found.table("csv").splitlines()))
    assert len(lines) == 4 and float(lines[1]["kept"]) == pytest.approx(first.shares(SCALE, "guided")["kept"], rel=1e-5)
    data = json.loads(found.table("json"), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert data["holds"].keys() == {"sinc", "guided"} and data["results"][0]["shares"]["leaked"] is None
    with pytest.raises(InputError, match="Table format is 'html'"):
        found.table("html")


def test_the_lesion_probe_without_reference_and_across_slices(masked_pair):
    found = probe_lesions(masked_pair[0], None, methods=["bspline"], scales=(SCALE,), alone=True)
    shares = found.shares(SCALE, "bspline")
    assert 0.8 < shares["kept"] < 1.05 and np.isnan(shares["leaked"]) and np.isnan(shares["real_kept"])
    with pytest.raises(InputError, match="No scored slice has room for a lesion"):
        probe_lesions(*masked_pair[:2], methods=["guided"], degradation="slab", scales=(3,))
    deep = [Volume(np.repeat(volume.array, 4, axis=0), np.eye(4)) for volume in masked_pair[:2]]
    thick = probe_lesions(*deep, methods=["guided"], degradation="slab", scales=(3,))
    assert thick.shares(3, "guided")["kept"] > 0.9 and np.isfinite(thick.shares(3, "guided")["leaked"])


def test_the_lesion_probe_can_be_cancelled(masked_pair):
    told = []
    with pytest.raises(CancelledError):
        probe(masked_pair, "guided", progress=lambda f, stage: told.append(f), cancel=lambda: len(told) > 5)
    assert told == sorted(told)


# ------------------------------------------------------------------------------------------------ robustness


@pytest.fixture
def case(masked_pair):
    return make_case(*masked_pair[:2], PROTOCOLS["p3"])


def test_altered_references(case):
    reference = case.reference
    made = {kind: reference_variant(reference, kind, case, 2.0) for kind in REFERENCES}
    assert made["none"] is None and made["full"] is reference and not made["blank"].array.any()
    np.testing.assert_array_equal(made["reversed"].array, reference.array[::-1])
    assert made["low"].shape == (9, 48, 40) and made["half"].shape == (9, 96, 40)
    np.testing.assert_array_equal(made["half"].array, reference.array[:, :, :40])
    moved = made["shifted"].grid.indices(reference.grid.positions((0, 0, 0)))
    np.testing.assert_allclose(moved, (0, 0, -3), atol=1e-9)
    # a reference whose axes lie in another order is changed along the same directions of the patient
    turned = Volume(reference.array.transpose(1, 2, 0), reference.affine[:, [0, 1, 2, 3]][:, [2, 0, 1, 3]])
    flipped = reference_variant(turned, "reversed", case, 2.0)
    np.testing.assert_array_equal(flipped.array, turned.array[:, :, ::-1])
    assert reference_variant(turned, "low", case, (2.0, 4.0)).shape == (48, 20, 9)


def test_a_painter_is_caught_and_guided_gains(masked_pair, faulty):
    rows = robustness_rows(["guided", MethodUnderTest(faulty, "painter", {"paint": 0.3}, data_consistency=False)])
    assert [row.row for row in rows[:3]] == ["sinc", "guided, reference none", "guided, reference full"]
    found = RobustnessFindings(study_of(evaluate(*masked_pair[:2], methods=rows, scales=(SCALE,))))
    assert found.methods == ("guided", "painter")
    assert found.gain(SCALE, "guided", "full").mean > 1
    assert found.gain(SCALE, "guided", "blank").mean == pytest.approx(0, abs=1e-6)
    assert not found.is_robust("painter") and found.worst("painter", "shifted")[0] < -1
    assert found.worst("guided", "half")[1] == "T2 ← T1 ×2"
    text = found.table("text")
    assert "painter: a wrong reference costs more than 0.1 dB." in text and "moved by 3 pixels" in text
    assert {entry["reference"] for entry in json.loads(found.table("json"))["robustness"]} == set(REFERENCES) - {
        "none", "low"
    }  # fmt: skip
    assert "guided, reference shifted" in found.table("csv")


def test_methods_that_take_no_reference_have_nothing_to_be_robust_against():
    with pytest.raises(InputError, match="No method works both with and without a reference"):
        robustness_rows(["bspline"])


# ------------------------------------------------------------------------------------------------ real scans


@pytest.mark.slow
def test_guided_keeps_lesions_of_a_real_patient():
    folder = "open_ms_data/cross_sectional/MNI/patient26"
    scans = [real_volume(folder, f"{name}_*.nii.gz") for name in ("FLAIR", "T1", "GOLD_STANDARD")]
    found = probe_lesions(
        *scans[:2], methods=["guided"], scales=(SCALE,), lesions=scans[2], slices=[80, 100], alone=True
    )
    shares = found.shares(SCALE, "guided")
    assert shares["kept"] > 0.95 and shares["real_kept"] > 0.95 and shares["leaked"] < 0.05
