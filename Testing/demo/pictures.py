"""Draws the documentation's pictures of real scans anew: `make pictures`, about four minutes.

They go from the demonstration's output to Resources/Screenshots only where real scans were found.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from . import __main__ as demo
from . import live

SCREENSHOTS = Path(__file__).resolve().parents[2] / "Resources" / "Screenshots"
KEPT = {
    "patient12-comparison.png": "demo-comparison.png",
    "patient12-panel.png": "demo-panel.png",
    "patient26-thick.png": "demo-thick.png",
    "live-zoom.png": "live-zoom.png",
    "live-zoom.webp": "live-zoom.webp",
}


def main() -> int:
    output = Path("demo-output")
    demo.main(["--output", str(output)])
    live.main(["--output", str(output)])
    missing = [name for name in KEPT if not (output / name).is_file()]
    if missing:
        raise SystemExit(f"{', '.join(missing)} were not made: without real scans no picture is replaced.")
    for made, name in KEPT.items():
        shutil.copy(output / made, SCREENSHOTS / name)
        print(f"{name}: {(SCREENSHOTS / name).stat().st_size / 1e3:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
