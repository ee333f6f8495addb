"""The decision of `align` on phantoms with known displacements: a few of the cases of `bench_registration.py`."""

from __future__ import annotations

import numpy as np
import pytest
from bench_registration import Case, make_case
from registration_phantoms import KINDS

from MultiContrastSRLib import Volume
from MultiContrastSRLib.registration.align import Alignment, _helps, _Match, _unsure, align
from MultiContrastSRLib.registration.probe import Probe

ALIGNED, DISPLACED = (7,), (22,)

# What registration found in cases of `bench_registration.py`, cropped ones but for 13: similarity and detail at the
# headers' position and where it led, how far that is (mm), and whether it led to where the reference belongs.
FOUND = {
    "head displaced by 13 mm, lost": (18, 0.168, 0.0430, 0.220, 0.0251, 23.0, False),
    "head, aligned": (6, 0.363, 0.1480, 0.361, 0.0774, 4.0, False),
    "head, noisy, displaced by 11 mm": (21, 0.198, 0.0079, 0.241, 0.0294, 11.7, True),
    "head, noisy, displaced by 10 mm, lost": (33, 0.175, 0.0085, 0.278, 0.0122, 19.8, False),
    "head displaced by 13 mm": (30, 0.063, 0.1340, 0.332, 0.1930, 28.4, True),
    "cord, aligned": (7, 0.337, 0.1230, 0.335, 0.1160, 0.7, False),
    "cord, noisy, aligned": (10, 0.203, 0.1430, 0.203, 0.1390, 0.4, False),
    "cord displaced by 3 mm": (19, 0.566, 0.2320, 0.864, 0.3780, 4.1, True),
    "cord, noisy, displaced by 13 mm": (22, 0.032, 0.0000, 0.306, 0.1550, 17.2, True),
    "knee, noisy, aligned": (11, 0.423, 0.0552, 0.412, 0.0478, 1.5, False),
    "knee displaced by 8 mm": (20, 0.362, 0.1830, 0.551, 0.2920, 15.7, True),
    "knee, noisy, displaced by 16 mm": (23, 0.120, 0.0001, 0.352, 0.0502, 32.7, True),
}


def shifted(millimetres: float) -> np.ndarray:
    matrix = np.eye(4)
    matrix[0, 3] = millimetres
    return matrix


@pytest.mark.parametrize(
    "displaced, moved, warnings, expected",
    [
        (0, 0, (), "right"),
        (0, 0.9, (), "right"),
        (0, 1.5, (), "wrong"),
        (6, -6, (), "right"),
        (6, -3, (), "missed"),
        (6, -3, ("said",), "warned"),
        (6, 0, (), "missed"),
        (6, 0, ("said",), "warned"),
        (6, 1, ("said",), "wrong"),
        (1.5, 0, (), "right"),
    ],
)
def test_outcomes_are_judged_by_the_distance_that_remains(displaced, moved, warnings, expected):
    target = Volume(np.ones((4, 5, 6)), np.eye(4))
    case = Case("head", target, target, shifted(displaced), noisy=False, cropped=False)
    outcome = Alignment(target, shifted(moved), registered=moved != 0, warnings=warnings)
    assert case.distance(outcome.transform) == pytest.approx(abs(displaced + moved))
    assert case.judge(outcome) == expected


@pytest.mark.parametrize("seed", range(3))
def test_cases_are_repeatable_and_differ(seed):
    case, again, other = make_case(seed + 6), make_case(seed + 6), make_case(seed + 18)
    assert case.kind == KINDS[seed] and case.cropped and not case.noisy
    assert np.array_equal(case.target.array, again.target.array)
    assert np.array_equal(case.reference.affine, again.reference.affine)
    assert case.target.shape != other.target.shape
    assert case.distance(np.eye(4)) == 0 and 0 < other.distance(np.eye(4)) < 40


def test_a_displaced_scan_shows_the_same_patient_at_another_place():
    case = make_case(18)
    back = case.reference.moved(np.linalg.inv(case.move))
    probe = Probe(case.target)
    assert probe.compare(back)[1] > 1.3 * probe.compare(case.reference)[1]


@pytest.mark.parametrize("name", FOUND)
def test_registrations_are_applied_where_they_led_to_the_right_place_and_said_where_they_are_lost(name):
    _, before, little, after, much, moved, right = FOUND[name]
    here, there = _Match(before, little), _Match(after, much)
    assert _helps(here, there) == right
    if not right:
        assert _unsure(here, there, moved) == ("lost" in name)


def test_a_small_rise_of_similarity_by_a_far_move_is_said_where_detail_does_not_tell():
    assert _unsure(_Match(0.149, 0.004), _Match(0.151, 0.009), 29.4)
    assert not _unsure(_Match(0.149, 0.060), _Match(0.151, 0.009), 29.4)  # detail shows that the headers are right
    assert not _unsure(_Match(0.149, 0.004), _Match(0.151, 0.009), 1.5)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [*ALIGNED, *DISPLACED])
def test_the_decision_is_right(seed):
    case = make_case(seed)
    assert (case.distance(np.eye(4)) > 2) == (seed in DISPLACED)
    assert case.judge(align(case.target, case.reference)) == "right"
