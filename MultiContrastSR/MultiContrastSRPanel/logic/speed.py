"""How fast this computer does each stage of a run, measured on real runs and kept between sessions."""

from __future__ import annotations

import json
import math
import time
from typing import Any

import numpy as np
import slicer

_SETTING = "MultiContrastSR/Speeds"
_POINTS = 6  # runs of different sizes that are kept of a stage
_SAME_SIZE = 1.25  # factor within which two runs count as of one size
_LEAST_S = 0.3  # a shorter stage says more about the overhead than about the speed of larger ones
_NEWEST = 0.5  # weight of the newest run among those of one size
_TYPICAL_PROBE_S = 0.01  # what `_probe` takes on the computer on which the typical speeds were measured


class Speeds:
    """Seconds of stages by the size of their work.

    Between the sizes of two earlier runs the seconds are interpolated (in logarithms), beyond them they grow with a
    power of the size. Stages that were never run take the typical time of the computer on which the methods were
    measured, times how much slower this one is: in the stages that it has run, or else in a short calculation. So do
    stages of which only much smaller, short ones were run, between no growth and the growth with the size.
    """

    def __init__(self) -> None:
        self._settings = slicer.app.userSettings()

    def record(self, stage: str, size: float, seconds: float, typical: float) -> None:
        """Keep what a stage took.

        Args:
            stage: a name for all that its speed depends on.
            size: of the work, in any unit that is the same for the stage.
            seconds: what it took.
            typical: what it takes on the computer of the typical speeds; 0 where that is not known.
        """
        if size <= 0 or seconds <= 0:
            return
        known = self._read()
        points = [tuple(point) for point in known["stages"].get(stage, [])]
        near = [point for point in points if _ratio(point[0], size) < _SAME_SIZE]
        if near:
            points.remove(near[0])
            seconds = math.exp(_NEWEST * math.log(seconds) + (1 - _NEWEST) * math.log(near[0][1]))
        known["stages"][stage] = sorted([*points[-_POINTS + 1 :], (size, seconds)])
        if typical > 0 and seconds >= _LEAST_S:
            before = known["slowness"] or seconds / typical
            known["slowness"] = math.sqrt(before * seconds / typical)
        self._settings.setValue(_SETTING, json.dumps(known))

    def knows(self, stage: str) -> bool:
        """Whether the stage was run on this computer."""
        return bool(self._read()["stages"].get(stage))

    def seconds(self, stage: str, size: float, typical: float, growth: float = 1.0) -> float:
        """What a stage of this size will probably take; see `record`.

        Args:
            growth: the power of the size with which the seconds grow.
        """
        points = sorted(self._read()["stages"].get(stage, []))
        if not points:
            return typical * self._slowness() if typical > 0 else 0.0
        if size <= 0:
            return 0.0
        sizes, times = np.log(np.array(points, dtype=float)).T
        wanted = math.log(size)
        beyond = wanted - float(np.clip(wanted, sizes[0], sizes[-1]))
        nearest = math.exp(float(np.interp(wanted, sizes, times)))
        grown = nearest * math.exp(growth * beyond)
        if beyond > 0 and nearest < _LEAST_S and typical > 0:  # how much of it was overhead is not known
            return float(np.clip(typical * self._slowness(), nearest, grown))
        return grown

    def _slowness(self) -> float:
        """How many times as long as on the computer of the typical speeds a stage takes here."""
        known = self._read()
        if not known["slowness"]:
            known["slowness"] = _probe() / _TYPICAL_PROBE_S
            self._settings.setValue(_SETTING, json.dumps(known))
        return float(known["slowness"])

    def _read(self) -> dict[str, Any]:
        try:
            known = json.loads(self._settings.value(_SETTING) or "{}")
            stages = {str(name): [[float(n), float(s)] for n, s in points] for name, points in known["stages"].items()}
            return {"stages": stages, "slowness": float(known["slowness"])}
        except (ValueError, TypeError, KeyError, AttributeError):  # none yet, or edited by hand
            return {"stages": {}, "slowness": 0.0}


def _ratio(first: float, second: float) -> float:
    return max(first, second) / max(min(first, second), 1e-12)


def _probe() -> float:
    """Seconds of a short calculation of the kind that methods do."""
    images = np.random.default_rng(0).random((4, 256, 256)).astype(np.float32)
    times = []
    for _ in range(4):
        begin = time.perf_counter()
        np.fft.fft2(images)
        images @ images
        times.append(time.perf_counter() - begin)
    return min(times)
