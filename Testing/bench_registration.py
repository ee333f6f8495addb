"""Whether `align` makes the right decision on pairs with known displacements: phantoms of heads, necks and knees.

    python Testing/bench_registration.py --cases 200

A quarter of the pairs is aligned, the others are displaced by up to 15 mm and 20°. Half are noisy, half are cropped;
anatomy, contrasts, coil shading, slice directions and thickness differ in every case. Distances are root mean squares
over the target's foreground.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from dataclasses import dataclass

import numpy as np
from phantoms import rotation
from registration_phantoms import KINDS, Anatomy, Contrast, positions, scan
from scipy.spatial.transform import Rotation

from MultiContrastSRLib import Grid, Volume
from MultiContrastSRLib.image.similarity import foreground
from MultiContrastSRLib.registration.align import Alignment, align

OUTCOMES = ("right", "wrong", "missed", "warned")
FALSE_MOVE_MM, LEFT_MM = 1.0, 2.0  # a move of an aligned pair that is wrong; a distance that may not remain unsaid
_EXTENT = {"head": (165.0, 200.0, 165.0), "cord": (110.0, 120.0, 150.0), "knee": (130.0, 130.0, 140.0)}
_CROPPED = {"head": (95.0, 110.0, 75.0), "cord": (65.0, 75.0, 75.0), "knee": (90.0, 90.0, 80.0)}
_IN_PLANE = {"head": 2.3, "cord": 1.7, "knee": 1.9}
_DIRECTIONS = {"axial": (2, 1, 0), "sagittal": (0, 2, 1), "coronal": (1, 2, 0)}  # the RAS axis of k, j and i


@dataclass(frozen=True)
class Case:
    """A pair of scans of one patient, and by how much the reference's header is off.

    Attributes:
        move: 4 × 4, RAS to RAS, from where the reference's points are to where its header says.
        noisy, cropped: how it was made.
    """

    kind: str
    target: Volume
    reference: Volume
    move: np.ndarray
    noisy: bool
    cropped: bool

    def distance(self, transform: np.ndarray) -> float:
        """How far in mm the reference is off after `transform`, root mean square over the target's foreground."""
        points = positions(self.target.grid)[foreground(self.target.array)][::17]
        total = transform @ self.move
        return float(np.sqrt(np.square(points @ total[:3, :3].T + total[:3, 3] - points).sum(axis=1).mean()))

    def judge(self, outcome: Alignment) -> str:
        """One of `OUTCOMES`.

        "wrong": an aligned pair was moved by more than `FALSE_MOVE_MM`, or a displaced pair is farther off than before.
        "missed": more than `LEFT_MM` remain without a warning; "warned": with one, or the reference is not used.
        """
        before, after = self.distance(np.eye(4)), self.distance(outcome.transform)
        if outcome.registered and after > max(before, FALSE_MOVE_MM):
            return "wrong"
        if after <= LEFT_MM:
            return "right"
        return "warned" if outcome.warnings else "missed"


def make_case(seed: int) -> Case:
    """The pair of that number: the kinds take turns, then noisy and cropped ones, then aligned and displaced ones."""
    kind, noisy, cropped, displaced = KINDS[seed % 3], seed // 3 % 2 == 1, seed // 6 % 2 == 1, seed // 12 % 4 > 0
    rng = np.random.default_rng((2026, seed))
    anatomy = Anatomy(kind, rng)
    coils = rng.normal(size=(3, 4))
    extent = np.array((_CROPPED if cropped else _EXTENT)[kind]) * rng.uniform(0.85, 1.15, 3)
    center = rng.uniform(-0.15, 0.15, 3) * (np.array(_EXTENT[kind]) if cropped else 20.0)
    names = list(_DIRECTIONS)
    rng.shuffle(names)
    target = _grid(center, extent, names[0], _IN_PLANE[kind] * rng.uniform(0.85, 1.15), rng.uniform(3, 6), np.eye(3))
    fine = _IN_PLANE[kind] * rng.uniform(0.9, 1.2)
    across = fine if rng.random() < 0.5 else rng.uniform(2.5, 4)
    tilt = rotation(tuple(rng.normal(0, np.radians(5), 3)))
    header = _grid(center + rng.normal(0, 4, 3), extent + rng.uniform(-5, 25, 3), names[1], fine, across, tilt)
    move = _random_move(rng, target.center) if displaced else np.eye(4)
    true = Grid(header.shape, np.linalg.inv(move) @ header.affine)
    noise = rng.uniform(0.05, 0.12) if noisy else 0.01
    shading = rng.uniform(0, 0.4)
    volumes = [
        scan(
            anatomy, Contrast.of(anatomy.tissues, shading, coils, rng), grid, moved, max(grid.spacing), noise, seed + n
        )
        for n, (grid, moved) in enumerate(((target, np.eye(4)), (true, move)))
    ]
    return Case(kind, *volumes, move, noisy, cropped)


def _random_move(rng: np.random.Generator, center: np.ndarray) -> np.ndarray:
    """Up to 15 mm in a random direction and 20° about a random axis through `center`."""
    shift, axis = rng.normal(size=(2, 3))
    shift *= rng.uniform(0, 15) / np.linalg.norm(shift)
    axis *= np.radians(rng.uniform(0, 20)) / np.linalg.norm(axis)
    move = np.eye(4)
    move[:3, :3] = Rotation.from_rotvec(axis).as_matrix()
    move[:3, 3] = center + shift - move[:3, :3] @ center
    return move


def _grid(
    center: np.ndarray, extent: np.ndarray, direction: str, in_plane: float, across: float, tilt: np.ndarray
) -> Grid:
    """Slices of a direction over an `extent` in mm (R, A, S) around `center`."""
    axes, spacing = _DIRECTIONS[direction], (across, in_plane, in_plane)
    shape = [max(6, round(extent[axis] / size)) for axis, size in zip(axes, spacing, strict=True)]
    affine = np.eye(4)
    affine[:3, :3] = tilt @ np.stack([np.eye(3)[a] * s for a, s in zip(axes, spacing, strict=True)][::-1], axis=1)
    affine[:3, 3] = center - affine[:3, :3] @ ((np.array(shape[::-1]) - 1) / 2)
    return Grid(tuple(shape), affine)


def main(words: list[str] | None = None) -> None:
    """Print a line for each case that is not right, and the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument(
        "--step", type=int, default=1, help="2 takes every second case: one half to choose, one to judge"
    )
    arguments = parser.parse_args(words)
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in (*KINDS, "all")}
    begin = time.process_time()
    for seed in range(arguments.first, arguments.first + arguments.cases * arguments.step, arguments.step):
        case = make_case(seed)
        outcome = align(case.target, case.reference)
        result, before, after = case.judge(outcome), case.distance(np.eye(4)), case.distance(outcome.transform)
        for row in (case.kind, "all"):
            counts[row] += Counter(
                {
                    "cases": 1,
                    result: 1,
                    "aligned": int(before == 0),
                    "displaced": int(before > LEFT_MM),
                    "false warnings": int(before == 0 and bool(outcome.warnings)),
                }
            )
        if result != "right":
            print(
                f"{seed} {case.kind} {result}: {before:.1f} to {after:.1f} mm. {' '.join(outcome.warnings)}", flush=True
            )
    columns = ("cases", "aligned", "displaced", *OUTCOMES, "false warnings")
    print(f"\n| kind | {' | '.join(columns)} |\n|---|{'--:|' * len(columns)}")
    for kind, found in counts.items():
        print(f"| {kind} | {' | '.join(str(found[column]) for column in columns)} |")
    total = counts["all"]
    print(f"\nwrong {_percent(total['wrong'], total['cases'])}, missed {_percent(total['missed'], total['displaced'])}")
    print(f"{time.process_time() - begin:.0f} s of processor time")


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / max(whole, 1):.1f} %"


if __name__ == "__main__":
    main()
