"""Provenance of a result: what was done to which scans, and how well the result agrees with them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import SupportsFloat

STATEMENT = "Research use only; not for diagnosis. Super-resolved, not acquired."  # by which we know reports of ours


@dataclass(frozen=True)
class Report:
    """Provenance of one result; `as_dict` is the content of the JSON file beside a saved volume.

    A report never changes: mappings are read-only copies, sequences are tuples.

    Attributes:
        method, version: method name; version of this library.
        target, reference: names of the inputs (reference None when none was given).
        scale: effective factor per axis (k, j, i) of the target.
        spacing: mm per axis (k, j, i) of the result; `shape` its samples.
        device: "cpu", "cuda:0" or another of `core.devices.list_devices`.
        options: the method's options, defaults included.
        times: seconds per stage: load, register, prepare, consistency, render.
        consistency: see `acquisition.consistency.ConsistencyReport`.
        alignment: see `registration.align.Alignment`; empty without a reference.
        resolution: effective resolution in mm per axis of the target: "target", "reference" (along those axes)
            and "result" (at best: detail cannot be finer than its source).
        warnings: sentences about possible faults of the result.
        notes: sentences that explain choices.
        reference_used: whether anything of the reference is in the result.
        fallback: name of the simpler method whose result it is, where `method` could add nothing; else None.
        weights: SHA-256 of the weights that were used, None for methods without.

    >>> Report("sinc", "1.0", "T2", scale=(1, 2, 2), spacing=(3, 0.5, 0.5)).summary()
    'sinc, 2x; 3 × 0.5 × 0.5 mm (k × j × i); 0.0 s on cpu'
    """

    method: str
    version: str
    target: str
    reference: str | None = None
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    spacing: tuple[float, float, float] = (0.0, 0.0, 0.0)
    shape: tuple[int, int, int] = (0, 0, 0)
    device: str = "cpu"
    options: Mapping[str, bool | int | float | str] = field(default_factory=dict)
    times: Mapping[str, float] = field(default_factory=dict)
    consistency: Mapping[str, object] = field(default_factory=dict)
    alignment: Mapping[str, object] = field(default_factory=dict)
    resolution: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    weights: str | None = None
    reference_used: bool = False
    fallback: str | None = None

    def __post_init__(self) -> None:
        for each in fields(self):
            object.__setattr__(self, each.name, _read_only(getattr(self, each.name)))

    def __reduce__(
        self,
    ) -> tuple[type[Report], tuple[object, ...]]:  # read-only mappings can be neither copied nor pickled
        return Report, tuple(_plain(getattr(self, each.name)) for each in fields(self))

    @property
    def made_by(self) -> str:
        """Name of the method that the result is of: `fallback` where there is one, else `method`."""
        return self.fallback or self.method

    def as_dict(self) -> dict[str, object]:
        """JSON-able, with the research-use statement."""
        plain = {each.name: _plain(getattr(self, each.name)) for each in fields(self)}
        plain["statement"] = STATEMENT
        return json.loads(json.dumps(plain))

    def summary(self) -> str:
        """One line: what was done, how it agrees with the data, how long it took."""
        parts = [f"{self.made_by}, {format_scale(self.scale)}"]
        parts.append(" × ".join(f"{s:.3g}" for s in self.spacing) + " mm (k × j × i)")
        if self.reference is not None:
            moved = self.alignment.get("displacement_mm", 0.0)
            how = f", registered by {moved:.1f} mm" if self.alignment.get("registered") else ""
            parts.append(f"reference {self.reference}{how if self.reference_used else ' not used'}")
        after = self.consistency.get("residual_after")
        if isinstance(after, SupportsFloat):
            parts.append(f"residual {100 * float(after):.2f} %" if float(after) >= 1e-4 else "residual below 0.01 %")
        parts.append(f"{sum(self.times.values()):.1f} s on {self.device}")
        return "; ".join(parts)


def _read_only(value: object) -> object:
    if isinstance(value, Mapping):
        return MappingProxyType({key: _read_only(item) for key, item in value.items()})
    return tuple(map(_read_only, value)) if isinstance(value, (list, tuple)) else value


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return tuple(map(_plain, value)) if isinstance(value, tuple) else value


def format_scale(scale: tuple[float, float, float]) -> str:
    """Scale in words: "2x", or "3x2x2" (slices × rows × columns) where the axes differ.

    >>> format_scale((1.0, 2.0, 2.0)), format_scale((3.0, 2.004, 2.0)), format_scale((4.0, 1.0, 1.0))
    ('2x', '3x2x2', '4x1x1')
    """
    texts = [f"{s:.2f}".rstrip("0").rstrip(".") for s in scale]
    if texts[1] == texts[2] and texts[0] in ("1", texts[1]):
        return f"{texts[1]}x"
    return "x".join(texts)
