"""Heads, necks and knees of varied anatomy in random contrasts, as functions of the position in mm.

A scan samples the function, so a displaced one is exact: it is sampled where the patient lay, and its header says that
the patient lay elsewhere. No two seeds share their anatomy, contrasts, coil shading or folds.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from phantoms import rotation

from MultiContrastSRLib import Grid, Volume

KINDS = ("head", "cord", "knee")
Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Solid:
    """One region of tissue: an ellipsoid, or a box with round edges.

    Attributes:
        center, axes: in mm; half axes.
        angles: of its axes, in radians.
        folds: depth in mm of the folds in its surface.
    """

    tissue: str
    center: Triple
    axes: Triple
    angles: Triple = (0.0, 0.0, 0.0)
    folds: float = 0.0
    box: bool = False

    def paint(self, image: np.ndarray, values: np.ndarray, place: np.ndarray, waves: np.ndarray, edge: float) -> None:
        """Write `values` (k, j, i) into `image` (k, j, i) within the solid, with an edge about ± `edge` mm wide.

        Args:
            place: positions (k, j, i, 3) in mm.
            waves: (k, j, i) from 0 to 1, how deep the surface is folded.
        """
        axes = np.array(self.axes, np.float32)
        scaled = np.abs((place - np.float32(self.center)) @ rotation(self.angles).astype(np.float32)) / axes
        near = (scaled < 1 + 2 * edge / axes).all(axis=-1)
        scaled = scaled[near]
        slope, power = (scaled**3, 0.25) if self.box else (scaled, 0.5)  # of the sum of powers, by axis
        radius = (slope * scaled).sum(axis=1) ** power + 1e-6
        steepness = np.sqrt(((slope / axes) ** 2).sum(axis=1)) / radius ** (1 / power - 1) + 1e-6
        share = 0.5 + 0.5 * np.tanh(((1 - radius) / steepness - self.folds * waves[near]) / edge)
        image[near] += share * (values[near] - image[near])


class Anatomy:
    """One patient: regions in the order of painting, folds, texture, and the bend of the whole.

    Args:
        kind: one of `KINDS`.
    """

    def __init__(self, kind: str, rng: np.random.Generator) -> None:
        self.kind = kind
        self.size = rng.uniform(0.88, 1.12, 3)  # of the average patient, by axis
        self._bend = rng.uniform(0, 7) if kind == "cord" else 0.0  # mm
        self._bend_phase = rng.uniform(0, 2 * np.pi)
        self._fold_waves = rng.normal(size=(4, 3)), rng.uniform(0, 2 * np.pi, 4)
        self._texture_waves = rng.normal(size=(8, 3)), rng.uniform(0, 2 * np.pi, 8)
        self.solids: list[Solid] = _BUILDERS[kind](rng)
        self.tissues = sorted({solid.tissue for solid in self.solids})

    def paint(self, grid: Grid, contrast: Contrast, edge: float) -> np.ndarray:
        """The image (k, j, i) on a grid whose positions are mm from the middle."""
        place = (positions(grid) / self.size).astype(np.float32)
        place[..., 1] += self._bend * np.sin(place[..., 2] / 45 + self._bend_phase)
        folds = np.exp(-((self._waves(place, *self._fold_waves, length=11.0) / 0.5) ** 2))
        texture = 1 + contrast.texture * self._waves(place, *self._texture_waves, length=16.0)
        image = np.zeros(grid.shape, np.float32)
        for solid in self.solids:
            middle = grid.indices(solid.center * self.size)
            reach = (1.2 * np.linalg.norm(solid.axes) + self._bend + 2 * edge) / np.array(grid.spacing)
            first = np.clip(np.floor(middle - reach), 0, grid.shape).astype(int)
            last = np.clip(np.ceil(middle + reach) + 1, 0, grid.shape).astype(int)
            part = tuple(map(slice, first, last))
            solid.paint(image[part], contrast.values[solid.tissue] * texture[part], place[part], folds[part], edge)
        return image

    @staticmethod
    def _waves(place: np.ndarray, directions: np.ndarray, phases: np.ndarray, length: float) -> np.ndarray:
        """The sum of waves of about `length` mm, of standard deviation 1."""
        turns = (directions * (2 * np.pi / length / np.sqrt(3))).astype(np.float32)
        waves = sum(np.sin(place @ turn + np.float32(phase)) for turn, phase in zip(turns, phases, strict=True))
        return waves * np.float32(np.sqrt(2 / len(phases)))


@dataclass(frozen=True)
class Contrast:
    """What a pulse sequence makes of an anatomy.

    Attributes:
        values: grey value by tissue.
        texture: relative strength of the texture within tissues; negative where it is inverted.
        shading: relative strength of the coils' shading, which stays with the scanner when the patient moves.
        waves: direction and phase of the shading.
    """

    values: Mapping[str, float]
    texture: float
    shading: float
    waves: np.ndarray

    @classmethod
    def of(cls, tissues: list[str], shading: float, coils: np.ndarray, rng: np.random.Generator) -> Contrast:
        """A random one: tissues in a random order from dark to bright; bone and air are black."""
        levels = rng.permutation(len(tissues)) + rng.uniform(-0.3, 0.3, len(tissues))
        values = {tissue: 50 + 200 * float(level) / len(tissues) for tissue, level in zip(tissues, levels, strict=True)}
        values |= {"bone": float(rng.uniform(5, 30)), "air": 0.0}
        texture = float(rng.uniform(0.02, 0.08) * rng.choice((-1, 1)))
        return cls(values, texture, shading, coils + rng.normal(0, 0.3, coils.shape))

    def shade(self, position: np.ndarray) -> np.ndarray:
        """The coils' gain at positions of the scanner."""
        shading = np.sin(position @ self.waves[:, :3].T / 60 + self.waves[:, 3]).mean(axis=-1)
        return 1 + self.shading * shading


def scan(
    anatomy: Anatomy, contrast: Contrast, grid: Grid, moved: np.ndarray, thickness: float, noise: float, seed: int
) -> Volume:
    """A magnitude image of the anatomy on `grid`, whose header is off by `moved` (4 × 4, RAS to RAS).

    Args:
        thickness: of the slices in mm.
        noise: standard deviation of each channel, as a share of the 95 % quantile of the image.
    """
    steps = max(1, round(thickness / max(min(grid.spacing), 1.0)))
    slices = np.eye(3)[grid.slice_axis or 0]
    edge = 0.5 * min(grid.spacing)
    array = np.zeros(grid.shape, np.float32)
    for offset in ((np.arange(steps) + 0.5) / steps - 0.5) * thickness / max(grid.spacing):
        array += anatomy.paint(grid.remapped(grid.shape, np.ones(3), offset * slices), contrast, edge) / steps
    array *= contrast.shade(positions(grid) @ moved[:3, :3].T + moved[:3, 3])
    if noise > 0:
        deviation = noise * np.quantile(array, 0.95)
        channels = np.random.default_rng(seed).normal(0, deviation, (2, *array.shape))
        array = np.hypot(array + channels[0], channels[1])
    return Volume(array.astype(np.float32), moved @ grid.affine)


def positions(grid: Grid) -> np.ndarray:
    """RAS mm (k, j, i, 3) of every sample."""
    return grid.positions(np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1))


_box = functools.partial(Solid, box=True)


def _near(rng: np.random.Generator, values: Triple, share: float = 0.12) -> Triple:
    """Half axes that vary by ± `share`."""
    return tuple(float(v * f) for v, f in zip(values, rng.uniform(1 - share, 1 + share, 3), strict=True))


def _around(rng: np.random.Generator, center: Triple, by: float = 2.0) -> Triple:
    """A place within ± `by` mm."""
    return tuple(float(c + d) for c, d in zip(center, rng.uniform(-by, by, 3), strict=True))


def _tilted(rng: np.random.Generator, by: float = 0.15) -> Triple:
    return tuple(float(angle) for angle in rng.uniform(-by, by, 3))


def _head(rng: np.random.Generator) -> list[Solid]:
    brain = [
        Solid("fluid", (0, 0, 0), (65, 84, 80), folds=2),
        Solid("grey", (0, 0, 0), (63, 82, 78), folds=rng.uniform(6, 12)),
        Solid("white", (0, 0, 0), (59, 78, 74), folds=rng.uniform(12, 20)),
    ]
    shell = [
        Solid("fat", (0, 0, 0), (75, 95, 91), folds=1.5),
        Solid("bone", (0.8, 2, 0), (69, 88, 85), folds=2.5),
    ]
    face = [
        *(Solid("fluid", _around(rng, (s * 32, 82, -28)), _near(rng, (11, 12, 11))) for s in (1, -1)),
        _box("air", _around(rng, (0, 78, -55)), _near(rng, (12, 18, 20))),
        _box("muscle", _around(rng, (0, -60, -75)), _near(rng, (50, 25, 25))),
    ]
    inside = [
        Solid(tissue, _around(rng, (s * x, y, z)), _near(rng, axes), angles=_tilted(rng, 0.3))
        for tissue, (x, y, z), axes in (
            ("deep", (25, 4, 0), (6, 17, 10)),
            ("deep", (11, -11, 2), (7, 12, 9)),
            ("fluid", (10, 6, 12), (5.5, 27, 8)),
            ("cerebellum", (20, -50, -45), (22, 18, 16)),
        )
        for s in (1, -1)
    ]
    spots = [  # what makes the depth of a real brain uneven: nuclei, vessels, deep sulci
        Solid(
            str(rng.choice(("grey", "fluid", "deep", "vessel"))),
            _around(rng, (0, 0, 0), 45),
            tuple(rng.uniform(2, 10, 3)),
            _tilted(rng, 1.5),
        )
        for _ in range(40)
    ]
    lesions = [
        Solid("lesion", _around(rng, (rng.choice((-22, 22)), 0, 20), 22), _near(rng, (4, 4, 4), 0.5)) for _ in range(8)
    ]
    stem = Solid("white", _around(rng, (0, -20, -50)), _near(rng, (13, 13, 30)))
    stripped = rng.random() < 0.3
    return [*([] if stripped else shell), *brain, stem, *spots, *inside, *lesions, *([] if stripped else face)]


def _cord(rng: np.random.Generator) -> list[Solid]:
    """A neck: vertebrae of irregular heights in muscle and fat, the canal with the cord behind them."""
    solids = [
        _box("fat", (0, -8, 0), (62, 62, 150)),
        _box("muscle", (0, -8, 0), (55, 56, 150)),
        Solid("air", _around(rng, (0, 34, 10), 3), _near(rng, (9, 7, 90)), angles=_tilted(rng, 0.05)),
        *(Solid("vessel", _around(rng, (s * 24, 16, 0), 3), (5, 5, 150), angles=_tilted(rng, 0.06)) for s in (1, -1)),
        *(
            Solid("fat", _around(rng, (s * 25, -30, z), 6), _near(rng, (11, 4, 30)), angles=_tilted(rng, 0.4))
            for s in (1, -1)
            for z in (-60, 0, 60)
        ),
    ]
    period = rng.uniform(17, 24)
    z = -110.0
    while z < 110:
        height = period * rng.uniform(0.92, 1.08)
        width = 12 + 0.03 * z + rng.uniform(-1, 1)
        solids += [
            _box("bone", (0, 8, z), (width + 1, 9, height * 0.43), _tilted(rng, 0.05)),
            _box("marrow", (0, 8, z), (width, 8, height * 0.39), _tilted(rng, 0.05)),
            _box("disc", (0, 8, z + height / 2), (width, 8, height * 0.12)),
            _box("marrow", _around(rng, (0, -24, z - 5)), _near(rng, (4, 12, 5)), (rng.uniform(0.2, 0.6), 0, 0)),
            *(_box("bone", _around(rng, (s * 16, -6, z)), _near(rng, (5, 6, 7)), _tilted(rng)) for s in (1, -1)),
        ]
        z += height
    return [
        *solids,
        Solid("fluid", (0, -7, 0), (9, 7, 300)),
        Solid("cord", _around(rng, (0, -7, 0), 0.7), (6.5, 4.2, 300)),
        Solid("grey", _around(rng, (0, -7, 0), 0.3), (3.2, 1.6, 300)),
        *(
            Solid("lesion", _around(rng, (0, -7, rng.uniform(-60, 60)), 2), _near(rng, (2, 2, 6), 0.4))
            for _ in range(3)
        ),
    ]


def _knee(rng: np.random.Generator) -> list[Solid]:
    """Femur with two condyles, tibia, fibula and patella with cartilage, menisci, ligaments, muscle and fat."""
    side = rng.choice((-1, 1))
    condyles = [(_around(rng, (s * 21, -6, 18), 1.5), _near(rng, (17, 26, 21), 0.06)) for s in (1, -1)]

    def within(axes: Triple, by: float) -> Triple:
        return tuple(a - by for a in axes)

    return [
        _box("fat", (0, 0, 0), _near(rng, (62, 66, 160))),
        _box("muscle", (0, -22, 0), _near(rng, (52, 38, 150)), _tilted(rng)),
        Solid("fat", _around(rng, (0, -34, 5)), _near(rng, (14, 18, 60))),
        Solid("vessel", _around(rng, (3, -38, 0), 3), (5, 5, 150), angles=_tilted(rng)),
        _box("muscle", _around(rng, (0, 38, 75)), _near(rng, (32, 13, 45)), _tilted(rng)),
        *(Solid("cartilage", c, a) for c, a in condyles),
        *(Solid("bone", c, within(a, 3)) for c, a in condyles),
        _box("bone", _around(rng, (0, 2, 85)), (17, 16, 62), _tilted(rng, 0.08)),
        _box("marrow", _around(rng, (0, 2, 85), 0.5), (13, 12, 62), _tilted(rng, 0.02)),
        *(Solid("marrow", c, within(a, 5)) for c, a in condyles),
        _box("cartilage", (0, -4, -8), (36, 23, 5)),
        _box("bone", (0, -4, -22), (38, 25, 16), _tilted(rng, 0.05)),
        _box("bone", _around(rng, (0, 0, -85)), (17, 17, 62), _tilted(rng, 0.08)),
        _box("marrow", (0, -4, -23), (36, 23, 13)),
        _box("marrow", _around(rng, (0, 0, -85), 0.5), (13, 13, 60)),
        _box("marrow", _around(rng, (side * 38, -18, -50)), (7, 7, 36), _tilted(rng, 0.08)),
        *(Solid("meniscus", (s * 26, -4, -3), (10, 18, 3), (0, s * 0.2, 0)) for s in (1, -1)),
        Solid("ligament", (0, -4, 5), (4, 5, 24), (-0.7, 0, 0.1)),
        Solid("ligament", (0, -12, 3), (5, 5, 22), (0.6, 0, 0)),
        _box("cartilage", _around(rng, (0, 35, 25), 1), (20, 8, 21), (0.1, 0, 0)),
        _box("marrow", _around(rng, (0, 38, 25), 1), (19, 8, 20), (0.1, 0, 0)),
        _box("ligament", _around(rng, (0, 42, -15)), (13, 3, 28), _tilted(rng, 0.1)),
        Solid("fluid", _around(rng, (0, 28, 48)), _near(rng, (20, 4, 20)), _tilted(rng)),
    ]


_BUILDERS = {"head": _head, "cord": _cord, "knee": _knee}
