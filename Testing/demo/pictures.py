"""Draws the documentation's pictures of real scans anew: `make pictures`, about six minutes.

They go from the demonstration's output to Resources/Screenshots only where real scans were found.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from . import __main__ as demo
from . import live, panel
from .cases import find_cases

SCREENSHOTS = Path(__file__).resolve().parents[2] / "Resources" / "Screenshots"
OF_DEMO = {
    "patient12-comparison.png": "demo-comparison.png",
    "patient12-panel.png": "demo-panel.png",
    "patient26-thick.png": "demo-thick.png",
}
OF_OTHERS = ("live-zoom.png", "live-zoom.webp", *panel.NAMES)
KEPT = OF_DEMO | {name: name for name in OF_OTHERS}  # name in the output → name in Resources/Screenshots


def main() -> int:
    if find_cases(print)[0].name == "phantom":
        raise SystemExit("Without real scans no picture is replaced: set MULTICONTRASTSR_DATA to their folder.")
    output = Path("demo-output")
    for program in (demo, live, panel):
        program.main(["--output", str(output)])
    for made, name in KEPT.items():
        shutil.copy(output / made, SCREENSHOTS / name)
        print(f"{name}: {(SCREENSHOTS / name).stat().st_size / 1e3:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
