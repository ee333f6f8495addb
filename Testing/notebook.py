"""Executes docs/notebook.ipynb and keeps what it prints and draws: part of `make docs-blocks`."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import nbclient
import nbformat
from PIL import Image

PATH = Path(__file__).resolve().parent.parent / "docs" / "notebook.ipynb"
COLOURS = 48  # of a figure in the notebook: small files


def executed(folder: Path) -> nbformat.NotebookNode:
    """The notebook after a run from its top, in `folder`."""
    notebook = nbformat.read(PATH, as_version=4)
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    return notebook


def printed(notebook: nbformat.NotebookNode) -> list[str]:
    """What each cell of code prints."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return ["".join(output.text for output in cell.outputs if output.output_type == "stream") for cell in cells]


def main() -> None:
    """Execute, make the figures small, write."""
    notebook = executed(PATH.parent)
    for cell in notebook.cells:
        cell.metadata = {}  # times of the run
        for output in cell.get("outputs", ()):
            if "image/png" in output.get("data", {}):
                output["data"]["image/png"] = smaller(output["data"]["image/png"])
                output["data"].pop("text/plain", None)
    nbformat.write(notebook, PATH)


def smaller(png: str) -> str:
    """The same figure with few colours."""
    image = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB").quantize(COLOURS)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


if __name__ == "__main__":
    main()
