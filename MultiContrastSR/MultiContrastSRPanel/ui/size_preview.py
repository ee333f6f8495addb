"""The line with the size of the result: voxels, spacing, memory."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from ..logic.library import library


def describe_output(target_node: Any, scale: float | None, spacing: float | None) -> str:
    """What a run would make of `target_node`, in i, j, k order as Slicer's Volumes module shows it.

    Raises:
        MultiContrastSRError: the node or the numbers cannot be used.
    """
    grid = library("mrml").grid_from_node(target_node)
    output = library("pipeline").output_grid(grid, scale=scale, spacing=spacing)
    return _("{old} → {new} voxels; spacing {before} → {after} mm; {size}").format(
        old=_times(grid.shape),
        new=_times(output.shape),
        before=_times(grid.spacing),
        after=_times(output.spacing),
        size=_memory(4 * output.size),
    )


def _times(values: tuple[float, ...]) -> str:
    return " × ".join(f"{value:.4g}" if isinstance(value, float) else str(value) for value in reversed(values))


def _memory(size: int) -> str:
    return f"{size / 2**30:.1f} GB" if size >= 2**30 else f"{max(1, round(size / 2**20))} MB"
