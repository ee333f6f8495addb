"""Images that are no magnitude scans are recognised; scans are not taken for something else."""

from __future__ import annotations

import numpy as np
import pytest
from phantoms import pair

import MultiContrastSRLib as mc
from MultiContrastSRLib import Volume
from MultiContrastSRLib.image.kind import kind_of, kind_warning

RNG = np.random.default_rng(0)
SHAPE = (12, 64, 64)


@pytest.mark.parametrize(
    ("array", "metadata", "kind"),
    [
        (RNG.integers(0, 2, SHAPE), {}, "mask"),
        (255.0 * RNG.integers(0, 2, SHAPE), {}, "mask"),
        (RNG.integers(0, 30, (12, 8, 8)).repeat(8, 1).repeat(8, 2).astype(np.float32), {}, "label map"),
        (RNG.integers(0, 60, SHAPE).astype(np.uint8), {}, None),  # a dark scan of 8 bits
        (np.where(RNG.random(SHAPE) < 0.4, -1000, RNG.normal(40, 60, SHAPE).round()), {}, "CT"),
        (RNG.uniform(-np.pi, np.pi, SHAPE), {}, "phase image"),
        (RNG.integers(-4096, 4096, SHAPE), {}, "phase image"),
        (RNG.normal(0, 30, SHAPE), {}, "signed image"),
        (RNG.normal(300, 30, SHAPE), {"modality": "CT"}, "CT"),
        (RNG.normal(300, 30, SHAPE), {"modality": "PT"}, "PET image"),
        (np.abs(RNG.normal(300, 90, SHAPE)).round(), {"modality": "MR"}, None),
        (np.where(RNG.random(SHAPE) < 0.6, 0, RNG.normal(300, 90, SHAPE)), {}, None),
        (RNG.integers(0, 200, SHAPE).astype(np.uint8), {}, None),
        (np.where(RNG.random(SHAPE) < 0.6, 0, RNG.normal(2, 1, SHAPE)), {}, None),  # a little ringing below 0
        (RNG.normal(0, 1, SHAPE) + 300 * (np.indices(SHAPE)[2] > 40), {}, None),  # ringing in the background
        (np.zeros(SHAPE), {}, None),
        (RNG.integers(0, 3, (2, 20, 20)), {}, None),  # too small to tell
        (RNG.normal(0, 30, (1, 60, 60)), {}, "signed image"),  # one small slice
        (np.full(SHAPE, np.nan), {}, None),
    ],
)
def test_kinds(array, metadata, kind):
    assert kind_of(array, metadata) == kind


def test_the_report_warns_of_it():
    target, reference = pair((6, 48, 44))
    mask = Volume((reference.array > 100).astype(np.float32), reference.affine, "mask")
    report = mc.super_resolve(target, mask, scale=2, register="off").report
    assert any("mask looks like a mask" in warning for warning in report.warnings)
    labels = Volume(np.round(target.array / 60).clip(0), target.affine, "labels")
    report = mc.super_resolve(labels, method="nearest").report
    (sentence,) = [warning for warning in report.warnings if "looks like" in warning]
    assert sentence.startswith("labels looks like a label map: super-resolution would mix its labels.")


def test_other_modalities_are_named_with_their_article():
    array = RNG.normal(300, 30, SHAPE)
    sentence = kind_warning(array, {"modality": "US"}, "Liver")
    assert sentence.startswith("Liver looks like an ultrasound image, not like a magnitude MR scan")


@pytest.mark.parametrize("name", ["T1W", "T2W", "FLAIR"])
def test_real_scans_are_scans(name):
    from phantoms import real_volume

    volume = real_volume("open_ms_data", "longitudinal", "raw", "patient12", f"study1_{name}.nii.gz")
    assert kind_warning(volume.array, volume.metadata, name) is None
