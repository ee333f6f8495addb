"""The pages of a batch in a headless Chromium: everything shows, fits the window, sorts, and leads somewhere."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest
from batch_fixtures import RECIPE, ROOT, run_batch

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def open_page(page: Path, folder: Path) -> dict:
    """What the browser finds on `page`; its picture is in `folder`."""
    command = [sys.executable, str(ROOT / "Testing" / "batch_browser.py"), str(page), str(folder / f"{page.stem}.png")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check(found: dict) -> None:
    assert found["broken"] == [] and found["messages"] == []
    assert found["width"] <= found["window"], "the page is wider than the window"
    for link in found["links"]:
        assert Path(unquote(urlparse(link).path)).is_file(), link


@pytest.fixture
def study(dataset, tmp_path) -> Path:
    """The output of a batch in which one of three subjects failed."""
    if find_spec("PySide6") is None or find_spec("PySide6.QtWebEngineWidgets") is None:
        pytest.skip("No browser: QtWebEngine is not installed here (pip install PySide6_Addons).")
    (dataset / "sub-02/anat/sub-02_T1w.nii.gz").unlink()
    for place in (dataset / "sub-03/anat").glob("*.json"):
        place.write_text('{"SpacingBetweenSlices": 6}')  # a long warning
    code, _, err = run_batch(dataset, tmp_path / "out", *RECIPE, "--n-procs", "2")
    assert code == 1, err
    return tmp_path / "out"


def test_pages_show_sort_and_lead_somewhere(study, tmp_path):
    found = open_page(study / "batch.html", tmp_path)
    check(found)
    assert [row[:2] for row in found["before"]] == [["sub-01", "done"], ["sub-02", "failed"], ["sub-03", "done"]]
    assert [row[1] for row in found["sorted"]["State"]] == ["done", "done", "failed"]
    times = [float(row[-1]) for row in found["sorted"]["Time, s"]]
    assert times == sorted(times)
    assert (tmp_path / "batch.png").stat().st_size > 10_000
    of_subject = open_page(study / "sub-01.html", tmp_path)
    check(of_subject)
    assert of_subject["pictures"] == 2
    check(open_page(study / "sub-02.html", tmp_path))
