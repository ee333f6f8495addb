"""Rewrites the blocks of the documentation that commands make: `make docs-blocks`.

A file marks each block by `<!-- name: … -->` and `<!-- /name -->`. Tests compare methods and API with the library.
"""

from __future__ import annotations

import inspect
import os
import pydoc
import re
import sys
from pathlib import Path

from bench_accuracy import TABLES
from gpu_check.tables import markdown as gpu_tables

import MultiContrastSRLib as mc

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAIRS = (("T2", "T1"), ("FLAIR", "T1"), ("T1POST", "T1"), ("FLAIR", "T2"), ("T1", "FLAIR"))
SCALES = (2, 3, 4)


def methods() -> str:
    """The methods section, as `multicontrastsr methods --markdown` prints it."""
    from MultiContrastSRLib.methods import all_methods, describe

    return describe.as_markdown(all_methods())


def api() -> str:
    """A table of what the API reference describes: name, and the first sentence of its docstring."""
    names = re.findall(r"^::: (\S+)$", (DOCS / "reference.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = ["| name | what it is |", "|---|---|"]
    for name in names:
        sentence = inspect.getdoc(pydoc.locate(name)).partition("\n\n")[0].replace("\n", " ")
        home = "mc" if name.rpartition(".")[2] in mc.__all__ else name.rpartition(".")[0]
        lines.append(f"| `{home}.{name.rpartition('.')[2]}` | {sentence} |")
    return "\n".join(lines)


def results() -> str:
    """Patient26, protocol P3: PSNR of sinc, gains of guided and of the mask trick, whole slice and eroded brain."""
    from MultiContrastSRLib.evaluation import MASK_TRICK, evaluate

    folder = Path(os.environ["MULTICONTRASTSR_DATA"]) / "open_ms_data/cross_sectional/MNI/patient26"
    volumes = {name: mc.load_volume(next(folder.glob(f"{name}_N4*"))) for name in ("T1", "T2", "FLAIR", "T1POST")}
    lines = [
        "| target ← reference | scale | sinc, dB | bspline | guided | guided, brain | mask trick | mask trick, brain |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for target, reference in PAIRS:
        found = evaluate(volumes[target], volumes[reference], methods=["bspline", "sinc", "guided"], scales=SCALES)
        for scale in SCALES:
            gains = [
                f"{found.mean(scale, row, metric) - found.mean(scale, 'sinc', metric):+.2f}"
                for row, metric in (
                    ("bspline", "psnr"),
                    ("guided", "psnr"),
                    ("guided", "psnr_brain"),
                    (MASK_TRICK, "psnr"),
                    (MASK_TRICK, "psnr_brain"),
                )
            ]
            base = f"{found.mean(scale, 'sinc', 'psnr'):.2f}"
            lines.append(f"| {target} ← {reference} | ×{scale} | " + " | ".join([base, *gains]) + " |")
    return "\n".join(lines)


def bench() -> str:
    """The tables of the last `make bench`."""
    text = (ROOT / "bench-output" / "bench.md").read_text(encoding="utf-8")
    return text.partition("\n\n")[2].strip()


def gpu() -> str:
    """The tables of the last `make gpu-check` whose file was kept."""
    return gpu_tables(DOCS / "gpu-check.json")


BLOCKS = {  # name: (file, what makes it)
    "methods": (DOCS / "methods.md", methods),
    "api": (DOCS / "reference.md", api),
    "results": (DOCS / "history.md", results),
    "bench": (DOCS / "performance.md", bench),
    "gpu": (DOCS / "performance.md", gpu),
    **{name: (DOCS / "accuracy.md", table) for name, table in TABLES.items()},
}


def block_of(name: str) -> str:
    """What stands between the marks of block `name`."""
    text = BLOCKS[name][0].read_text(encoding="utf-8")
    return re.search(rf"<!-- {name}:.*?-->\n(.*?)\n?<!-- /{name} -->", text, flags=re.DOTALL)[1]


def main(names: list[str]) -> None:
    """Rewrite the blocks `names`, or all."""
    for name in names or BLOCKS:
        path, make = BLOCKS[name]
        pattern = rf"(<!-- {name}:.*?-->\n).*?(<!-- /{name} -->)"
        made = make()
        text = path.read_text(encoding="utf-8")
        text = re.sub(pattern, lambda found, made=made: f"{found[1]}{made}\n{found[2]}", text, flags=re.DOTALL)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
