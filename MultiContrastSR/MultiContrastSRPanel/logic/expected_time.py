"""How long a run will take, before it starts: from its size and the speeds measured on this computer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .automatic import resolve_method
from .dependencies import are_loaded
from .library import library
from .speed import Speeds

# Seconds a million samples (of the working lattice; of the result for "render") on the computer of docs/performance.md,
# with all of a method's options at their defaults. A method that is not listed is estimated after its first run.
_TYPICAL = {
    "guided": 0.5,
    "swift": 2.6,
    "dual-arbnet": 5.2,
    "dinet": 6.0,
    "minet": 6.8,
    "joint-tv": 2.0,
    "joint-nonlocal": 5.0,
    "subject-inr": 15.0,
}
_TYPICAL_STAGES = {"register": 0.7, "consistency": 0.03, "render": 0.03}  # the first a million voxels of both scans
_REGISTER_LEAST_S = 1.0
# Power of the size: a registration looks at a part of the voxels, and most of what is around the stages is overhead.
_GROWTH = {"register": 0.5, "load": 0.5}
_AROUND_S = 0.2  # check and measure the scans, store the result, until this computer's own time is known
_IMPORT_S = 2.0  # the first import of a method's packages (PyTorch)
_FIRST = " first"  # ends the name of a speed: the first run of a trained method in a session also starts its network
_REPEATED = 0.2  # share of the expected seconds below which a method has shown its earlier result again
_MILLION = 1e6
STAGES = ("load", "register", "prepare", "consistency", "render")
_finished: set[str] = set()  # methods that have finished a run in this session


@dataclass(frozen=True)
class RunSize:
    """What the time of a run depends on.

    Attributes:
        method: name in the library.
        typical_known: whether the typical speed of the method is known.
        accelerated: whether a GPU or the like will be used, for which no typical speeds are known.
        stages: for each stage that has a speed: (name of the speed, size of the work in millions, typical seconds).
        loading: the same for all that comes before and between the stages, the import of packages included.
        first: whether the method was not run in this session yet.
        keeps_results: whether a second run of the same scans shows the result of the first.
        limit: seconds after which the method's work ends by itself; infinite without such an option.
        region: whether only a part of the scan is made.
    """

    method: str
    typical_known: bool
    accelerated: bool
    stages: Mapping[str, tuple[str, float, float]]
    loading: tuple[str, float, float]
    first: bool
    keeps_results: bool
    limit: float
    region: bool

    @classmethod
    def of(cls, target: Any, reference: Any, settings: Mapping[str, Any]) -> RunSize:
        """The size of a run.

        Args:
            target, reference: the library's grids; the reference may be None.
            settings: keywords of `MultiContrastSRLib.super_resolve`; the method may be *Automatic*.

        Raises:
            MultiContrastSRError: the settings cannot be used.
        """
        settings = resolve_method(dict(settings))
        method = library("methods").get(settings["method"])
        given = {option.name: settings[option.name] for option in method.options if option.name in settings}
        options = method.check_options(given)
        region = settings.get("region")
        size = {"scale": settings.get("scale"), "spacing": settings.get("spacing")}
        grid = library("pipeline").output_grid(target, **size)
        part = library("pipeline").output_grid(target, **size, region=region)
        if method.reference == "none":
            reference = None
        lattice = library("pipeline.checks").working_lattice(method, target, reference, grid)
        samples = float(np.prod(lattice, dtype=float)) / _MILLION
        finer = [n > m for n, m in zip(lattice, target.shape, strict=True)]
        refined = sum(finer)
        computed = samples * (_share_of_slices(target, grid, part, finer) if method.group == "trained" else 1.0)
        device = settings.get("device", "auto")
        kind = f"{method.name} {json.dumps(options, sort_keys=True)} {device} {refined} {reference is not None}"
        typical = _TYPICAL.get(method.name, 0.0)
        if "test_time_augmentation" in options:
            typical *= (1 + float(options["test_time_augmentation"])) / 9
        stages = {
            "prepare": (f"prepare {kind}", computed, typical * computed),
            "render": (f"render {refined}", part.size / _MILLION, _TYPICAL_STAGES["render"] * part.size / _MILLION),
        }
        if settings.get("data_consistency", True):
            stages["consistency"] = (f"consistency {refined}", samples, _TYPICAL_STAGES["consistency"] * samples)
        register = settings.get("register", "auto")
        if reference is not None and register not in ("off", False):
            both = (target.size + reference.size) / _MILLION
            stages["register"] = (f"register {register}", both, _REGISTER_LEAST_S + _TYPICAL_STAGES["register"] * both)
        scans = (target.size + (0 if reference is None else reference.size)) / _MILLION
        missing = [] if are_loaded(method.requires) else method.requires
        loading = " ".join(("load", *missing)), scans, _IMPORT_S if missing else 0.0
        first = bool(method.requires) and method.name not in _finished
        limit = float(options.get("max_seconds", 0.0)) or np.inf
        known = method.name in _TYPICAL or method.reference == "none"  # interpolation takes no time to prepare
        accelerated = _accelerated(method, device)
        keeps = method.keeps_results
        return cls(method.name, known, accelerated, stages, loading, first, keeps, limit, region is not None)

    def expected(self) -> dict[str, float]:
        """Seconds of each stage; empty while nothing is known of the method's speed."""
        speeds = Speeds()
        method = next(filter(speeds.knows, self._prepare_names()), "")
        if not method and (self.accelerated or not self.typical_known):
            return {}
        stages = {**self.stages, "prepare": (method or self.stages["prepare"][0], *self.stages["prepare"][1:])}
        seconds = {name: speeds.seconds(*stage, _GROWTH.get(name, 1.0)) for name, stage in stages.items()}
        seconds["prepare"] = min(seconds["prepare"], self.limit)
        around = 0.0 if speeds.knows(self.loading[0]) else _AROUND_S
        return {"load": around + speeds.seconds(*self.loading, _GROWTH["load"]), **seconds}

    def learn(self, report: Any, seconds: float | None = None) -> None:
        """Keep the speeds of a finished run.

        Args:
            report: the library's `Report` of it.
            seconds: what the run took in all, the import of packages included; None where it was not measured.
        """
        if report.method == self.method:
            _finished.add(self.method)
        if self.region or report.method != self.method:
            return  # slices are computed while they are rendered
        speeds = Speeds()
        expected = self.expected().get("prepare", 0.0)
        for name, (stage, size, typical) in self.stages.items():
            if name not in report.times:
                continue
            took = report.times[name]
            if name == "prepare":
                if report.fallback or (self.keeps_results and took < _REPEATED * expected):
                    continue  # the method found nothing to do, or had done it before
                stage = self._prepare_names()[0]
            comparable = name == "prepare" and report.device == "cpu" and not self.first
            speeds.record(stage, size, took, typical if comparable else 0.0)
        if seconds is not None:
            rest = seconds - sum(report.times.get(name, 0.0) for name in self.stages)
            speeds.record(*self.loading[:2], max(rest, 0.0), 0.0)

    def _prepare_names(self) -> list[str]:
        """The names of the method's speed, in the order in which they say something about this run."""
        names = [self.stages["prepare"][0], self.stages["prepare"][0] + _FIRST]
        return names[::-1] if self.first else names


def _accelerated(method: Any, device: str) -> bool:
    """Whether a run on `device` ("auto" included) will use something else than the CPU, as far as that is known."""
    if device != "auto":
        return device != "cpu"
    devices = library("core.devices")
    known = are_loaded(method.requires)  # else GPUs would be listed by importing PyTorch
    return known and devices.preferred_device(devices.list_devices(method.devices)).name != "cpu"


def _share_of_slices(target: Any, grid: Any, part: Any, finer: list[bool]) -> float:
    """Which share of the slices of a scan, or of planes in two directions, a trained method makes a part from.

    `finer`: along which axes (k, j, i) it refines.
    """
    shares = [mine / whole for mine, whole in zip(part.shape, grid.shape, strict=True)]
    kept = [axis for axis in range(3) if not finer[axis] and grid.shape[axis] == target.shape[axis]]
    if len(kept) == 2 and sum(finer) == 1:  # unless data consistency weighs noise, which takes all planes
        return sum(shares[axis] for axis in kept) / 2
    return shares[target.slice_axis] if sum(finer) == 2 and target.slice_axis is not None else 1.0


def format_seconds(seconds: float) -> str:
    """No more digits than an estimate has: "3 s", "40 s" or "5 min"."""
    if seconds >= 90:
        return f"{round(seconds / 60)} min"
    return f"{max(1, round(seconds)) if seconds < 10 else round(seconds / 5) * 5} s"
