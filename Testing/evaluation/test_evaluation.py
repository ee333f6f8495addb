"""Evaluation of one pair: regions, protocols, and the numbers against an evaluation by hand."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("skimage", reason="The independent metrics are scikit-image's, which is not installed here.")

from phantoms import pair, psnr, real_volume
from scipy import ndimage
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from MultiContrastSRLib import Grid, Volume, degrade, prepare
from MultiContrastSRLib.core.errors import CancelledError, InputError, OptionError, UnknownNameError
from MultiContrastSRLib.evaluation import BETTER, MASK_TRICK, PROTOCOLS, MethodUnderTest, evaluate, probe_lesions
from MultiContrastSRLib.evaluation.baselines import masked_sinc
from MultiContrastSRLib.evaluation.protocols import regions
from MultiContrastSRLib.evaluation.protocols.case import NEIGHBOURS, make_case
from MultiContrastSRLib.evaluation.protocols.protocol import axis_index

# -------------------------------------------------------------------------------------------------- regions, protocols


def test_foreground_is_the_largest_part_without_holes():
    image = np.zeros((2, 40, 40))
    image[:, 5:30, 5:30] = 100
    image[:, 12:15, 12:15] = 0
    image[:, 35:38, 35:38] = 100
    expected = np.zeros(image.shape, bool)
    expected[:, 5:30, 5:30] = True
    np.testing.assert_array_equal(regions.head_mask(image), expected)


def test_eroded_takes_six_pixels_off_every_side():
    mask = np.zeros((2, 40, 40), bool)
    mask[0, 5:30, 8:] = True
    expected = np.zeros(mask.shape, bool)
    expected[0, 11:24, 14:34] = True
    np.testing.assert_array_equal(regions.eroded(mask), expected)


def test_axis_index_knows_views_in_any_array_order():
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0, 0, -2.0], [1.0, 0, 0], [0, 1.0, 0]])  # i → anterior, j → superior, k → left
    grid = Grid((4, 5, 6), affine)
    assert [axis_index(grid, name) for name in ("sagittal", "coronal", "axial")] == [0, 2, 1]
    assert axis_index(grid, None) == 0 and axis_index(grid, "i") == 2
    assert [axis_index(grid, name) for name in (0, "1", np.int64(2))] == [0, 1, 2]
    with pytest.raises(InputError, match="Axis is 'x'; expected 0, 1, 2, k, j, i, sagittal"):
        axis_index(grid, "x")


def test_a_case_keeps_neighbours_and_crops_to_multiples():
    rng = np.random.default_rng(3)
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
        (
            {"methods": [MethodUnderTest("sinc", options={"x": 1})]},
            OptionError,
            "Method 'sinc' has no option 'x'; expected ",
        ),
        ({"methods": ["bspline", "bspline"]}, InputError, "Two rows are called 'bspline'; give each its own label."),
        (
            {"methods": ["guided", MethodUnderTest("guided", "sinc")]},
            InputError,
            "Row of method 'guided' is called 'sinc', which is kept for the method sinc without settings; expected",
        ),
        (
            {"methods": [MethodUnderTest("sinc", data_consistency=True)]},
            InputError,
            "Row of method 'sinc' is called 'sinc', which is kept for the method sinc without settings; expected",
        ),
        ({"methods": [MethodUnderTest("linear", "guided")]}, InputError, "Row of method 'linear' is called 'guided', "),
        ({"methods": [MethodUnderTest("linear", BETTER)]}, InputError, "Row of method 'linear' is called 'the better"),
        ({"slices": [40]}, InputError, "Slices are [40]; expected indices from 0 to 8."),
        ({"slices": 0}, InputError, "Slices is 0; expected a whole number from 1 (every n-th) or a list of indices."),
        (
            {"degradation": "blur"},
            InputError,
            "Degradation is 'blur'; expected one of kspace, slab, spline, subsample.",
        ),
        ({"register": "maybe"}, InputError, "Registration is 'maybe'; expected one of auto, off, on."),
    ],
)
def test_bad_arguments(masked_pair, arguments, error, message):
    with pytest.raises(error) as raised:
        evaluate(masked_pair[0], masked_pair[1], **arguments)
    assert str(raised.value).startswith(message)


def test_nothing_to_score(masked_pair):
    target, _, lesions = masked_pair
    dark = np.where(np.arange(9)[:, None, None] == 3, 0, target.array)
    with pytest.raises(InputError, match=r"None of the 1 slices .*give a mask of the foreground"):
        evaluate(Volume(dark, target.affine), slices=[3])
    with pytest.raises(InputError, match=r"None of the 3 slices to score .*give a mask that covers more of them"):
        evaluate(target, mask=lesions)


def _elsewhere(volume):
    affine = volume.affine.copy()
    affine[:3, 3] += 1000
    return Volume(volume.array, affine)


@pytest.mark.parametrize("name", ["mask", "lesions"])
def test_masks_outside_the_target_are_refused(masked_pair, name):
    target, _, lesions = masked_pair
    with pytest.raises(InputError, match=r"ask.* marks \d+ voxels, none of them in the target; .*in the space of"):
        evaluate(target, **{name: _elsewhere(lesions)})


def test_masks_that_mark_nothing(masked_pair):
    target, reference, lesions = masked_pair
    empty = Volume(lesions.array * 0, lesions.affine)
    with pytest.raises(InputError, match="Mask of the foreground marks 0 voxels"):
        evaluate(target, mask=empty)
    (sentence,) = (found := evaluate(target, methods=["linear"], scales=(2,), slices=[4], lesions=empty)).warnings
    assert "marks no voxel of the scored planes" in sentence and sentence in found.description
    assert "psnr_lesion" not in found.metrics
    assert not evaluate(target, methods=["linear"], scales=(2,), slices=[4], lesions=lesions).warnings
    probed = probe_lesions(target, reference, methods=["linear"], scales=(2,), slices=[4], lesions=empty)
    assert probed.warnings == (f"T2 ← T1: {sentence}",) and probed.warnings[0] in probed.table("text")


# ---------------------------------------------------------------------------------------------------- evaluation


@pytest.mark.parametrize(
    ("kind", "scale"), [("kspace", (1, 2, 3)), ("kspace", (1, 2.5, 1.3)), ("slab", (3, 1, 1)), ("subsample", (3, 1, 1))]
)
def test_the_mask_trick_agrees_with_the_degraded_volume(masked_pair, kind, scale):
    truth = masked_pair[0]
    low = degrade(truth, kind, scale)
    sinc = prepare(low, method="sinc", data_consistency=False).render(truth.grid).array
    result = masked_sinc(low, sinc, truth.array > 0, truth.grid, kind)
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
        "psnr", "ssim", "psnr_foreground", "psnr_brain", "psnr_lesion", "contrast_lesion", "hfen", "nmse", "mi_error",
        "seconds"
    }  # fmt: skip
    assert 0.5 < found.mean(3, "sinc", "contrast_lesion") < found.mean(3, "guided", "contrast_lesion") < 1.2
    assert found.mean(3, MASK_TRICK, "psnr") > found.mean(3, "sinc", "psnr")
    with pytest.raises(InputError, match="No 'psnr' of 'lanczos' at ×3; evaluated were scales 2, 3, rows sinc"):
        found.values(3, "lanczos", "psnr")


def test_without_a_reference(masked_pair):
    found = evaluate(masked_pair[0], methods=["linear"], scales=(2,), slices=[4])
    assert found.rows == ("sinc", "linear") and found.title == "T2" and "mi_error" not in found.metrics
    assert not any("ference" in sentence for sentence in found.description)


def test_entries_make_ablations(masked_pair):
    entries = [MethodUnderTest("guided", "without consistency", data_consistency=False), "guided"]
    found = evaluate(*masked_pair[:2], methods=entries, scales=(3,), slices=[4])
    assert found.rows == ("sinc", MASK_TRICK, "without consistency", "guided")
    assert "Without data consistency, as plain interpolations are: sinc, without consistency." in found.description
    assert found.mean(3, "guided", "psnr") != found.mean(3, "without consistency", "psnr")


@pytest.mark.parametrize("kind", ["slab", "spline", "subsample"])
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
    assert "every 3rd reformatted plane" in found.protocol.title and "Degraded along k" in found.description[1]


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


def test_p4_is_the_papers_evaluation():
    target, reference = pair((30, 48, 48), seed=2)
    volumes = [Volume(ndimage.gaussian_filter(v.array, (2, 1, 1)) + 60, np.eye(4), v.name) for v in (target, reference)]
    truth = volumes[0].array
    mask = np.zeros(truth.shape, bool)
    mask[3:27, 5:44, 6:40] = True
    found = evaluate(*volumes, methods=["linear"], protocol="p4", axis="i", mask=Volume(mask, np.eye(4)))
    # 48 / 4 = 12 samples: voxels 3, 7 … 47 along i; planes 3 … 26 hold foreground
    kept = truth[:, :, 3::4]
    positions = np.clip((np.arange(48) - 3) / 4, 0, 11)
    low = np.floor(positions).astype(int)
    share = (positions - low).astype(np.float32)
    image = kept[..., low] * (1 - share) + kept[..., np.minimum(low + 1, 11)] * share
    image[..., 0] = 0  # outside the field of view of the kept slices, which begins at voxel 1
    assert found.units == tuple(range(3, 27)) and found.effective[4.0] == (1, 1, 4)
    scaled = []
    for volume in (image[3:27], truth[3:27]):
        inside = mask[3:27]
        volume = (volume - volume[inside].min()).astype(np.float64)
        scaled.append(volume / volume.max() * inside)
    psnr_rescaled = peak_signal_noise_ratio(scaled[1], scaled[0], data_range=1)
    assert found.values(4, "linear", "psnr_rescaled") == pytest.approx([psnr_rescaled], abs=1e-2)
    ssim_rescaled = structural_similarity(scaled[1], scaled[0], data_range=1)
    assert found.values(4, "linear", "ssim_rescaled") == pytest.approx([ssim_rescaled], abs=1e-4)
    text = found.table("text")
    assert "P4, every n-th slice kept" in text and "SSIM uniform 7 3-D." in text
    assert "their own minimum in the foreground" in text


def test_p4_degrades_both_and_reports_rescaled_metrics():
    target, reference = pair((30, 48, 48), seed=2)
    isotropic = [
        Volume(ndimage.gaussian_filter(v.array, (2, 1, 1)) + 60, np.eye(4), v.name) for v in (target, reference)
    ]
    found = evaluate(*isotropic, methods=["bspline"], protocol="p4", axis="sagittal")
    assert found.effective[4.0] == (1.0, 1.0, 4.0) and {"psnr_rescaled", "ssim_rescaled"} <= set(found.metrics)
    assert "The reference is degraded too, along j of its own axes." in found.description
    assert any("99.9th percentile" in sentence for sentence in found.description)


def test_progress_rises_and_cancel_stops(masked_pair):
    told = []
    arguments = {"methods": ["bspline", "guided"], "scales": (2,)}
    evaluate(*masked_pair[:2], **arguments, progress=lambda fraction, stage: told.append((fraction, stage)))
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions) and fractions[0] == 0 and fractions[-1] == 1
    assert {"load", "×2 sinc", "×2 bspline", "×2 guided"} <= {stage for _, stage in told}
    with pytest.raises(CancelledError):
        evaluate(*masked_pair[:2], **arguments, cancel=lambda: True)


def test_importing_needs_neither_matplotlib_nor_torch():
    code = (
        "import sys, MultiContrastSRLib.evaluation; "
        "sys.exit(' '.join({'matplotlib', 'torch', 'vtk', 'slicer'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# ---------------------------------------------------------------------------------------------------- real scans


@pytest.mark.slow
def test_real_pair_ranks_guided_above_sinc_above_bspline():
    scans = [real_volume("open_ms_data/cross_sectional/MNI/patient26", f"{name}_*.nii.gz") for name in ("T2", "T1")]
    lesions = real_volume("open_ms_data/cross_sectional/MNI/patient26", "GOLD_STANDARD_*.nii.gz")
    found = evaluate(*scans, methods=["bspline", "guided"], scales=(3,), slices=range(60, 121, 12), lesions=lesions)
    for metric in ("psnr", "psnr_brain", "psnr_lesion", "ssim"):
        values = [found.mean(3, row, metric) for row in ("bspline", "sinc", "guided")]
        assert values[2] > max(values[:2]), metric
    assert found.difference(3, "guided", "psnr_brain").low > 0.5
    assert found.difference(3, MASK_TRICK, "psnr").mean > 0.5, "the leak of the shared mask is shown"
