"""Means and intervals against scipy's tests and against simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from MultiContrastSRLib.evaluation.metrics.statistics import estimate, paired_difference


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def test_paired_difference_is_the_t_interval(rng):
    a, b = rng.normal(1, 1, (2, 12))
    values = np.append(a, [np.nan, np.inf])
    result = paired_difference(values, np.append(b, [0, np.inf]))
    interval = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (result.low, result.high) == pytest.approx((interval.low, interval.high))
    assert result.n == 12 and result.mean == pytest.approx((a - b).mean())
    assert np.isnan(paired_difference(a[:1], b[:1]).low)


def test_one_subject_has_an_interval_over_slices_and_none_over_subjects(rng):
    values = rng.normal(2, 1, 30)
    found = estimate([values])
    assert found.over_slices == pytest.approx(stats.ttest_1samp(values, 0).confidence_interval(0.95))
    assert np.isnan(found.over_subjects).all() and found.interval == found.over_slices
    assert (found.slices, found.subjects) == (30, 1)


def test_several_subjects_count_once_each(rng):
    groups = [rng.normal(center, 1, n) for center, n in ((1, 40), (3, 10), (2, 25))]
    found = estimate([*groups, np.array([np.nan])])
    means = [group.mean() for group in groups]
    assert found.mean == pytest.approx(np.mean(means)) and found.subjects == 3 and found.slices == 75
    assert found.over_subjects == pytest.approx(stats.ttest_1samp(means, 0).confidence_interval(0.95))
    assert found.interval == found.over_subjects
    assert found.std == pytest.approx(np.concatenate(groups).std(ddof=1))


def test_two_equal_strata_give_welchs_interval(rng):
    a, b = rng.normal(1, 1, 12), rng.normal(5, 3, 9)
    found = estimate([a, -b])  # the mean of a and −b is half of Welch's difference
    welch = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert np.array(found.over_slices) * 2 == pytest.approx((welch.low, welch.high))


def test_an_interval_over_subjects_covers_the_truth_as_often_as_it_says(rng):
    hits = 0
    for _ in range(400):
        centers = rng.normal(0, 1, 5)
        low, high = estimate([rng.normal(center, 0.5, 6) for center in centers]).over_subjects
        hits += low < 0 < high
    assert 0.92 < hits / 400 < 0.98


def test_what_is_not_defined():
    nothing = estimate([np.array([np.nan])])
    assert np.isnan(nothing.mean) and nothing.subjects == 0
    single = estimate([np.array([3.0])])  # one volume of one subject
    assert single.mean == 3 and np.isnan(single.interval).all() and np.isnan(single.std)
    infinite = estimate([np.array([np.inf, 3.0])])
    assert np.isinf(infinite.mean) and np.isnan(infinite.over_slices).all()
