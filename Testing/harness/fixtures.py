"""The pytest fixture `harness`: one application a session, a fresh scene a test, and failing slots fail the test."""

import pytest

__all__ = ["_application", "harness"]


@pytest.fixture(scope="session")
def _application():
    from . import Harness

    return Harness()


@pytest.fixture
def harness(_application):
    app = _application
    app.slot_errors.clear()
    app.messages.clear()
    app.packages.clear()
    yield app
    app.unload_all()
    app.empty_scene()
    errors, app.slot_errors[:] = list(app.slot_errors), []
    if errors:
        pytest.fail("slots raised: " + "; ".join(repr(error) for error in errors))
