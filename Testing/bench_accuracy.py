"""Measure the trained methods on the validation scans, for the tables of docs/accuracy.md.

    python Testing/bench_accuracy.py                                   # all: some 80 minutes of one core
    python Testing/bench_accuracy.py --methods swift --runs patient26 lesions
    python Testing/documentation.py patient26 patient03 patient12 sites lesions references

Every run is one command, which is printed, for one method; its numbers go to bench-output/accuracy/RUN-METHOD.json. The
scans are those below MULTICONTRASTSR_DATA. Each slice is degraded and prepared by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "bench-output" / "accuracy"
METHODS = ("swift", "dual-arbnet", "dinet", "minet", "joint-tv")
LABELS = {"swift": "Swift", "dual-arbnet": "Dual-ArbNet (light)", "dinet": "DINet (light)", "minet": "MINet (light)"}
P3 = "--preset P3 --subjects patient26 --alone --slices 9"
RAW = (
    '--scans "**/raw/{{subject}}/{study}_{{contrast}}.nii.gz" --subjects {subject} --pairs {pairs} --register auto '
    "--alone --slices 4"
)
RUNS = {  # name: arguments of `multicontrastsr evaluate --data DATA`
    "patient26": f"{P3} --scales 2 3 4 --methods sinc guided METHOD",
    "patient03": RAW.format(study="study2", subject="patient03", pairs="T2W:T1W FLAIR:T1W FLAIR:T2W T2W:FLAIR")
    + " --scales 2 3 4 --methods sinc guided METHOD",
    "patient12": RAW.format(study="study1", subject="patient12", pairs="T2W:T1W FLAIR:T2W")
    + " --scales 2 3 --methods sinc guided METHOD",
    "lesions": f"{P3} --scales 4 --methods METHOD --probe lesions",
    "references": f"{P3} --pairs T2:T1 --scales 2 4 --methods METHOD --probe robustness",
}
METRICS = ("psnr", "psnr_brain")
WRONG = {"reversed": "other anatomy", "shifted": "shifted by 3 pixels", "half": "half of the patient", "blank": "blank"}


def command(run: str, method: str) -> list[str]:
    """The command of one run, without the path of Python."""
    file = str(FOLDER / f"{run}-{method}.json")
    if run == "sites":
        return ["Testing/bench_sites.py", "--methods", method, "--json-file", file]
    arguments = shlex.split(RUNS[run].replace("METHOD", method))
    data = ["--data", os.environ["MULTICONTRASTSR_DATA"], *arguments]
    return ["-m", "MultiContrastSRLib.cli", "evaluate", *data, "--json-file", file, "--overwrite", "--quiet"]


def _found(run: str, select: Callable[[dict], Iterable[dict]]) -> dict[str, list[dict]]:
    """What was measured, by method; only those methods whose run is there."""
    files = {name: FOLDER / f"{run}-{name}.json" for name in METHODS}
    rows = {name: select(json.loads(file.read_text("utf-8"))) for name, file in files.items() if file.is_file()}
    return {name: [row for row in found if _is_of(row, name)] for name, found in rows.items()}


def _is_of(row: dict, method: str) -> bool:
    """Whether a row is of `method`; MINet has no weights but for ×2 and ×4."""
    return row["method"] == method and (method != "minet" or row["scale"] in (2, 4))


def scores(run: str, over: str) -> str:
    """Gains whole / brain in the mean over the pairs, lowest pair; over "best" (of sinc and guided) or "sinc"."""

    def select(found: dict) -> list[dict]:
        sinc = {(*row["pair"], row["scale"]): row["metrics"] for row in found["results"] if row["method"] == "sinc"}
        for row in found["results"]:
            base = sinc[(*row["pair"], row["scale"])]
            row["gains"] = {
                name: row["gain"][name]["mean"] if over == "best" else row["metrics"][name]["mean"] - base[name]["mean"]
                for name in METRICS
            }
        return [row for row in found["results"] if row["pair"] != "mean over pairs"]

    found = _found(run, select)
    scales = sorted({row["scale"] for rows in found.values() for row in rows})
    count = max((row["metrics"]["psnr"]["slices"] for rows in found.values() for row in rows), default=0)
    lines = [f"| n = {count} slices | " + " | ".join(f"×{scale:g} | lowest pair" for scale in scales) + " |"]
    lines.append("|---|" + "--:|---|" * len(scales))
    for name, rows in found.items():
        cells = []
        for scale in scales:
            here = [row for row in rows if row["scale"] == scale]
            if not here:
                cells += ["", ""]
                continue
            whole, brain = (sum(row["gains"][metric] for row in here) / len(here)
                            for metric in METRICS)  # fmt: skip
            lowest = min(here, key=lambda row: row["gains"]["psnr"])
            cells.append(f"{whole:+.2f} / {brain:+.2f}")
            cells.append(f"{lowest['gains']['psnr']:+.2f} {' ← '.join(lowest['pair'])}")
        lines.append(f"| {LABELS.get(name, f'*{name}*')} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def sites() -> str:
    """Ten heads of other scanners: gain, its interval over the heads, and the worst slice over sinc."""
    found = _found("sites", lambda found: found["results"])
    lines = ["| target ← reference | scale | " + " | ".join(LABELS.get(name, f"*{name}*") for name in found) + " |"]
    lines.append("|---|--:|" + "--:|" * len(found))
    keys = dict.fromkeys((row["pair"], row["scale"]) for rows in found.values() for row in rows)
    for pair, scale in keys:
        cells = []
        for rows in found.values():
            row = next((row for row in rows if (row["pair"], row["scale"]) == (pair, scale)), None)
            if row is None:
                cells.append("")
                continue
            low, high = row["interval"]
            cells.append(f"{row['gain']:+.2f} ({low:+.2f} … {high:+.2f}); {row['worst_over_sinc']:+.2f}")
        lines.append(f"| {pair} | ×{scale:g} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def lesions() -> str:
    """Contrast of planted lesions at ×4: kept of the target's, leaked of the reference's, in %."""
    found = _found("lesions", lambda found: found["results"])
    lines = ["| | kept | leaked, mean of pairs | leaked, worst pair | radius 2 mm | radius 4 mm |"]
    lines.append("|---|--:|--:|---|--:|--:|")
    for name, rows in found.items():
        mean = next(row["shares"] for row in rows if row["pair"] == "all pairs")
        worst = max((row for row in rows if row["pair"] != "all pairs"), key=lambda row: row["shares"]["leaked"])
        kept, leaked, small, large = (100 * mean[key] for key in ("kept", "leaked", "leaked_2mm", "leaked_4mm"))
        text = f"{100 * worst['shares']['leaked']:.1f} {' ← '.join(worst['pair'])}"
        label = LABELS.get(name, f"*{name}*")
        lines.append(f"| {label} | {kept:.1f} | {leaked:.1f} | {text} | {small:.1f} | {large:.1f} |")
    return "\n".join(lines)


def references() -> str:
    """What wrong references cost: the gain in dB over the same method without a reference, T2 ← T1."""
    found = _found("references", lambda found: found["robustness"])
    lines = ["| ×2 / ×4 | right | " + " | ".join(WRONG.values()) + " |", "|---|" + "--:|" * (1 + len(WRONG))]
    for name, rows in found.items():
        gains = {(row["reference"], row["scale"]): row["gain_over_no_reference"]["mean"] for row in rows}
        cells = [f"{gains[kind, 2.0]:+.2f} / {gains[kind, 4.0]:+.2f}" for kind in ("full", *WRONG)]
        lines.append(f"| {LABELS.get(name, f'*{name}*')} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


TABLES: dict[str, Callable[[], str]] = {
    "patient26": lambda: scores("patient26", "best"),
    "patient03": lambda: scores("patient03", "sinc"),
    "patient12": lambda: scores("patient12", "sinc"),
    "sites": sites,
    "lesions": lesions,
    "references": references,
}


def main() -> None:
    """Run what is asked for, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--runs", nargs="+", default=TABLES, choices=TABLES)
    parsed = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    for method in parsed.methods:
        for run in parsed.runs:
            arguments = command(run, method)
            print("python", shlex.join(arguments), flush=True)
            subprocess.run([sys.executable, *arguments], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
