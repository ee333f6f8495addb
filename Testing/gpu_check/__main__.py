"""Measures this machine's GPU and writes what it finds as JSON: `make gpu-check`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from MultiContrastSRLib.core.devices import resolve_device
from MultiContrastSRLib.training.data.pack import load_pack

from .machine import Machine
from .measurements import Measurements

RESULT = Path(__file__).resolve().parents[2] / "docs" / "gpu-check.json"
MINUTES = 6.0


def check(
    device: str, pack: Path, minutes: float = MINUTES, small: bool = False, only: Collection[str] = ()
) -> dict[str, Any]:
    """All tables; rows that fail are named with the reason, and those for which no time is left are named.

    Args:
        device, pack, minutes, small, only: see the command's options.
    """
    end = time.monotonic() + 60 * minutes
    machine = Machine(device)
    tables: dict[str, dict] = {}
    failed: dict[str, str] = {}
    left_out: list[str] = []
    for table, rows in Measurements(machine, load_pack(pack), small).tables().items():
        tables[table] = {}
        for name, measure in rows.items():
            if only and not {table, name} & set(only):
                continue
            if time.monotonic() > end:
                left_out.append(f"{table}: {name}")
                continue
            print(f"{table}: {name}", file=sys.stderr)
            begin = time.monotonic()
            try:
                tables[table][name] = measure()
            except Exception as error:  # the other rows are worth having
                failed[f"{table}: {name}"] = f"{type(error).__name__}: {error}"
            print(f"  {time.monotonic() - begin:.1f} s", file=sys.stderr)
    return {"machine": machine.describe(), "tables": tables, "failed": failed, "left out": left_out}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="gpu_check", description=__doc__.splitlines()[0])
    parser.add_argument("--pack", type=Path, default=Path("gpu-pack.npz"), help="of make gpu-pack")
    parser.add_argument("--device", default="auto", help="auto (default), cuda, cuda:1, mps, xpu, …; cpu tries it out")
    parser.add_argument("--minutes", type=float, default=MINUTES, help=f"no row begins later (default {MINUTES:g})")
    parser.add_argument("--output", type=Path, default=RESULT, help=f"default {RESULT}")
    parser.add_argument("--small", action="store_true", help="tiny images and short runs: tries out the check itself")
    parser.add_argument("--only", nargs="*", default=(), help="names of tables or rows; default all")
    given = parser.parse_args(arguments)
    device, note = resolve_device(given.device, ("cpu", "accelerator"), "gpu_check")
    if given.device == "auto" and device == "cpu":
        print(f"{note} Nothing was measured; name a device by --device.", file=sys.stderr)
        return 3
    found = check(device, given.pack, given.minutes, given.small, given.only)
    given.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for row, reason in found["failed"].items():
        print(f"{row} failed: {reason}", file=sys.stderr)
    print(given.output)
    return 1 if found["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
