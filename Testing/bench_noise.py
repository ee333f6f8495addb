"""PSNR of every method with noise in the target: without data consistency, with exact, and with weighed data.

    MULTICONTRASTSR_DATA=… python Testing/bench_noise.py --methods linear guided joint-tv

Two tables: FLAIR by T1 in plane, k-space ×3, three slices; and T1 by FLAIR across slices, slabs of 4 mm, a block of the
head. White noise is added to the degraded target, in percent of the truth's range; the truth has none of it. The last
column is the difference to the image without data consistency.
"""

from __future__ import annotations

import argparse

import numpy as np
from phantoms import psnr, real_volume

import MultiContrastSRLib as mc
from MultiContrastSRLib import Volume
from MultiContrastSRLib.acquisition.consistency import make_consistent
from MultiContrastSRLib.acquisition.lattice import refinement_for
from MultiContrastSRLib.acquisition.noise import significant_noise
from MultiContrastSRLib.methods import get

NOISE = (0, 1, 3, 6)


def scan(contrast: str) -> Volume:
    """A scan of patient26."""
    return real_volume("open_ms_data", "cross_sectional", "MNI", "patient26", f"{contrast}_*.nii.gz")


def slices(volume: Volume) -> Volume:
    """Three axial slices, 20 mm apart."""
    grid = volume.grid.remapped((3, *volume.shape[1:]), np.array([20, 1, 1]), np.array([60, 0, 0]))
    return Volume(volume.array[60:120:20], grid.affine, volume.name)


def block(volume: Volume) -> Volume:
    """A block of 48 × 80 × 80 mm in the middle of the head."""
    first, last = (60, 60, 50), (108, 140, 130)
    part = tuple(map(slice, first, last))
    return Volume(np.ascontiguousarray(volume.array[part]), volume.grid.crop(first, last).affine, volume.name)


def noisy(volume: Volume, deviation: float) -> Volume:
    """`volume` with white noise."""
    noise = np.random.default_rng(1).normal(0, deviation, volume.shape).astype(np.float32)
    return Volume(volume.array + noise, volume.affine, volume.name, volume.metadata)


def compare(truth: Volume, reference: Volume, low: Volume, method: str) -> tuple[float, float, float]:
    """PSNR without data consistency, with exact data, and with data weighed by their noise."""
    refined = refinement_for(low.grid, truth.grid)
    image = get(method).prepare(low, reference, refine=refined)
    noise = significant_noise(low)
    images = image, make_consistent(image, None, refined)[0], make_consistent(image, None, refined, noise)[0]
    found = [psnr(each.render(truth.grid), truth) for each in images]
    return found[0], found[1], found[2]


def main(words: list[str] | None = None) -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", default=[m.name for m in mc.methods() if m.name != "subject-inr"])
    parser.add_argument("--noise", nargs="+", type=float, default=NOISE, help="percent of the truth's range")
    arguments = parser.parse_args(words)
    flair, t1 = scan("FLAIR"), scan("T1")
    cases = {
        "in plane ×3": (slices(flair), slices(t1), ("kspace", 3)),
        "slabs of 4 mm": (block(t1), block(flair), ("slab", 4)),
    }
    print("| | noise % | method | without dB | exact dB | weighed dB | weighed − without |")
    print("|---|---|---|---|---|---|---|")
    for name, (truth, reference, degradation) in cases.items():
        clean = mc.degrade(truth, *degradation, axis="k" if degradation[0] == "slab" else None)
        for percent in arguments.noise:
            low = noisy(clean, percent / 100 * float(np.ptp(truth.array)))
            for method in arguments.methods:
                without, exact, weighed = compare(truth, reference, low, method)
                row = f"{without:.2f} | {exact:.2f} | {weighed:.2f} | {weighed - without:+.2f}"
                print(f"| {name} | {percent:g} | {method} | {row} |", flush=True)


if __name__ == "__main__":
    main()
