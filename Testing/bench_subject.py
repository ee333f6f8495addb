"""Subject-specific methods on a crop of a real head: quality against time, and encodings of the network side by side.

T1 in sagittal and FLAIR in coronal slices of 4 mm (slabs), made of a subject of $MULTICONTRASTSR_DATA. PSNR: peak is
the truth's 99.9th percentile. Seconds are the processor's, of all threads, and without the time to look at a fit.

  python Testing/bench_subject.py                      # methods and presets, at most 120 s a fit
  python Testing/bench_subject.py --seconds 0 --only paper        # the published preset to its end
  python Testing/bench_subject.py --encodings --seconds 60        # networks by themselves, without a start
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from inr_encodings import ENCODINGS

import MultiContrastSRLib as mc
from MultiContrastSRLib import Volume
from MultiContrastSRLib.acquisition.model import AcquisitionModel
from MultiContrastSRLib.image.similarity import psnr
from MultiContrastSRLib.inr import networks
from MultiContrastSRLib.inr.callbacks import CurvePoint, FitCallbacks
from MultiContrastSRLib.inr.fitting import fit
from MultiContrastSRLib.inr.presets import PRESETS, Preset, Settings

CLASSICAL = ("bspline", "joint-tv", "joint-nonlocal")
CONTRASTS = {"T1": "T1_*.nii.gz", "FLAIR": "FLAIR_*.nii.gz"}


class Scene:
    """Both truths on a crop, and the thick slices made of them."""

    def __init__(self, folder: Path, first: Sequence[int], shape: Sequence[int]) -> None:
        part = tuple(slice(a, a + n) for a, n in zip(first, shape, strict=True))
        self.truths = []
        for name, pattern in CONTRASTS.items():
            whole = mc.load_volume(next(folder.glob(pattern)))
            grid = whole.grid.crop(first, [s.stop for s in part])
            self.truths.append(Volume(whole.array[part].copy(), grid.affine, name))
        self.scans = [mc.degrade(t, "slab", 4, axis=a) for t, a in zip(self.truths, ("i", "j"), strict=True)]
        self.grid = self.truths[0].grid
        self.lattice = AcquisitionModel.estimate(self.scans[0]).lattice(self.grid.shape)

    def scores(self, images: Sequence[np.ndarray]) -> list[float]:
        """PSNR of every contrast, dB."""
        peaks = [np.percentile(t.array, 99.9) for t in self.truths]
        pairs = zip(images, self.truths, peaks, strict=True)
        return [float(psnr(image[None], t.array[None], peak)[0]) for image, t, peak in pairs]


class Watch:
    """Follows a fit: (processor seconds, scores) every so often, and when there is enough."""

    def __init__(self, scene: Scene, seconds: float, every: float) -> None:
        self.scene, self.seconds, self.every = scene, seconds, every
        self.begun, self.spent, self.next = time.process_time(), 0.0, 0.0
        self.curve: list[tuple[float, list[float]]] = []

    def clock(self) -> float:
        """Processor seconds of the fit itself."""
        return time.process_time() - self.begun - self.spent

    def enough(self) -> bool:
        """Time is up."""
        return self.clock() > self.seconds

    def look(self, _: CurvePoint, draw: Callable) -> None:
        """Score what there is, if it is time."""
        if self.clock() < self.next:
            return
        before = time.process_time()
        found = self.scene.scores(draw(self.scene.lattice))
        self.spent += time.process_time() - before
        self.curve.append((self.clock(), found))
        self.next = self.clock() + self.every
        print(f"  {self.clock():7.0f} s  {found[0]:.2f}  {found[1]:.2f}", file=sys.stderr, flush=True)


def classical(scene: Scene, name: str) -> tuple[list[float], float]:
    """(scores, processor seconds) of a method without a fit."""
    begun = time.process_time()
    how = {"register": "off", "grid": scene.grid, "device": "cpu"}
    if name == "bspline":
        runs = [mc.prepare(scan, None, name, data_consistency=False, **how) for scan in scene.scans]
        images = [run.render(scene.grid).array for run in runs]
    else:
        run = mc.prepare(*scene.scans, name, **how)
        images = [run.render(scene.grid).array, run.companion.render(scene.grid).array]
    return scene.scores(images), time.process_time() - begun


def fitted(scene: Scene, preset: Preset, watch: Watch, **settings: object) -> tuple[list[float], float, str]:
    """(scores before data consistency, processor seconds, why it ended) of a fit."""
    done = fit(
        [[scan] for scan in scene.scans], scene.lattice, Settings(preset, **settings),
        callbacks=FitCallbacks(watch.enough, watch.look),
    )  # fmt: skip
    seconds = watch.clock()
    return scene.scores(done.model.images(scene.lattice)), seconds, done.model.provenance["stopped_by"]


def compare_methods(scene: Scene, names: Sequence[str], seconds: float, every: float, precision: str) -> None:
    """The table of methods and presets."""
    print("| method | T1, dB | FLAIR, dB | seconds | ended by |\n|---|--:|--:|--:|---|")
    for name in names:
        if name in CLASSICAL:
            (t1, flair), taken = classical(scene, name)
            reason = ""
        else:
            watch = Watch(scene, seconds, every)
            (t1, flair), taken, reason = fitted(scene, PRESETS[name], watch, precision=precision)
            name = f"subject-inr, *{name}*"
        print(f"| {name} | {t1:.2f} | {flair:.2f} | {taken:.0f} | {reason} |", flush=True)


def compare_encodings(scene: Scene, names: Sequence[str], seconds: float, every: float) -> None:
    """Networks by themselves: no start, slab profiles, the same time."""
    print("| encoding | numbers fitted | T1, dB | FLAIR, dB | best on the way | seconds |\n|---|--:|--:|--:|--:|--:|")
    plain = replace(
        PRESETS["balanced"], start=False, rounds=0, foreground=False, epochs=400, rate=1e-2, averaging=0.9, batch=4096
    )
    usual = networks._encoding
    for name in names:
        encoding, changes = ENCODINGS[name]
        networks._encoding = usual if encoding is None else encoding
        watch = Watch(scene, seconds, every)
        (t1, flair), taken, _ = fitted(
            scene, replace(plain, **changes), watch, stop="never", max_seconds=min(seconds, 1e6)
        )
        plan = Settings(replace(plain, **changes)).architecture(2)
        size = scene.grid.spacing[0] * np.array(scene.grid.shape[::-1], float)
        count = networks.parameter_count(networks.build(plan, size, size.max()))
        best = max(sum(found) / 2 for _, found in watch.curve)
        print(f"| {name} | {count:,} | {t1:.2f} | {flair:.2f} | {best:.2f} (mean) | {taken:.0f} |", flush=True)
    networks._encoding = usual


def main(arguments: list[str] | None = None) -> int:
    """Print one of the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = Path(os.environ.get("MULTICONTRASTSR_DATA", "."))
    folder = data / "open_ms_data/cross_sectional/MNI/patient07"
    parser.add_argument("--folder", type=Path, default=folder, help="a subject's T1_*.nii.gz and FLAIR_*.nii.gz")
    parser.add_argument("--at", type=int, nargs=3, default=(60, 72, 64), help="the crop's first voxel (k, j, i)")
    parser.add_argument("--crop", type=int, nargs=3, default=(48, 64, 48), help="its voxels")
    parser.add_argument("--seconds", type=float, default=120.0, help="processor seconds of a fit; 0: to its end")
    parser.add_argument("--every", type=float, default=10.0, help="seconds between two looks at a fit")
    parser.add_argument("--only", nargs="*", help="rows; default all")
    parser.add_argument("--precision", default="float32", help="float32 (default) or bfloat16: see the method's option")
    parser.add_argument("--encodings", action="store_true", help="compare encodings instead")
    chosen = parser.parse_args(arguments)
    torch.manual_seed(0)
    scene = Scene(chosen.folder, chosen.at, chosen.crop)
    rows = chosen.only or (tuple(ENCODINGS) if chosen.encodings else (*CLASSICAL, *PRESETS))
    k, j, i = chosen.crop
    print(
        f"Crop of {k} × {j} × {i} voxels of {chosen.folder.name}, T1 and FLAIR in orthogonal slabs of 4 mm. A fit ends"
    )
    print(f"after {chosen.seconds:g} s of the processor at the latest. PSNR of fits: before data consistency.\n")
    seconds = chosen.seconds or float("inf")
    if chosen.encodings:
        compare_encodings(scene, rows, seconds, chosen.every)
    else:
        compare_methods(scene, rows, seconds, chosen.every, chosen.precision)
    return 0


if __name__ == "__main__":
    sys.exit(main())
