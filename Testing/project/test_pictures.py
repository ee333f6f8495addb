"""The pictures of the documentation are small, shown somewhere, and of types that every reader shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from demo_runs import run_without_scans

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


def needs(*packages: str) -> None:
    """Skip the test if one of these is not installed here."""
    for package in packages:
        pytest.importorskip(package, reason=f"The demonstration needs {package}, which is not installed here.")


def test_make_pictures_draws_all_but_those_of_a_large_study() -> None:
    needs("slicer", "matplotlib")
    from demo.pictures import KEPT

    assert set(KEPT.values()) == {path.name for path in PICTURES if not path.name.startswith("batch-")}


@pytest.mark.slow
@pytest.mark.timeout(900)  # on a busy machine
def test_pictures_of_the_panel(tmp_path: Path) -> None:
    needs("slicer", "matplotlib", "torch", "ancpbids")
    from demo.panel import NAMES
    from PIL import Image

    done = run_without_scans("demo.panel", tmp_path, "--output", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path.name for path in tmp_path.glob("*.png")} == set(NAMES)
    assert all(Image.open(tmp_path / name).mode == "P" for name in NAMES)


def test_pictures_are_not_replaced_without_real_scans(tmp_path: Path) -> None:
    needs("slicer", "matplotlib")
    done = run_without_scans("demo.pictures", tmp_path)
    assert done.returncode != 0 and "set MULTICONTRASTSR_DATA" in done.stderr
    assert not list(tmp_path.rglob("*.png"))


@pytest.mark.parametrize("colours", [64, 128, 256])
def test_few_colours_keep_lines_of_the_panel_among_greys(colours: int, tmp_path: Path) -> None:
    needs("matplotlib")
    import numpy as np
    from demo.figures import save_small
    from PIL import Image, ImageDraw

    greys = np.random.default_rng(0).normal(110, 50, (300, 400)).clip(0, 255).astype(np.uint8)
    picture = Image.fromarray(np.repeat(greys[..., None], 3, axis=2))
    draw = ImageDraw.Draw(picture)
    lines = {"#2a7d2e": 40, "#b35c00": 60, "#c01010": 80}
    for colour, row in lines.items():
        draw.line((10, row, 120, row), fill=colour)
    path = save_small(picture, tmp_path / "small.png", colours)
    made = Image.open(path)
    assert made.mode == "P" and len(made.getcolors()) <= colours
    error = np.abs(np.asarray(made.convert("RGB")).astype(int) - np.asarray(picture))
    assert all(error[row, 10:121].max() <= 2 for row in lines.values())
    assert error.max() <= 2 * 255 / colours
