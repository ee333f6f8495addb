"""The interface's longest gaps in a session at the panel, action by action, and what its rounds leave behind.

    python Testing/bench_panel.py --rounds 10

A gap is the time between two turns of the event loop. "clock" includes other work on the machine; "processor" is what
the main thread itself computed. The first round loads packages and makes what is kept; later ones must not grow.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from harness import Harness
from panel_fixtures import MODULE, make_pair
from panel_session import Gaps, box_of, left_behind, play_round

BOX = (40.0, 40.0, 15.0)


def main() -> int:
    """Print both tables; 1 where an action has a gap of more than the limit in processor time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--size", type=int, default=128, help="rows and columns of the reference")
    parser.add_argument("--slices", type=int, default=12)
    parser.add_argument("--method", default="guided")
    parser.add_argument("--limit", type=float, default=300.0, help="milliseconds")
    arguments = parser.parse_args()
    harness, gaps = Harness(), Gaps()
    module = harness.start_with(MODULE)
    with gaps.during("open the panel"):
        harness.open(module)
    with gaps.during("choose the method"):
        module.logic.getParameterNode().method = arguments.method
        harness.process_events()
    with gaps.during("scans arrive"):
        pair = make_pair(arguments.size, arguments.slices)
        harness.process_events()
    import qt
    import slicer

    slicer.util.setSliceViewerLayers(background=pair[0], fit=True)
    for name in ("Red", "Yellow"):
        harness.view(name).sliceView().renderWindow()  # Slicer's views have theirs before anything is pressed
    rounds: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as results, tempfile.TemporaryDirectory() as temporary:
        qt.QFileDialog.getExistingDirectory = lambda *arguments: results
        tempfile.tempdir = temporary  # where nothing but the session writes
        box = box_of(BOX)
        for number in range(arguments.rounds):
            part = Gaps() if number else gaps
            play_round(module, harness, pair, box, Path(results), part)
            if number:
                for action, values in part.longest.items():
                    later = gaps.longest.get(f"{action}, again", (0.0, 0.0))
                    gaps.longest[f"{action}, again"] = max(later[0], values[0]), max(later[1], values[1])
            rounds.append(left_behind(harness))
            print(f"round {number + 1}: {rounds[-1]}", file=sys.stderr, flush=True)
        tempfile.tempdir = None
    with gaps.during("close the scene"):
        harness.new_scene()
    harness.unload_all()
    print("| action | clock, ms | processor, ms |\n|---|--:|--:|")
    for action, (clock, processor) in gaps.longest.items():
        print(f"| {action} | {clock:.0f} | {processor:.0f} |")
    print(f"\n| round | {' | '.join(rounds[0])} |\n|--:{'|--:' * len(rounds[0])}|")
    for number, values in enumerate(rounds):
        print(f"| {number + 1} | {' | '.join(f'{value:.0f}' for value in values.values())} |")
    over = [action for action, (_, processor) in gaps.longest.items() if processor > arguments.limit]
    print(f"\nabove {arguments.limit:g} ms: {', '.join(over) or 'none'}")
    if harness.slot_errors:
        print(f"{len(harness.slot_errors)} errors in slots, the first: {harness.slot_errors[0]!r}")
    return int(bool(over or harness.slot_errors))


if __name__ == "__main__":
    sys.exit(main())
