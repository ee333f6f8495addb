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
from panel_fixtures import MODULE, make_pair, resources
from panel_session import Gaps, box_of, play_round, resident_mb

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
    with gaps.during("open the panel"):
        module = harness.load(MODULE)
    with gaps.during("choose the method"):
        module.logic.getParameterNode().method = arguments.method
        harness.process_events()
    with gaps.during("scans arrive"):
        pair = make_pair(arguments.size, arguments.slices)
        harness.process_events()
    import qt
    import slicer

    slicer.util.setSliceViewerLayers(background=pair[0], fit=True)
    rounds: list[tuple[float, ...]] = []
    with tempfile.TemporaryDirectory() as folder:
        qt.QFileDialog.getExistingDirectory = lambda *arguments: folder
        box = box_of(BOX)
        for number in range(arguments.rounds):
            part = Gaps() if number else gaps
            play_round(module, harness, pair, box, Path(folder), part)
            if number:
                for action, values in part.longest.items():
                    later = gaps.longest.get(f"{action}, again", (0.0, 0.0))
                    gaps.longest[f"{action}, again"] = max(later[0], values[0]), max(later[1], values[1])
            nodes, threads, _, descriptors = resources(harness)
            rounds.append((nodes, threads, descriptors, resident_mb()))
            print(f"round {number + 1}: {resident_mb():.0f} MB", file=sys.stderr, flush=True)
    with gaps.during("close the scene"):
        harness.new_scene()
    harness.unload_all()
    print("| action | clock, ms | processor, ms |\n|---|--:|--:|")
    for action, (clock, processor) in gaps.longest.items():
        print(f"| {action} | {clock:.0f} | {processor:.0f} |")
    print("\n| round | nodes | threads | open files | resident, MB |\n|--:|--:|--:|--:|--:|")
    for number, values in enumerate(rounds):
        print(f"| {number + 1} | {' | '.join(f'{value:.0f}' for value in values)} |")
    over = [action for action, (_, processor) in gaps.longest.items() if processor > arguments.limit]
    print(f"\nabove {arguments.limit:g} ms: {', '.join(over) or 'none'}")
    if harness.slot_errors:
        print(f"{len(harness.slot_errors)} errors in slots, the first: {harness.slot_errors[0]!r}")
    return int(bool(over or harness.slot_errors))


if __name__ == "__main__":
    sys.exit(main())
