"""Kills a batch of many subjects at random moments, restarts it, and compares with a straight run; measures overhead.

    python Testing/bench_batch.py --subjects 200 --kills 10 --workers 2

Some subjects are spoiled (no reference, truncated, 4-D): they must fail in both runs. Prints whether all results are
there once and equal, what the batch costs beyond the computation, and how much the memory of workers grew.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

import nibabel
import numpy as np
from batch_fixtures import RECIPE, rows_of, start, write_subject
from batch_kills import differences, run_and_kill, workers_of

from MultiContrastSRLib.batch.engine import resident_mb

VICTIMS = ("worker", "command")


def spoil(anat: Path, label: str, number: int) -> bool:
    """Give every tenth subject a defect; whether it has one."""
    target = anat / f"sub-{label}_T2w.nii.gz"
    if number % 10:
        return False
    kind = number // 10 % 3
    if kind == 0:
        (anat / f"sub-{label}_T1w.nii.gz").unlink()
    elif kind == 1:
        target.write_bytes(target.read_bytes()[:-50])
    else:
        nibabel.save(nibabel.Nifti1Image(np.zeros((8, 8, 4, 3), np.float32), np.eye(4)), target)
    return True


def straight_run(dataset: Path, output: Path, workers: int) -> dict[str, float]:
    """Run without interruptions; seconds of it, of the subjects' own work, and the largest memory of workers in MB."""
    begin = time.monotonic()
    process = start("batch", dataset, output, *RECIPE, "--n-procs", workers, "--json")
    memory: list[float] = []
    busy = 0.0
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "result":
            busy += event["seconds"]
            memory.append(max((resident_mb(pid) for pid in workers_of(process.pid)), default=0.0))
    process.stderr.read()
    process.wait()
    fifth = max(1, len(memory) // 5)
    return {
        "seconds": time.monotonic() - begin,
        "subjects_seconds": busy / workers,
        "memory_early_mb": float(np.median(memory[fifth : 2 * fifth])),
        "memory_late_mb": float(np.median(memory[-fifth:])),
    }


def main(arguments: list[str] | None = None) -> int:
    """Run the comparison; 0 if nothing was lost, half or different."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subjects", type=int, default=200)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--size", type=int, nargs=3, default=(4, 40, 36), help="slices, rows and columns of the scans")
    parser.add_argument("--dask", action="store_true", help="kill processes of a Dask cluster instead")
    parser.add_argument("--seed", type=int, default=1)
    parsed = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="bench-batch-"))
    dataset, chance = folder / "bids", random.Random(parsed.seed)
    labels = [f"{number:03d}" for number in range(1, parsed.subjects + 1)]
    dataset.mkdir()
    (dataset / "dataset_description.json").write_text('{"Name": "Phantoms", "BIDSVersion": "1.10.0"}')
    bad = {x for n, x in enumerate(labels) if spoil(write_subject(dataset, x, n, tuple(parsed.size)), x, n)}
    found: dict[str, object] = straight_run(dataset, folder / "straight", parsed.workers)
    more = ["--n-procs", parsed.workers, *(["--dask-local"] if parsed.dask else [])]
    most = max(2, 4 * parsed.subjects // parsed.kills)  # events between two kills: a subject has three or more
    codes = [
        run_and_kill(dataset, folder / "killed", VICTIMS, chance, *more, most=most) for _ in range(parsed.kills // 2)
    ]
    last = start("batch", dataset, folder / "killed", *RECIPE, *more)
    last.communicate()
    rows = rows_of(folder / "killed")
    wrong = differences(folder / "straight", folder / "killed")
    wrong += [f"{x} is {rows[x]['state']}" for x in labels if (rows[x]["state"] == "failed") != (x in bad)]
    wrong += [f"half a file: {path}" for path in (folder / "killed").rglob(".????????.*") if path.is_file()]
    found |= {"exit_codes": codes, "last_exit_code": last.returncode, "good": len(labels) - len(bad), "wrong": wrong}
    print(json.dumps(found, indent=1))
    shutil.rmtree(folder)
    return int(bool(wrong) or last.returncode != int(bool(bad)))


if __name__ == "__main__":
    sys.exit(main())
