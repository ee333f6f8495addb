"""Fixtures for the harness's own tests: the sample module, loaded, and a volume for it."""

from pathlib import Path

import numpy as np
import pytest

__all__ = ["SAMPLE", "module", "qt", "volume"]

SAMPLE = Path(__file__).parent / "harness-fixtures" / "SampleFilter.py"


@pytest.fixture
def qt(harness):
    import qt

    return qt


@pytest.fixture
def volume(harness):
    import slicer

    z, y, x = np.mgrid[0:20, 0:64, 0:64].astype(np.float32)
    return slicer.util.addVolumeFromArray(100 + 50 * np.sin(x / 4) * np.cos(y / 5) + z, name="T2")


@pytest.fixture
def module(harness, volume):
    return harness.load(SAMPLE)
