"""Methods on slices of other scanners than those of the training data, through the whole pipeline: two tables.

    python Testing/bench_sites.py                                         # ten heads, MULTICONTRASTSR_DATA/crosssite
    python Testing/bench_sites.py --methods guided swift dinet --scales 2 4 --json-file sites.json
    python Testing/bench_sites.py --cases FOLDER                          # .npz files with y, ref, truth and affines

For every pair of contrasts and scale: gain over the better of sinc and guided in the mean over the slices (dB, with the
95 % interval of a bootstrap over the subjects), and the worst slice compared with sinc.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import numpy as np

import MultiContrastSRLib as mc
from MultiContrastSRLib.acquisition.degrade import degrade
from MultiContrastSRLib.image.similarity import psnr

CONTRASTS = {"T1": 0, "FLAIR": 1, "T1POST": 2}
PAIRS = (("FLAIR", "T1"), ("T1POST", "T1"), ("T1", "FLAIR"))
AFFINE = np.diag([1.0, 1.0, 5.0, 1.0])  # the pixels are of about 1 mm, the slices of 5 mm
BASELINES = ("sinc", "guided")
RESAMPLES = 2000


def score(target: mc.Volume, reference: mc.Volume, truth: mc.Volume, method: str, weights: str) -> float:
    """PSNR in dB, with the range of the truth as peak."""
    options = {"weights": weights} if weights and method not in BASELINES else {}
    prepared = mc.prepare(target, None if method == "sinc" else reference, method=method, register="off", **options)
    return float(psnr(prepared.render(truth.grid).array, truth.array).item())


def interval(values: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of the mean, by resampling the subjects."""
    rng = np.random.default_rng(0)
    means = rng.choice(values, (RESAMPLES, len(values))).mean(axis=1)
    return float(np.percentile(means, 2.5)), float(np.percentile(means, 97.5))


def sites(methods: list[str], scales: list[float], weights: str) -> list[dict]:
    """Prints the table of the ten heads and returns its rows."""
    rows: list[dict] = []
    file = Path(os.environ["MULTICONTRASTSR_DATA"]) / "crosssite" / "slices.npz"
    images = np.load(file)["images"].astype(np.float32)
    print("| target ← reference | scale | method | gain | 95 % | worst slice over sinc |\n|---|--:|---|--:|--:|--:|")
    for target, reference in PAIRS:
        for scale in scales:
            found: dict[str, list[float]] = {}
            for image in images:
                truth, other = (mc.Volume(image[None, ..., CONTRASTS[name]], AFFINE) for name in (target, reference))
                low = degrade(truth, "kspace", (1.0, scale, scale))
                for method in (*BASELINES, *(name for name in methods if name not in BASELINES)):
                    found.setdefault(method, []).append(score(low, other, truth, method, weights))
            values = {method: np.array(row) for method, row in found.items()}
            best = max((values[name] for name in BASELINES), key=np.mean)
            for method in methods:
                gains = values[method] - best
                low_end, high_end = interval(gains)
                worst = float((values[method] - values["sinc"]).min())
                pair, gain = f"{target} ← {reference}", float(gains.mean())
                print(
                    f"| {pair} | ×{scale:g} | {method} | {gain:+.2f} | {low_end:+.2f} … {high_end:+.2f} "
                    f"| {worst:+.2f} |",
                    flush=True,
                )
                row = {"pair": pair, "scale": scale, "method": method, "gain": gain}
                rows.append({**row, "interval": [low_end, high_end], "worst_over_sinc": worst})
    return rows


def cases(folder: Path, methods: list[str], weights: str) -> None:
    """The table of the slices on which networks ran away."""
    columns = (*BASELINES, *(name for name in methods if name not in BASELINES))
    print(f"| case | {' | '.join(columns)} |\n|---|{'--:|' * len(columns)}")
    for file in sorted(folder.glob("*.npz")):
        stored = np.load(file)
        target = mc.Volume(stored["y"], stored["y_affine"])
        reference = mc.Volume(stored["ref"], stored["ref_affine" if "ref_affine" in stored else "affine"])
        truth = mc.Volume(stored["truth"], stored["affine"])
        row = [score(target, reference, truth, method, weights) for method in columns]
        print(f"| {file.stem} | {' | '.join(f'{value:.2f}' for value in row)} |", flush=True)


def main() -> None:
    """Print one of the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=["guided", "swift"])
    parser.add_argument("--scales", nargs="+", type=float, default=[2.0, 3.0, 4.0])
    parser.add_argument("--cases", type=Path, metavar="FOLDER")
    parser.add_argument("--weights", default="", metavar="FILE", help="instead of those that ship")
    parser.add_argument("--json-file", type=Path, metavar="FILE", help="also write the rows of the ten heads")
    parsed = parser.parse_args()
    if parsed.cases:
        cases(parsed.cases, parsed.methods, parsed.weights)
        return
    rows = sites(parsed.methods, parsed.scales, parsed.weights)
    if parsed.json_file:
        parsed.json_file.write_text(json.dumps({"results": rows}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
