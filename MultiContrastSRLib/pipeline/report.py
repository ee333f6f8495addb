"""What was done and how well it holds: the provenance that travels with every result."""

from __future__ import annotations

import json
from dataclasses import dataclass, field


@dataclass
class Report:
    """Provenance of one result; `as_dict` is what the JSON file beside a saved volume holds.

    Attributes:
        method, version: method name; version of this library.
        target, reference: names of the inputs (reference None when none was given).
        scale: effective factor per axis (k, j, i).
        spacing: mm per axis (k, j, i) of the result; `shape` its samples.
        device: "cpu" or "cuda:N".
        options: the method's options, defaults included.
        times: seconds per stage: load, register, prepare, consistency, render.
        consistency: see `consistency.ConsistencyReport`.
        alignment: see `alignment.Alignment`; empty without a reference.
        resolution: effective resolution in mm per axis of the target: "target", "reference" (along those axes)
            and "result" (at best: detail cannot be finer than its source).
        warnings: sentences the user should read. notes: sentences that explain choices.
        weights: SHA-256 of the weights that were used, None for methods without.
    """

    method: str
    version: str
    target: str
    reference: str | None = None
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    spacing: tuple[float, float, float] = (0.0, 0.0, 0.0)
    shape: tuple[int, int, int] = (0, 0, 0)
    device: str = "cpu"
    options: dict[str, object] = field(default_factory=dict)
    times: dict[str, float] = field(default_factory=dict)
    consistency: dict[str, object] = field(default_factory=dict)
    alignment: dict[str, object] = field(default_factory=dict)
    resolution: dict[str, tuple[float, ...]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    weights: str | None = None

    def as_dict(self) -> dict[str, object]:
        """JSON-able, with the research-use statement."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        plain["statement"] = "Research use only; not for diagnosis. Super-resolved, not acquired."
        return json.loads(json.dumps(plain))

    def summary(self) -> str:
        """One line for people: what was done, how it agrees with the data, how long it took."""
        parts = [f"{self.method}, {format_scale(self.scale)}"]
        parts.append(" × ".join(f"{s:.3g}" for s in self.spacing) + " mm (k × j × i)")
        if self.reference is not None:
            used = self.alignment.get("used", True)
            moved = self.alignment.get("displacement_mm", 0.0)
            how = f", registered by {moved:.1f} mm" if self.alignment.get("registered") else ""
            parts.append(f"reference {self.reference}{how}" if used else f"reference {self.reference} not used")
        after = self.consistency.get("residual_after")
        if after is not None:
            parts.append(f"residual {100 * float(after):.2f} %" if float(after) >= 1e-4 else "residual below 0.01 %")
        parts.append(f"{sum(self.times.values()):.1f} s on {self.device}")
        return "; ".join(parts)


def format_scale(scale: tuple[float, float, float]) -> str:
    """Scale as people say it: "2x", or "3x2x2" (slices × rows × columns) where the axes differ.

    >>> format_scale((1.0, 2.0, 2.0)), format_scale((3.0, 2.004, 2.0)), format_scale((4.0, 1.0, 1.0))
    ('2x', '3x2x2', '4x1x1')
    """
    texts = [f"{s:.2f}".rstrip("0").rstrip(".") for s in scale]
    if texts[1] == texts[2] and texts[0] in ("1", texts[1]):
        return f"{texts[1]}x"
    return "x".join(texts)
