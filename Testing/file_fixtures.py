"""Fixtures about files."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

NOBODY = 65534


@pytest.fixture
def unwritable() -> Iterator[Path]:
    """A folder in which nothing can be made, whoever runs the tests."""
    if os.name == "nt":
        pytest.skip("Folders are made read-only in another way on Windows")
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o555)
    as_root = os.geteuid() == 0  # root may write everywhere
    if as_root:
        os.seteuid(NOBODY)
    try:
        yield folder
    finally:
        if as_root:
            os.seteuid(0)
        folder.chmod(0o755)
        shutil.rmtree(folder)
