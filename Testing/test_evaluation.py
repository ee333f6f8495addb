"""Evaluation: metrics against independent implementations, and the numbers of a table against a by-hand evaluation."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from phantoms import pair, psnr, real_volume
from scipy import ndimage, stats
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from MultiContrastSRLib import Grid, Volume, degrade, prepare
from MultiContrastSRLib.errors import CancelledError, FileWriteError, InputError, OptionError, UnknownNameError
from MultiContrastSRLib.evaluation import MASK_TRICK, PROTOCOLS, Entry, evaluate, masks, metrics
from MultiContrastSRLib.evaluation.baselines import mask_trick
from MultiContrastSRLib.evaluation.case import NEIGHBOURS, make_case
from MultiContrastSRLib.evaluation.figure import compose
from MultiContrastSRLib.evaluation.protocols import axis_index


@pytest.fixture
def images(rng):
    """(prediction, truth), (slices, rows, columns)."""
    truth = ndimage.gaussian_filter(rng.random((14, 40, 37)), 1.0) * 800
    return truth + rng.normal(0, 20, truth.shape), truth


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.fixture(scope="module")
def masked_pair():
    """Two contrasts of one anatomy, skull-stripped by one mask, with a lesion mask."""
    target, reference = pair((9, 96, 80))
    rows, columns = np.mgrid[:96, :80]
    head = ((rows - 48) / 38) ** 2 + ((columns - 40) / 30) ** 2 < 1
    lesions = np.broadcast_to((rows - 50) ** 2 + (columns - 36) ** 2 < 20, target.shape)
    # 80 where the phantom's gaps are: a brain has none
    strip = [Volume((np.maximum(v.array, 0) + 80) * head, v.affine, v.name) for v in (target, reference)]
    brighter = strip[0].array + 150 * lesions
    return Volume(brighter, target.affine, "T2"), strip[1], Volume(lesions.astype(float), target.affine)


@pytest.fixture(scope="module")
def found(masked_pair):
    target, reference, lesions = masked_pair
    return evaluate(target, reference, methods=["bspline", "guided"], scales=(2, 3), lesions=lesions)


# ---------------------------------------------------------------------------------------------------- metrics


def test_psnr_is_scikit_images(images):
    prediction, truth = images
    expected = [peak_signal_noise_ratio(t, p, data_range=700.0) for p, t in zip(prediction, truth, strict=True)]
    np.testing.assert_allclose(metrics.psnr(prediction, truth, 700.0), expected, rtol=1e-9)


def test_psnr_inside_a_mask(images):
    prediction, truth = images
    mask = np.zeros(truth.shape, bool)
    mask[1:, 5:9, 6:20] = True
    values = metrics.psnr(prediction, truth, np.full(14, 500.0), mask, minimum=50)
    error = ((prediction - truth)[3, 5:9, 6:20] ** 2).mean()
    assert np.isnan(values[0]) and values[3] == pytest.approx(10 * np.log10(500**2 / error))
    assert np.isnan(metrics.psnr(prediction, truth, 1.0, mask, minimum=57)).all()
    assert np.isposinf(metrics.psnr(truth, truth, 1.0)).all()


def test_ssim_is_the_standard_gaussian_one_per_slice(images):
    prediction, truth = images
    ranges = np.linspace(400, 900, len(truth))
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    expected = [
        structural_similarity(t, p, data_range=r, **settings) for p, t, r in zip(prediction, truth, ranges, strict=True)
    ]
    np.testing.assert_allclose(metrics.ssim(prediction, truth, ranges), expected, atol=1e-10)


def test_ssim_is_the_standard_gaussian_one_in_3d(images):
    prediction, truth = images
    expected = structural_similarity(
        truth, prediction, data_range=800.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    np.testing.assert_allclose(metrics.ssim(prediction, truth, 800.0, volumetric=True), [expected], atol=1e-10)


def test_ssim_with_the_uniform_window_of_p2(images):
    prediction, truth = images
    expected = [
        structural_similarity(t, p, data_range=800.0, win_size=7) for p, t in zip(prediction, truth, strict=True)
    ]
    np.testing.assert_allclose(metrics.ssim(prediction, truth, 800.0, window=7), expected, atol=1e-10)


def test_ssim_depends_on_the_stated_data_range(images):
    assert (metrics.ssim(*images, 2000.0) > metrics.ssim(*images, 500.0)).all()


def test_hfen_is_the_relative_norm_of_the_filtered_difference(images):
    prediction, truth = images
    kernel = metrics.laplacian_of_gaussian()
    assert kernel.shape == (15, 15) and abs(kernel.sum()) < 1e-12
    # the kernel is scipy's continuous Laplacian of Gaussian up to sampling
    impulse = np.zeros((31, 31))
    impulse[15, 15] = 1
    np.testing.assert_allclose(
        kernel, ndimage.gaussian_laplace(impulse, 1.5)[8:23, 8:23], atol=5e-3 * abs(kernel).max()
    )
    filtered = [ndimage.convolve(image[2], kernel, mode="constant") for image in (prediction - truth, truth)]
    value = metrics.hfen(prediction, truth)[2]
    assert value == pytest.approx(np.linalg.norm(filtered[0]) / np.linalg.norm(filtered[1]))
    np.testing.assert_allclose(metrics.hfen(np.zeros_like(truth), truth), 1.0)
    assert np.isnan(metrics.hfen(prediction, np.zeros_like(truth))).all()


def test_nmse(images):
    prediction, truth = images
    assert metrics.nmse(prediction, truth)[4] == pytest.approx(
        ((prediction - truth)[4] ** 2).sum() / (truth[4] ** 2).sum()
    )
    assert np.isnan(metrics.nmse(prediction, np.zeros_like(truth))).all()


def test_mutual_information_of_known_distributions(rng):
    x, noise = rng.random((2, 200_000))
    counts = np.histogram(x, 32)[0] / x.size
    assert metrics.mutual_information(x, 5 - 3 * x) == pytest.approx(-(counts * np.log(counts)).sum(), abs=1e-3)
    assert metrics.mutual_information(x, noise) < 0.004  # the bias of a 32² histogram is 31²/(2n) = 0.0024
    half = np.arange(x.size) % 2 == 0
    mixed = np.where(half, x, noise)
    assert metrics.mutual_information(x, mixed, half) == pytest.approx(metrics.mutual_information(x[half], x[half]))


def test_mutual_information_error_sees_too_little_and_too_much(rng):
    other = rng.random(50_000)
    truth = other + rng.normal(0, 0.3, other.size)
    assert metrics.mutual_information_error(truth, truth, other) == 0
    assert metrics.mutual_information_error(other, truth, other) > 1  # the reference itself, painted in
    assert metrics.mutual_information_error(rng.random(other.size), truth, other) > 0.3


def test_lesion_contrast():
    image = np.full((1, 20, 20), 100.0)
    lesion = np.zeros(image.shape, bool)
    lesion[0, 8:12, 8:12] = True
    image[lesion] = 150.0
    image[0, :3] = 1e6  # outside the ring
    assert metrics.lesion_contrast(image, lesion, np.ones(image.shape, bool)) == pytest.approx(0.5)
    assert np.isnan(metrics.lesion_contrast(image, lesion & False, lesion))


def test_paired_difference_is_the_t_interval(rng):
    a, b = rng.normal(1, 1, (2, 12))
    values = np.append(a, [np.nan, np.inf])
    result = metrics.paired_difference(values, np.append(b, [0, np.inf]))
    interval = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (result.low, result.high) == pytest.approx((interval.low, interval.high))
    assert result.n == 12 and result.mean == pytest.approx((a - b).mean())
    assert np.isnan(metrics.paired_difference(a[:1], b[:1]).low)


# -------------------------------------------------------------------------------------------------- regions, protocols


def test_foreground_is_the_largest_part_without_holes():
    image = np.zeros((2, 40, 40))
    image[:, 5:30, 5:30] = 100
    image[:, 12:15, 12:15] = 0
    image[:, 35:38, 35:38] = 100
    expected = np.zeros(image.shape, bool)
    expected[:, 5:30, 5:30] = True
    np.testing.assert_array_equal(masks.foreground(image), expected)


def test_eroded_takes_six_pixels_off_every_side():
    mask = np.zeros((2, 40, 40), bool)
    mask[0, 5:30, 8:] = True
    expected = np.zeros(mask.shape, bool)
    expected[0, 11:24, 14:34] = True
    np.testing.assert_array_equal(masks.eroded(mask), expected)


def test_axis_index_knows_views_in_any_array_order():
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0, 0, -2.0], [1.0, 0, 0], [0, 1.0, 0]])  # i → anterior, j → superior, k → left
    grid = Grid((4, 5, 6), affine)
    assert [axis_index(grid, name) for name in ("sagittal", "coronal", "axial")] == [0, 2, 1]
    assert axis_index(grid, None) == 0 and axis_index(grid, "i") == 2
    with pytest.raises(InputError, match="Axis is 'x'; expected 0, 1, 2, k, j, i, sagittal"):
        axis_index(grid, "x")


def test_a_case_keeps_neighbours_and_crops_to_multiples(rng):
    array = np.zeros((60, 60, 52))
    array[:, 4:56, 4:50] = rng.random((60, 52, 46)) + 1
    array[40:] = 0
    case = make_case(Volume(array, np.eye(4)), None, replace(PROTOCOLS["p3"], every=9))
    # foreground in slices 0 … 39; scored 0, 9 … 36; neighbours to 44; 60 and 52 pixels become 48
    assert [case.first + plane for plane in case.planes] == [0, 9, 18, 27, 36]
    assert case.truth.shape == (36 + NEIGHBOURS + 1, 48, 48)
    np.testing.assert_array_equal(case.truth.array, array[:45, 6:54, 2:50].astype(np.float32))
    np.testing.assert_allclose(case.truth.affine[:3, 3], (2, 6, 0))
    later = make_case(Volume(array, np.eye(4)), None, PROTOCOLS["p3"], slices=[30, 20])
    assert later.first == 12 and later.planes == (8, 18)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"scales": (1,)}, InputError, "Scales are (1,); expected different numbers above 1, for example 2, 3, 4."),
        ({"protocol": "p9"}, UnknownNameError, "Unknown protocol 'p9'; expected one of p1, p2, p3, p4."),
        ({"methods": ["magic"]}, UnknownNameError, "Unknown method 'magic'; expected one of "),
        ({"methods": [Entry("sinc", options={"x": 1})]}, OptionError, "Method 'sinc' has no option 'x'; expected "),
        ({"methods": ["bspline", "bspline"]}, InputError, "Two rows are called 'bspline'; give each its own label."),
        ({"slices": [40]}, InputError, "Slices are [40]; expected indices from 0 to 8."),
        ({"slices": 0}, InputError, "Slices is 0; expected a whole number from 1 (every n-th) or a list of indices."),
        ({"degradation": "blur"}, InputError, "Degradation is 'blur'; expected one of kspace, slab, spline."),
        ({"register": "maybe"}, InputError, "Registration is 'maybe'; expected one of auto, off, on."),
    ],
)
def test_bad_arguments(masked_pair, arguments, error, message):
    with pytest.raises(error) as raised:
        evaluate(masked_pair[0], masked_pair[1], **arguments)
    assert str(raised.value).startswith(message)


def test_nothing_to_score(masked_pair):
    target, _, lesions = masked_pair
    with pytest.raises(InputError, match="None of the 3 slices to score has at least 2 % foreground"):
        evaluate(target, mask=Volume(lesions.array * 0, lesions.affine))


# ---------------------------------------------------------------------------------------------------- evaluation


@pytest.mark.parametrize(("kind", "scale"), [("kspace", (1, 2, 3)), ("kspace", (1, 2.5, 1.3)), ("slab", (3, 1, 1))])
def test_the_mask_trick_agrees_with_the_degraded_volume(masked_pair, kind, scale):
    truth = masked_pair[0]
    low = degrade(truth, kind, scale)
    sinc = prepare(low, method="sinc", data_consistency=False).render(truth.grid).array
    result = mask_trick(low, sinc, truth.array > 0, truth.grid, kind)
    again = degrade(Volume(result, truth.affine), kind, scale)
    np.testing.assert_allclose(again.array, low.array, atol=2e-3 * truth.array.max())
    if kind == "kspace":  # across slices the phantom's mask does not change, and gives nothing away
        assert psnr(result, truth) > psnr(sinc, truth) + 0.3


def test_scores_equal_an_evaluation_by_hand(masked_pair, found):
    target, reference, lesions = masked_pair
    truth = target.array[:, :, 4:76]  # 80 columns become 72, a multiple of 24
    cropped = Volume.on(target.grid.crop((0, 0, 4), (9, 96, 76)), truth.copy())
    assert found.units == (0, 3, 6) and found.rows == ("sinc", MASK_TRICK, "bspline", "guided")
    for scale in (2, 3):
        low = degrade(cropped, "kspace", scale)
        for row, consistent in (("sinc", False), ("bspline", False), ("guided", True)):
            helper = reference if row == "guided" else None
            run = prepare(low, helper, row, register="off", data_consistency=consistent)
            image = run.render(cropped.grid).array
            assert found.mean(scale, row, "psnr") == pytest.approx(psnr(image[::3], truth[::3]), abs=1e-3)
            inside = lesions.array[:, :, 4:76] > 0
            error = ((image - truth)[3][inside[3]] ** 2).mean()
            lesion = 10 * np.log10(np.ptp(truth[3]) ** 2 / error)
            assert found.values(scale, row, "psnr_lesion")[1] == pytest.approx(lesion, abs=1e-3)
        gain = found.mean(scale, "guided", "psnr") - found.mean(scale, "sinc", "psnr")
        assert found.difference(scale, "guided").mean == pytest.approx(gain) and gain > 1


def test_metrics_of_a_perfect_and_a_painted_method(found):
    assert set(found.metrics) == {
        "psnr", "ssim", "psnr_brain", "psnr_lesion", "contrast_lesion", "hfen", "nmse", "mi_error", "seconds"
    }  # fmt: skip
    assert 0.5 < found.mean(3, "sinc", "contrast_lesion") < found.mean(3, "guided", "contrast_lesion") < 1.2
    assert found.mean(3, MASK_TRICK, "psnr") > found.mean(3, "sinc", "psnr")
    with pytest.raises(InputError, match="No 'psnr' of 'lanczos' at ×3; evaluated were scales 2, 3, rows sinc"):
        found.values(3, "lanczos", "psnr")


def test_without_a_reference(masked_pair):
    found = evaluate(masked_pair[0], methods=["linear"], scales=(2,), slices=[4])
    assert found.rows == ("sinc", "linear") and found.title == "T2" and "mi_error" not in found.metrics
    assert not any("ference" in sentence for sentence in found.conditions)


def test_entries_make_ablations(masked_pair):
    entries = [Entry("guided", "without consistency", data_consistency=False), "guided"]
    found = evaluate(*masked_pair[:2], methods=entries, scales=(3,), slices=[4])
    assert found.rows == ("sinc", MASK_TRICK, "without consistency", "guided")
    assert "Without data consistency, as plain interpolations are: sinc, without consistency." in found.conditions
    assert found.mean(3, "guided", "psnr") != found.mean(3, "without consistency", "psnr")


@pytest.mark.parametrize("kind", ["slab", "spline"])
def test_through_plane_is_scored_on_planes_standing_on_the_slices(kind):
    target, reference = pair((24, 48, 48), seed=1)
    smooth = [Volume(ndimage.gaussian_filter(v.array, (2, 0, 0)) + 80, v.affine, v.name) for v in (target, reference)]
    found = evaluate(*smooth, methods=["guided", "nearest"], degradation=kind, scales=(3,))
    assert found.effective[3] == (3.0, 1.0, 1.0) and found.units == tuple(range(0, 48, 3))
    assert found.pictures[3].truth.shape == (24, 48) and found.pictures[3].slice in found.units
    low = degrade(smooth[0], kind, 3)
    image = prepare(low, method="nearest", data_consistency=False).render(smooth[0].grid).array
    expected = psnr(*(np.moveaxis(array, 1, 0)[::3] for array in (image, smooth[0].array)))
    assert found.mean(3, "nearest", "psnr") == pytest.approx(expected, abs=1e-3)
    assert found.mean(3, "guided", "psnr") > expected
    assert "every 3rd reformatted plane" in found.protocol.title and "Degraded along k" in found.conditions[1]


def test_p2_is_volume_wise(masked_pair):
    target = masked_pair[0]
    found = evaluate(target, methods=["bspline"], protocol="p2", scales=(2,))
    low = degrade(target, "kspace", 2)
    image = prepare(low, method="bspline", data_consistency=False).render(target.grid).array
    expected = peak_signal_noise_ratio(target.array, image, data_range=float(target.array.max()))
    assert found.values(2, "bspline", "psnr") == pytest.approx([expected], abs=1e-3)
    similar = [
        structural_similarity(t, p, data_range=target.array.max(), win_size=7)
        for p, t in zip(image, target.array, strict=True)
    ]
    assert found.mean(2, "bspline", "ssim") == pytest.approx(np.mean(similar), abs=1e-4)


def test_p4_degrades_both_and_reports_rescaled_metrics():
    target, reference = pair((30, 48, 48), seed=2)
    isotropic = [
        Volume(ndimage.gaussian_filter(v.array, (2, 1, 1)) + 60, np.eye(4), v.name) for v in (target, reference)
    ]
    found = evaluate(*isotropic, methods=["bspline"], protocol="p4", axis="sagittal")
    assert found.effective[4.0] == (1.0, 1.0, 4.0) and {"psnr_rescaled", "ssim_rescaled"} <= set(found.metrics)
    assert "The reference is degraded too, along j of its own axes." in found.conditions
    assert any("99.9th percentile" in sentence for sentence in found.conditions)


def test_progress_rises_and_cancel_stops(masked_pair):
    told = []
    arguments = {"methods": ["bspline", "guided"], "scales": (2,)}
    evaluate(*masked_pair[:2], **arguments, progress=lambda fraction, stage: told.append((fraction, stage)))
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions) and fractions[0] == 0 and fractions[-1] == 1
    assert {"load", "×2 sinc", "×2 bspline", "×2 guided"} <= {stage for _, stage in told}
    with pytest.raises(CancelledError):
        evaluate(*masked_pair[:2], **arguments, cancel=lambda: True)


# ---------------------------------------------------------------------------------------------------- tables, figure


def test_tables_hold_one_block_per_scale(found):
    markdown = found.table()
    assert markdown.count("\n### ×") == 2 and "## T2 ← T1: P3, k-space crop in plane, every 3rd slice" in markdown
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1 and len(lines) == 2 * (2 + 4)
    guided = next(line for line in lines if line.startswith("| guided"))
    assert f"**{found.mean(2, 'guided', 'psnr'):.2f}**" in guided
    text = found.table("text")
    assert text.count("* best of its column") == 2 and f"{found.mean(3, 'sinc', 'ssim'):.4f}" in text
    assert "PSNR peak and SSIM data_range: maximum − minimum of each true slice." in text
    with pytest.raises(InputError, match="Table format is 'html'; expected one of markdown, csv, json, text."):
        found.table("html")


def test_csv_and_json_carry_the_numbers(found):
    lines = list(csv.DictReader(found.table("csv").splitlines()))
    assert [(line["scale"], line["method"]) for line in lines][:2] == [("2", "sinc"), ("2", MASK_TRICK)]
    assert float(lines[3]["psnr_gain"]) == pytest.approx(found.difference(2, "guided").mean, rel=1e-5)
    assert lines[1]["seconds"] == "" and float(lines[0]["effective_j"]) == 2
    data = json.loads(found.table("json"), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    result = next(r for r in data["results"] if r["method"] == "guided" and r["scale"] == 3)
    assert result["metrics"]["psnr"]["values"] == pytest.approx(found.values(3, "guided", "psnr").tolist())
    assert data["slices"] == [0, 3, 6] and data["protocol"]["peak"] == "maximum − minimum of each true slice"
    assert data["results"][0]["gain_over_sinc"]["psnr"]["mean"] == 0


def test_a_perfect_prediction_makes_a_table(found):
    perfect = {key: {**value, "psnr": np.full(3, np.inf)} for key, value in found.scores.items()}
    table = replace(found, scores=perfect)
    assert "∞" in table.table() and '"mean": null' in table.table("json")


@pytest.mark.parametrize("count", [1, 4])
def test_figure_clips_no_text(found, count):
    figure = compose(found, 3.0, found.rows[:count])
    figure.canvas.draw()
    texts = [text for text in figure.findobj(lambda artist: hasattr(artist, "get_text")) if text.get_text()]
    assert {"T2 ← T1, ×3", "truth", "reference", "|error|, % of peak", *found.rows[:count]} <= {
        t.get_text() for t in texts
    }
    boxes = {text.get_text(): text.get_window_extent() for text in texts if text.get_visible()}
    for text, box in boxes.items():
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1, text
    titles = [axis.title.get_window_extent() for axis in figure.axes if axis.get_title()]
    assert not any(a.overlaps(b) for n, a in enumerate(titles) for b in titles[n + 1 :])
    bars = [axis for axis in figure.axes if axis.get_ylabel()]
    assert len(bars) == 1, "one colour bar"
    maps = {image.get_clim() for axis in figure.axes for image in axis.images if image.get_cmap().name == "inferno"}
    assert len(maps) == 1, "one scale of errors"


def test_figure_shows_the_patients_right_at_the_left_and_anterior_up(masked_pair):
    target = masked_pair[0]
    mark = target.array.copy()
    mark[:, 20:24, 12:16] = 3000  # low i, low j of a RAS affine: left, posterior
    found = evaluate(Volume(mark, target.affine), methods=["bspline"], scales=(2,), slices=[4])
    whole = compose(found, 2.0).axes[0].images[0].get_array()
    rows, columns = np.nonzero(whole > 2000)
    assert rows.mean() > whole.shape[0] / 2 and columns.mean() > whole.shape[1] / 2


def test_save_by_suffix_all_or_nothing(found, tmp_path):
    for suffix in ("md", "csv", "json", "txt", "png"):
        assert found.save(tmp_path / f"table.{suffix}").stat().st_size > 500
    assert len(list(tmp_path.iterdir())) == 5, "no temporary file is left"
    with pytest.raises(FileWriteError, match=r"write .*No such file or directory\. Nothing was left behind\."):
        found.save(tmp_path / "missing" / "table.md")
    (tmp_path / "taken.png").mkdir()
    with pytest.raises(FileWriteError):
        found.save(tmp_path / "taken.png")
    assert len(list(tmp_path.iterdir())) == 6
    with pytest.raises(InputError, match="Output is 'table.xls'; expected a name ending in .md, .csv, .json, .txt"):
        found.save(tmp_path / "table.xls")


def test_importing_needs_neither_matplotlib_nor_torch():
    code = (
        "import sys, MultiContrastSRLib.evaluation; "
        "sys.exit(' '.join({'matplotlib', 'torch', 'vtk', 'slicer'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# ---------------------------------------------------------------------------------------------------- real scans


def test_real_pair_ranks_guided_above_sinc_above_bspline():
    scans = [real_volume("open_ms_data/cross_sectional/MNI/patient26", f"{name}_*.nii.gz") for name in ("T2", "T1")]
    lesions = real_volume("open_ms_data/cross_sectional/MNI/patient26", "GOLD_STANDARD_*.nii.gz")
    found = evaluate(*scans, methods=["bspline", "guided"], scales=(3,), slices=range(60, 121, 12), lesions=lesions)
    for metric in ("psnr", "psnr_brain", "psnr_lesion", "ssim"):
        values = [found.mean(3, row, metric) for row in ("bspline", "sinc", "guided")]
        assert values[2] > max(values[:2]), metric
    assert found.difference(3, "guided", "psnr_brain").low > 0.5
    assert found.difference(3, MASK_TRICK, "psnr").mean > 0.5, "the leak of the shared mask is shown"
