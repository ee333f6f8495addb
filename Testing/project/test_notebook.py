"""The notebook runs from its top, and what it prints is what the page shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

for package in ("nbclient", "nbformat", "ipykernel", "matplotlib"):
    pytest.importorskip(package, reason=f"The notebook needs {package}, which is not installed here.")

import nbformat  # noqa: E402
import notebook  # noqa: E402

NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")


@pytest.mark.slow
def test_prints_what_the_page_shows(tmp_path: Path) -> None:
    stored = notebook.printed(nbformat.read(notebook.PATH, as_version=4))
    again = notebook.printed(notebook.executed(tmp_path))
    assert len(stored) == len(again) and any(stored)
    for shown, found in zip(stored, again, strict=True):
        shown, found = (re.sub(r"[\d.]+ s on cpu", "", text) for text in (shown, found))
        assert NUMBER.sub("#", found) == NUMBER.sub("#", shown), "run `make docs-blocks`"
        values = [[float(number) for number in NUMBER.findall(text)] for text in (found, shown)]
        assert values[0] == pytest.approx(values[1], abs=0.15), "run `make docs-blocks`"


def test_the_notebook_is_small_and_has_its_figures() -> None:
    assert notebook.PATH.stat().st_size < 150_000
    outputs = [
        output for cell in nbformat.read(notebook.PATH, as_version=4).cells for output in cell.get("outputs", ())
    ]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 3
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
