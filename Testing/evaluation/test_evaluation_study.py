"""Studies: several subjects, pairs and scales from a folder; P4 in both directions; the papers' tables."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from phantoms import pair, real_scan
from scipy import ndimage

from MultiContrastSRLib import Volume, save_volume
from MultiContrastSRLib.core.errors import CancelledError, FileReadError, InputError
from MultiContrastSRLib.evaluation import (
    BETTER,
    MASK_TRICK,
    PROTOCOLS,
    Layout,
    MethodUnderTest,
    evaluate,
    evaluate_bidirectional,
    evaluate_study,
    study_of,
)
from MultiContrastSRLib.evaluation.cohort import find_pairs
from MultiContrastSRLib.evaluation.layout import parse_pairs
from MultiContrastSRLib.evaluation.protocols.scales import scale_name
from MultiContrastSRLib.evaluation.tables.published import MARK, PUBLISHED, published_for
from MultiContrastSRLib.image.similarity import mutual_information

PAIRS = (("T2", "T1"), ("T1", "T2"))


@pytest.fixture(scope="session")
def study(cohort):
    return evaluate_study(cohort, pairs=PAIRS, methods=["bspline", "guided"], scales=(2, (3, 1.5)))


def test_every_subject_that_has_all_contrasts_is_found(cohort):
    assert Layout(cohort).subjects(["T1", "T2"]) == ["one", "two"]
    assert Layout(cohort).subjects(["T1", "T1POST"]) == ["one"]
    named = Layout(cohort, "MNI/{subject}/{contrast}_?rain.nii.gz")
    assert named.subjects(["T2"]) == ["one", "two"] and named.scan("two", "T2").parent.name == "two"
    with pytest.raises(FileReadError, match=r"No subject below .* has all of T1, PD as"):
        Layout(cohort).subjects(["T1", "PD"])
    with pytest.raises(FileReadError, match=r"No scan .*two/PD_.*; expected one file"):
        evaluate_study(cohort, ["two"], [("T1", "PD")])
    with pytest.raises(InputError, match=r"2 files match .*; expected one. Give a narrower template"):
        Layout(cohort, "**/{subject}/{contrast}*.nii.gz").scan("one", "T1")


def test_names_that_look_like_patterns_and_people_of_one_name(tmp_path):
    def touch(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()

    touch("s/P1/T2_.nii.gz", "s/P1/T1_.nii.gz", "s/P[1]/T2_.nii.gz", "s/P1/GOLD_STANDARD_.nii.gz")
    layout = Layout(tmp_path / "s")
    assert layout.subjects(["T2"]) == ["P1", "P[1]"] and layout.scan("P[1]", "T2").parent.name == "P[1]"
    assert layout.lesion_mask("P[1]") is None and layout.lesion_mask("P1") is not None
    with pytest.raises(FileReadError, match=r"No scan .*P\[1\]/T1_"):
        find_pairs(layout, PROTOCOLS["p3"], ["P[1]"], [("T2", "T1")])

    touch("t/A/01/T2_.nii.gz", "t/B/01/T1_.nii.gz", "t/A/02/T2_.nii.gz", "t/B/02/GOLD_STANDARD_.nii.gz")
    for subject, chosen in (("01", ("T2", "T1")), ("02", ("T2", ""))):
        with pytest.raises(InputError, match=f"subject '{subject}' lie in different places, .*T[12]_.* and .*_"):
            find_pairs(Layout(tmp_path / "t"), PROTOCOLS["p3"], [subject], [chosen])
    assert find_pairs(Layout(tmp_path / "t"), PROTOCOLS["p3"], ["01"], [("T2", "")])


def test_pairs_as_typed():
    assert parse_pairs(["T2:T1,FLAIR:T1", "T1"]) == (("T2", "T1"), ("FLAIR", "T1"), ("T1", ""))
    for wrong in (":T1", "T1:T1", "T2:T1,T2:T1"):
        with pytest.raises(InputError, match="expected TARGET:REFERENCE"):
            parse_pairs([wrong])


def test_a_study_holds_what_single_evaluations_say(cohort, study, masked_pair):
    assert study.subjects == ("one", "two") and study.pairs == PAIRS and len(study.evaluations) == 4
    alone = evaluate(*masked_pair[:2], methods=["bspline", "guided"], scales=(2, (3, 1.5)), lesions=masked_pair[2])
    first = study.of(("T2", "T1"))[0]
    for scale in study.scales:
        assert first.mean(scale, "guided", "psnr") == pytest.approx(alone.mean(scale, "guided", "psnr"), abs=1e-3)
    assert first.effective[3.0, 1.5] == (1.0, 3.0, 1.5)
    assert "psnr_lesion" in first.metrics and "psnr_lesion" not in study.of(("T2", "T1"))[1].metrics


def test_means_and_intervals_over_subjects_and_pairs(study):
    found = study.estimate(2, "guided", "psnr", "sinc", PAIRS[0])
    means = [one.difference(2, "guided").mean for one in study.of(PAIRS[0])]
    assert found.mean == pytest.approx(np.mean(means)) and found.subjects == 2 and found.slices == 6
    half = 12.706 * np.std(means, ddof=1) / np.sqrt(2)  # Student's t with one degree of freedom
    assert found.interval == found.over_subjects == pytest.approx((found.mean - half, found.mean + half), rel=1e-3)
    both = study.estimate(2, "guided", "psnr", "sinc")
    single = [study.estimate(2, "guided", "psnr", "sinc", each).mean for each in PAIRS]
    assert both.mean == pytest.approx(np.mean(single)) and both.slices == 6, "pairs of a slice are one value"
    assert study.lowest(2, "guided", "psnr", "sinc") == (pytest.approx(min(single)), PAIRS[int(np.argmin(single))])
    with pytest.raises(InputError, match="No pair T2:PD; evaluated were T2:T1, T1:T2"):
        study.estimate(2, "guided", "psnr", None, ("T2", "PD"))


def test_the_better_of_sinc_and_guided_is_chosen_per_pair_and_scale(study):
    for each in PAIRS:
        for scale in study.scales:
            means = {row: study.estimate(scale, row, "psnr", None, each).mean for row in ("sinc", "guided", "bspline")}
            found = study.estimate(scale, "bspline", "psnr", BETTER, each)
            assert found.mean == pytest.approx(means["bspline"] - max(means["sinc"], means["guided"]))


def test_one_subject_says_nothing_about_others(cohort):
    study = evaluate_study(cohort, ["one"], [("T2", "T1")], methods=["guided"], scales=(2,))
    found = study.estimate(2, "guided", "psnr", "sinc")
    assert np.isnan(found.over_subjects).all() and found.interval == found.over_slices
    assert "1 subject (one): intervals are over its slices" in study.table("text")
    assert "over subjects]" not in study.table("text") and "[95 % CI over slices]; n = 3 slices of 1 subject" in (
        study.table("text")
    )


def test_the_table_is_laid_out_like_the_papers(study):
    text = study.table()
    assert "| Method | ×2 | ×3×1.5 |" in text and "Mean over 2 pairs" in text and "## T1 ← T2" in text
    assert "[95 % CI over subjects]; n = 6 slices of 2 subjects; lowest pair" in text
    line = next(line for line in text.splitlines() if line.startswith(f"| Dual-ArbNet, IXI T2 ← PD ({MARK})"))
    assert line.endswith("| 40.77 | – |") and text.count("IXI T2 ← PD") == 1
    value = study.estimate(2, "guided").mean
    assert f"{value:.2f} ± " in text and study.table("text").count("* best of its column") > 3
    against = replace(study, against="bspline").table()
    assert "PSNR gain over bspline, dB" in against and f"gain over {BETTER}" not in against


def test_subjects_and_pairs_without_a_brain_are_left_out_of_its_means(study):
    def flat(found, *subjects):
        """No plane of these subjects keeps a brain after the erosion, as where scans have 12 slices."""
        if found.subject not in subjects:
            return found
        unknown = {"psnr_brain": np.full(len(found.units), np.nan)}
        return replace(found, scores={key: {**values, **unknown} for key, values in found.scores.items()})

    one = replace(study, evaluations=tuple(flat(found, "two") for found in study.evaluations))
    kept = [found.mean(2, "guided", "psnr_brain") for found in one.evaluations[:2]]
    assert one.estimate(2, "guided", "psnr_brain").mean == pytest.approx(np.mean(kept))
    text = one.table()
    assert "### PSNR brain gain over the better of sinc and guided, dB [95 % CI over slices]; n = 3 slices" in text
    lines = list(csv.DictReader(one.table("csv").splitlines()))
    assert {(line["psnr_brain_gain"] == "", line["subject"]) for line in lines} == {(False, "one"), (True, "two")}
    assert len(json.loads(one.table("json"))["results"]) == 3 * 2 * 4

    none = replace(study, evaluations=tuple(flat(found, "one", "two") for found in study.evaluations))
    assert "PSNR gain over" in none.table() and "PSNR brain" not in none.table("text") + none.table("csv")
    assert not any("psnr_brain" in result["gain"] for result in json.loads(none.table("json"))["results"])

    first = tuple(found if found.title == "T2 ← T1" else flat(found, "one", "two") for found in study.evaluations)
    assert replace(study, evaluations=first).table().count("### PSNR brain gain") == 2, "not of T1 ← T2"


def test_published_rows_are_those_of_the_papers():
    assert {row.method for row in published_for(PROTOCOLS["p2"], "ssim")} == {"MINet"} and not published_for(
        PROTOCOLS["p4"], "psnr"
    )
    slabs = replace(PROTOCOLS["p4"], degradation="slab")
    assert not published_for(slabs, "psnr_rescaled"), "the paper has no slabs"
    assert all(MARK in row.row and 0 < min(row.values.values()) < 60 for row in PUBLISHED)
    inr = [row for row in published_for(PROTOCOLS["p4"], "psnr_rescaled") if row.data == "MSSEG FLAIR"]
    assert [(row.method, row.values[4.0]) for row in inr] == [("Split-head INR", 32.514), ("Cubic spline", 28.724)]


def test_json_and_csv_of_a_study(study):
    data = json.loads(study.table("json"), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert data["subjects"] == ["one", "two"] and len(data["evaluations"]) == 4 and data["published_on_other_data"]
    mean = next(r for r in data["results"] if r["pair"] == "mean over pairs" and r["method"] == "guided")
    assert mean["metrics"]["psnr"]["mean"] == pytest.approx(study.estimate(2, "guided").mean)
    assert mean["gain"]["psnr"]["over"] == BETTER and mean["gain"]["psnr"]["subjects"] == 2
    lines = list(csv.DictReader(study.table("csv").splitlines()))
    assert len(lines) == 4 * 2 * 4 and {line["subject"] for line in lines} == {"one", "two"}
    assert {line["scale"] for line in lines} == {"2", "3x1.5"}
    for line in lines:
        scale = next(one for one in study.scales if scale_name(one).replace("×", "x") == line["scale"])
        found = next(one for one in study.of((line["target"], line["reference"])) if one.subject == line["subject"])
        over = study.better(scale, "psnr", (line["target"], line["reference"]))
        expected = found.difference(scale, line["method"], "psnr", over).mean
        assert line["psnr_gain_over"] == over and float(line["psnr_gain"]) == pytest.approx(expected, rel=1e-4)
    assert {line["psnr_gain_over"] for line in lines} != {"sinc"}
    against = list(csv.DictReader(replace(study, against="bspline").table("csv").splitlines()))
    assert {line[f"{name}_gain_over"] for line in against for name in ("psnr", "psnr_brain")} == {"bspline"}
    assert all(float(line["psnr_gain"]) == 0 for line in against if line["method"] == "bspline")
    other = next(line for line in lines if line["subject"] == "two" and line["method"] == "guided")
    assert other["psnr_lesion"] == "" and float(other["psnr"]) > 10


def test_one_figure_for_every_subject_and_pair(study, tmp_path):
    drawn = study.figure(tmp_path / "errors.png", scale=2)
    assert {path.name for path in drawn} == {
        f"errors-{subject}-{a}-{b}.png" for subject in ("one", "two") for a, b in PAIRS
    }
    assert all(path.stat().st_size > 10_000 for path in drawn)
    assert list(study_of(study.evaluations[0]).figures(tmp_path / "a.pdf")) == [tmp_path / "a.pdf"]


def test_progress_cancel_and_news(cohort):
    told, news = [], []
    arguments = {"pairs": PAIRS, "methods": ["bspline"], "scales": (2,), "slices": [4]}
    evaluate_study(cohort, ["two"], **arguments, progress=lambda f, stage: told.append(f), on_evaluation=news.append)
    assert told == sorted(told) and told[-1] == 1 and [found.title for found in news] == ["T2 ← T1", "T1 ← T2"]
    news.clear()
    with pytest.raises(CancelledError):
        evaluate_study(cohort, ["two"], **arguments, on_evaluation=news.append, cancel=lambda: len(news) == 1)
    assert len(news) == 1


def test_slices_alone_give_the_same_sinc(masked_pair):
    arguments = {"methods": ["guided"], "scales": (2,)}
    whole, alone = (evaluate(*masked_pair[:2], **arguments, alone=flag) for flag in (False, True))
    np.testing.assert_allclose(alone.values(2, "sinc", "psnr"), whole.values(2, "sinc", "psnr"), atol=1e-3)
    assert alone.difference(2, "guided").mean > 1 and any("by itself" in said for said in alone.description)
    with pytest.raises(InputError, match="expected degradation 'kspace'"):
        evaluate(masked_pair[0], degradation="slab", alone=True)


def test_rows_with_a_coarse_or_no_reference(masked_pair):
    rows = [
        "guided",
        MethodUnderTest("guided", "low", reference="low"),
        MethodUnderTest("guided", "none", reference="none"),
    ]
    found = evaluate(*masked_pair[:2], methods=rows, scales=(3,), slices=[4])
    consistent = evaluate(masked_pair[0], methods=["guided"], scales=(3,), slices=[4])
    assert found.mean(3, "none", "psnr") == pytest.approx(consistent.mean(3, "guided", "psnr"), abs=1e-4)
    assert found.mean(3, "guided", "psnr") > found.mean(3, "low", "psnr") + 0.5
    assert "Reference degraded like the target: low." in found.description


@pytest.fixture(scope="session")
def isotropic():
    target, reference = pair((30, 48, 48), seed=2)
    return [Volume(ndimage.gaussian_filter(v.array, (2, 1, 1)) + 60, np.eye(4), v.name) for v in (target, reference)]


def test_p4_super_resolves_both_and_compares_what_they_share(isotropic):
    first, second = evaluate_bidirectional(*isotropic, methods=["bspline"], scales=(3,), slices=3)
    assert (first.title, second.title) == ("T2 ← T1", "T1 ← T2")
    assert first.effective[3.0] == (1.0, 1.0, 3.0) and second.effective[3.0] == (1.0, 3.0, 1.0)
    assert {"mi_error", "mi_error_both", "psnr_rescaled", "psnr_brain"} <= set(first.metrics) & set(second.metrics)
    shown = [found.pictures[3.0] for found in (first, second)]
    assert shown[0].slice in first.units and first.units == tuple(range(0, 30, 3))
    # by hand, from predictions that were made apart
    from MultiContrastSRLib import degrade, prepare

    made = []
    for volume, axis in zip(isotropic, (2, 1), strict=True):
        low = degrade(volume, "subsample", 3, axis)
        made.append(prepare(low, method="bspline", data_consistency=False).render(volume.grid).array[::3])
    truth = [volume.array[::3] for volume in isotropic]
    expected = abs(mutual_information(*made) - mutual_information(*truth))
    assert first.values(3, "bspline", "mi_error_both") == pytest.approx([expected], abs=2e-3)
    assert np.isnan(first.values(3, MASK_TRICK, "mi_error_both")).all()


def test_p4_in_a_study(isotropic, tmp_path):
    place = tmp_path / "sub"
    place.mkdir()
    for volume in isotropic:
        save_volume(volume, place / f"{volume.name}.nii")
    layout = Layout(tmp_path, "{subject}/{contrast}.nii")
    settings = {"methods": ["bspline"], "protocol": "P4", "slices": 6}
    study = evaluate_study(layout, None, [("T2", "T1"), ("T1", "T2")], **settings)
    assert study.pairs == (("T2", "T1"), ("T1", "T2")), "both directions once, not twice"
    assert "Split-head INR, BraTS T1" in study.table() and "n = 1 volume of 1 subject" in study.table()
    with pytest.raises(InputError, match="expected registration 'off'"):
        evaluate_study(layout, None, [("T2", "T1")], **settings, register="auto")


@pytest.mark.slow
def test_real_patient_by_name():
    folder = real_scan("open_ms_data").parent
    study = evaluate_study(
        folder,
        ["patient26"],
        [("T2", "T1"), ("T1POST", "T1")],
        methods=["guided"],
        scales=(2.7,),
        slices=40,
        alone=True,
    )
    assert [found.units for found in study.evaluations] == [(40, 80, 120)] * 2
    assert study.estimate(2.7, "guided", "psnr", "sinc").mean > 0.5 and "psnr_lesion" in study.metrics
