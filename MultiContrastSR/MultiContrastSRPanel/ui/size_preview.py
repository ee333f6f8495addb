"""The lines about what Apply will do: voxels, spacing and memory of the result, and the time it will take."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from ..logic.expected_time import RunSize, format_seconds
from ..logic.library import library
from ..logic.region import resolve_region


def describe_output(
    target_node: Any, scale: float | None, spacing: float | None, region: Any = None
) -> tuple[str, list[str]]:
    """What a run would make of `target_node`, in i, j, k order as Slicer's Volumes module shows it; and warnings.

    Args:
        region: as `logic.process` takes it.

    Raises:
        MultiContrastSRError: the node, the numbers or the region cannot be used.
    """
    grid = library("mrml").grid_from_node(target_node)
    box = resolve_region(region, target_node)
    output = library("pipeline").output_grid(grid, scale=scale, spacing=spacing, region=box)
    text = _("{old} → {new} voxels; spacing {before} → {after} mm; {size}").format(
        old=in_slicer_order(grid.shape),
        new=in_slicer_order(output.shape),
        before=in_slicer_order(grid.spacing),
        after=in_slicer_order(output.spacing),
        size=_memory(4 * output.size),
    )
    return text, library("pipeline.plausibility").result_warnings(grid, output)


def describe_time(target_node: Any, reference_node: Any, settings: dict[str, Any]) -> str:
    """How long a run will probably take on this computer; empty where that is not known.

    Args:
        settings: as for `logic.process`.

    Raises:
        MultiContrastSRError: nodes or settings cannot be used.
    """
    grid = library("mrml").grid_from_node
    target, reference = grid(target_node), None if reference_node is None else grid(reference_node)
    region = resolve_region(settings.get("region"), target_node)
    seconds = RunSize.of(target, reference, {**settings, "region": region}).expected()
    return _("about {time} on this computer").format(time=format_seconds(sum(seconds.values()))) if seconds else ""


def in_slicer_order(values: tuple[float, ...]) -> str:
    """Values per axis (k, j, i), as Slicer shows them: "i × j × k"."""
    return " × ".join(f"{value:.4g}" if isinstance(value, float) else str(value) for value in reversed(values))


def _memory(size: int) -> str:
    return f"{size / 2**30:.1f} GB" if size >= 2**30 else f"{max(1, round(size / 2**20))} MB"
