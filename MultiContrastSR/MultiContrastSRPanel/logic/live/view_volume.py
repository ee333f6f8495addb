"""Makes volumes of the scene from what slice views show."""

from __future__ import annotations

import dataclasses
from typing import Any

import slicer

from ..automatic import ensure_packages, load_packages
from ..library import library
from ..sources import sources_of
from .view_names import check_view_names

CACHE_BYTES = 1 << 30


def require_visible(grid: Any, view_name: str, target: Any) -> Any:
    """`grid`, or `InputError` when it is None: nothing of the target is to be seen."""
    if grid is None:
        raise library("core.errors").InputError(
            f"View {view_name!r} shows nothing of {target.GetName()!r}; scroll or zoom until it does."
        )
    return grid


def store_view(array: Any, grid: Any, view_name: str, report: Any, target: Any, reference: Any) -> Any:
    """The pixels of a view as a new volume of the scene, with provenance."""
    factors = tuple(t / s for t, s in zip(target.volume.spacing, library("image.grid").spacing_along(
        grid, target.volume.grid
    ), strict=True))  # fmt: skip
    report = dataclasses.replace(report, scale=factors, spacing=grid.spacing, shape=grid.shape)
    volume = library("image.volume").Volume.on(grid, array, f"{target.volume.name} {report.method} view {view_name}")
    return library("mrml").store_result(slicer.mrmlScene, volume, report.as_dict(), target, reference)


def render_view(
    view_name: str,
    target: Any,
    reference: Any = None,
    *,
    slice_thickness: float | None = None,
    replace_nan: float | None = None,
    **settings: Any,
) -> Any:
    """What view `view_name` shows of `target`, super-resolved at its screen pixels, as a new volume. Waits for it.

    Args:
        target, reference: nodes; the reference may be None.
        slice_thickness, replace_nan: see `sources.sources_of`.
        settings: method (or `AUTOMATIC`), register, data_consistency, device and the method's options.

    Raises:
        MultiContrastSRError: there is no such view, it shows nothing of the target, or it cannot be rendered.
    """
    check_view_names([view_name])
    views = library("live.view")
    target_source, reference_source = sources_of(
        target, reference, slice_thickness=slice_thickness, replace_nan=replace_nan
    )
    node = slicer.app.layoutManager().sliceWidget(view_name).mrmlSliceNode()
    width, height, _depth = node.GetDimensions()
    whole = views.view_grid(slicer.util.arrayFromVTKMatrix(node.GetXYToRAS()), width, height, target_source.volume.grid)
    seen = views.seen_of(target_source.volume.grid, whole)
    grid = require_visible(None if seen.empty else views.part_of(whole, seen), view_name, target)
    ensure_packages(settings)
    renderer = library("live.renderer").ViewRenderer(
        target_source.volume,
        None if reference_source is None else reference_source.volume,
        library("core.cache").Cache(CACHE_BYTES),
        **load_packages(settings),
    )
    renderer.prepare(grid, lambda: False)
    return store_view(renderer.render(grid), grid, view_name, renderer.report_of(grid), target_source, reference_source)
