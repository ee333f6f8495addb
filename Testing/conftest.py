"""Fixtures for all tests: `harness` is a running stand-in for the Slicer application, `module` our module in it."""

from batch_fixtures import dataset  # noqa: F401
from evaluation_fixtures import cohort, found, masked_pair  # noqa: F401
from file_fixtures import scan, unwritable  # noqa: F401
from harness.fixtures import *  # noqa: F403
from inr_fixtures import no_earlier_fits, truths, views  # noqa: F401
from live_fixtures import engine_of, slow_slices, without_trials  # noqa: F401
from live_view_fixtures import another_logic, shown  # noqa: F401
from panel_fixtures import dummy_method, module, pair, slow_package  # noqa: F401
from training_fixtures import one_thread, scans, seeded  # noqa: F401
