"""The pictures of the documentation are small, shown somewhere, and of types that every reader shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PICTURES = sorted((ROOT / "Resources/Screenshots").iterdir())
LIMIT = 1_500_000  # bytes of all pictures


def shown() -> set[str]:
    """Names of pictures that a page, or the Extensions Index, shows."""
    pages = [ROOT / "README.md", ROOT / "CMakeLists.txt", *(ROOT / "docs").glob("*.md")]
    return {name for page in pages for name in re.findall(r"Screenshots/([\w.-]+)", page.read_text("utf-8"))}


def test_all_together_are_small() -> None:
    assert sum(path.stat().st_size for path in PICTURES) <= LIMIT


def test_every_picture_is_shown_and_every_shown_picture_is_there() -> None:
    assert {path.name for path in PICTURES} == shown()


def test_types() -> None:
    starts = {".png": b"\x89PNG", ".webp": b"RIFF"}
    assert all(path.read_bytes().startswith(starts[path.suffix]) for path in PICTURES)


def test_make_pictures_draws_the_ones_of_real_scans() -> None:
    for package in ("slicer", "matplotlib"):
        pytest.importorskip(package, reason=f"The demonstration needs {package}, which is not installed here.")
    from demo.pictures import KEPT

    others = ("panel-", "compare.", "batch-")  # drawn by tests of the panel, and by the batch of real subjects
    assert set(KEPT.values()) == {path.name for path in PICTURES if not path.name.startswith(others)}
