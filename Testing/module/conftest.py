"""What the panel's tests share."""

import sys

import pytest


@pytest.fixture(autouse=True)
def no_package_stays_broken():
    """Packages that a test made fail are not remembered as broken after it."""
    yield
    dependencies = sys.modules.get("MultiContrastSRPanel.logic.dependencies")
    if dependencies is not None:
        dependencies._broken.clear()
