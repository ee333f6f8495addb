"""Times every method and stage side by side (`make bench`): bench-output/bench.md and bench.json.

Each measurement has a process of its own, so that peak memory is the method's and no cache is shared; the methods
take turns, so that a machine that slows down slows them all. Figures are medians of the repetitions.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import bench_networks
import numpy as np

SLICES, SIZE, SCALE = 12, 256, 2  # truth: 256² slices, halved in plane
COMPARED_WITH = "bspline"
NETWORKS = tuple(bench_networks.SCALES)


# ------------------------------------------------------------------ one measurement, in its own process


def scans():
    """(target, reference, output grid): half the resolution in plane, another contrast at full resolution."""
    from phantoms import pair

    import MultiContrastSRLib as mc

    truth, reference = pair((SLICES, SIZE, SIZE))
    target = mc.degrade(truth, "kspace", SCALE)
    return target, reference, target.grid.scaled(SCALE)


def resident_mebibytes() -> float:
    """Memory of this process now; what was its peak is forgotten where the system allows (Linux)."""
    status = Path("/proc/self/status")
    if not status.exists():
        return peak_mebibytes()
    Path("/proc/self/clear_refs").write_text("5")
    return int(status.read_text().partition("VmRSS:")[2].split()[0]) / 2**10


def peak_mebibytes() -> float:
    """Largest memory of this process since the last `resident_mebibytes`."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def measure_method(name: str) -> dict[str, float]:
    """Seconds of each stage, and MiB beyond what the inputs and the imports take."""
    import MultiContrastSRLib as mc
    from MultiContrastSRLib import methods

    target, reference, grid = scans()
    if methods.get(name).reference == "none":
        reference = None
    small = mc.Volume(target.array[:1, :32, :32], target.affine)  # imports and first-call costs are not the method's
    mc.super_resolve(small, None if reference is None else small, method=name, register="off")
    before = resident_mebibytes()
    prepared = mc.prepare(target, reference, name, register="off")
    times = dict(prepared.report.times)
    whole = seconds(lambda: prepared.render(grid))
    middle = grid.crop((SLICES // 2, 0, 0), (SLICES // 2 + 1, *grid.shape[1:]))
    return {
        "prepare": times["prepare"],
        "consistency": times.get("consistency", 0.0),
        "render": whole,
        "render one slice": seconds(lambda: prepared.render(middle)),
        "peak memory": peak_mebibytes() - before,
    }


def measure_stages() -> dict[str, float]:
    """Seconds of what all methods share."""
    import MultiContrastSRLib as mc
    from MultiContrastSRLib.registration.align import align

    target, reference, _ = scans()
    shift = np.eye(4)
    shift[:3, 3] = 1.5  # mm: something to register
    moved = mc.Volume(reference.array, shift @ reference.affine, "T1")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "T1.nii.gz"
        return {
            "save": seconds(lambda: mc.save_volume(reference, path)),
            "load": seconds(lambda: mc.load_volume(path)),
            "register": seconds(lambda: align(target, moved, "on")),
            "degrade": seconds(lambda: mc.degrade(reference, "kspace", SCALE)),
        }


# ------------------------------------------------------------------ the whole table


def measure(what: str, size: int) -> dict[str, float]:
    """The measurement called so: "stages", one of `bench_networks.measurements`, or a method."""
    if what == "stages":
        return measure_stages()
    if what in bench_networks.measurements(NETWORKS):
        return bench_networks.measure(what, size, seconds, resident_mebibytes, peak_mebibytes)
    return measure_method(what)


def run_apart(what: str, size: int) -> dict[str, float]:
    """A measurement in a fresh interpreter."""
    command = [sys.executable, __file__, "--measure", what, "--size", str(size)]
    library = Path(__file__).resolve().parents[1]  # this tree's, installed or not
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(library)})
    if done.returncode != 0:
        raise SystemExit(f"Measuring {what} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def median_of(runs: list[dict[str, float]]) -> dict[str, float]:
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


def machine() -> dict[str, object]:
    """What the figures depend on."""
    import scipy

    import MultiContrastSRLib

    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "threads": os.environ.get("OPENBLAS_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS", "all"),
        "network threads": os.environ.get("OMP_NUM_THREADS", "all"),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "version": MultiContrastSRLib.__version__,
    }


def markdown(found: dict) -> str:
    """The tables for people."""
    where, methods, stages = found["machine"], found["methods"], found["stages"]
    low = SIZE // SCALE
    megavoxels = SLICES * SIZE * SIZE / 1e6

    def total(times: dict[str, float]) -> float:
        return times["prepare"] + times["consistency"] + times["render"]

    lines = [
        "# Benchmark",
        "",
        f"MultiContrastSR {where['version']} on {where['processor']}, {where['cores']} cores, "
        f"threads of BLAS {where['threads']}, of networks {where['network threads']}; "
        f"Python {where['python']}, numpy {where['numpy']}, scipy {where['scipy']}.",
        f"Input: phantom T2, {SLICES} slices of {low}², with T1 of {SIZE}²; output ×{SCALE} in plane "
        f"({megavoxels:.2f} megavoxels). Medians of {found['repeats']} runs, each in its own process.",
        "",
        f"| method | prepare, ms a {SIZE}² slice | consistency, ms a slice | render, ms a megavoxel "
        f"| render one slice, ms | all, ms a slice | all, × {COMPARED_WITH} | peak memory, MiB |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, times in methods.items():
        figures = (
            f"{1e3 * times['prepare'] / SLICES:.1f}",
            f"{1e3 * times['consistency'] / SLICES:.1f}",
            f"{1e3 * times['render'] / megavoxels:.0f}",
            f"{1e3 * times['render one slice']:.1f}",
            f"{1e3 * total(times) / SLICES:.1f}",
            f"{total(times) / total(methods[COMPARED_WITH]):.2f}",
            f"{times['peak memory']:.0f}",
        )
        lines.append(f"| {name} | {' | '.join(figures)} |")
    lines += [f"| {name} | {why} |||||||" for name, why in found["unavailable"].items()]
    lines += ["", "| stage of any method | ms |", "|---|--:|"]
    lines += [f"| {name} | {1e3 * taken:.0f} |" for name, taken in stages.items()]
    if found["networks"]:
        lines += bench_networks.markdown(found["networks"], found["size"])
    if found["subject"]:
        lines += ["", "Subject-specific methods on a real head (`Testing/bench_subject.py`).", "", found["subject"]]
    return "\n".join(lines) + "\n"


def real_head(seconds: float) -> str:
    """The table of `bench_subject`; nothing where there are no real scans."""
    if not (seconds and os.environ.get("MULTICONTRASTSR_DATA")):
        return ""
    command = [sys.executable, str(Path(__file__).with_name("bench_subject.py")), "--seconds", str(seconds)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("bench-output"), help="folder for bench.md and bench.json")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each measurement (default 3)")
    parser.add_argument("--methods", nargs="*", help="names; default all")
    parser.add_argument("--networks", nargs="*", choices=NETWORKS, help="networks; default all, where torch is there")
    parser.add_argument("--size", type=int, default=SIZE, help=f"side of the networks' output (default {SIZE})")
    parser.add_argument("--seconds", type=float, default=60.0, help="of a fit to a real head (default 60; 0: none)")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.measure:
        print(json.dumps(measure(given.measure, given.size)))
        return 0

    from MultiContrastSRLib import methods

    chosen = [m for m in methods() if not given.methods or m.name in {*given.methods, COMPARED_WITH}]
    unavailable = {m.name: m.unavailable() for m in chosen if m.unavailable()}
    names = [m.name for m in chosen if m.name not in unavailable]
    networks = NETWORKS if given.networks is None else given.networks
    compared = bench_networks.measurements(networks) if importlib.util.find_spec("torch") else []
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in [*names, "stages", *compared]}
    for turn in range(given.repeats):
        for name, measured in runs.items():
            print(f"run {turn + 1} of {given.repeats}: {name}", file=sys.stderr)
            measured.append(run_apart(name, given.size))
    medians = {name: median_of(measured) for name, measured in runs.items()}
    stages = medians.pop("stages")
    found = {
        "machine": machine(),
        "repeats": given.repeats,
        "size": given.size,
        "networks": {name: medians.pop(name) for name in compared},
        "methods": medians,
        "stages": stages,
        "unavailable": unavailable,
        "subject": real_head(given.seconds) if compared and not given.methods else "",
        "runs": runs,
    }
    given.output.mkdir(parents=True, exist_ok=True)
    (given.output / "bench.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    (given.output / "bench.md").write_text(markdown(found), encoding="utf-8")
    print(markdown(found))
    print(f"Written: {given.output / 'bench.md'}, {given.output / 'bench.json'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
