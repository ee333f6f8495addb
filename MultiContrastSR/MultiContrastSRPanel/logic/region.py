"""Regions of interest: the box of a markups node, or what the slice views show."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from .library import library

VIEWS = "views"  # as the value of `region`: what the slice views show
DEFAULT_EDGE_MM = 60.0
_PROBES = 49  # places along each axis of a scan at which the views are asked whether they show it


def resolve_region(region: Any, target: Any) -> Any:
    """`region` as the library's `Region`; None for the whole scan.

    Args:
        region: None, "views", a vtkMRMLMarkupsROINode, or a `Region`.
        target: the scan (a node) that the views show.

    Raises:
        InputError: the node has no box yet, the views show nothing of the scan, or it is something else.
    """
    kind = library("image.region").Region
    if region is None or isinstance(region, kind):
        return region
    if region == VIEWS:
        return region_of_views(library("mrml").grid_from_node(target))
    if getattr(region, "IsA", lambda name: False)("vtkMRMLMarkupsROINode"):
        return region_of_node(region)
    raise library("core.errors").InputError(
        f"Region is {region!r}; expected a markups ROI node, {VIEWS!r} for what the slice views show, or None."
    )


def region_of_node(node: Any) -> Any:
    """The box of a markups ROI in world coordinates.

    Raises:
        InputError: it has no extent yet, or it lies under a transform that is not linear.
    """
    errors = library("core.errors")
    name = node.GetName()
    parent = node.GetParentTransformNode()
    if parent is not None and not parent.IsTransformToWorldLinear():
        raise errors.InputError(f"Region {name!r} is under a non-linear transform; expected a box. Move it out of it.")
    size = np.array(node.GetSize())
    if node.GetNumberOfControlPoints() == 0 or (size <= 0).any():
        raise errors.InputError(f"Region {name!r} has no extent yet; place it in a slice view, or choose another.")
    matrix = slicer.util.arrayFromVTKMatrix(node.GetObjectToWorldMatrix())
    axes = matrix[:3, :3].T
    return library("image.region").Region.of(
        matrix[:3, 3].tolist(), (size * np.linalg.norm(axes, axis=1)).tolist(), axes.tolist()
    )


def region_of_views(grid: Any) -> Any:
    """The box of the scan that all slice views of the layout show, each without an end along its line of sight.

    Raises:
        InputError: the views have nothing of the scan in common, or there are none.
    """
    index = np.stack(np.meshgrid(*[np.linspace(-0.5, n - 0.5, _PROBES) for n in grid.shape], indexing="ij"), axis=-1)
    positions = grid.positions(index)
    nodes = [node for node in slicer.util.getNodesByClass("vtkMRMLSliceNode") if node.IsMappedInLayout()]
    seen = np.full(index.shape[:3], bool(nodes))
    for node in nodes:
        to_view = np.linalg.inv(slicer.util.arrayFromVTKMatrix(node.GetXYToRAS()))
        pixels = positions @ to_view[:2, :3].T + to_view[:2, 3]
        seen &= ((pixels >= -0.5) & (pixels <= np.array(node.GetDimensions()[:2]) - 0.5)).all(axis=-1)
    if not seen.any():
        raise library("core.errors").InputError(
            "The slice views show no common part of the scan; expected views that overlap on it. Fit the views to the "
            "scan, zoom again, or choose another region."
        )
    start, stop = np.zeros(3), np.array(grid.shape, dtype=float)
    for axis, n in enumerate(grid.shape):
        (probes,) = np.nonzero(seen.any(axis=tuple(other for other in range(3) if other != axis)))
        step = n / (_PROBES - 1)
        start[axis], stop[axis] = max(probes[0] - 1, 0) * step, min(probes[-1] + 1, _PROBES - 1) * step
    return library("image.region").Region.of_samples(grid, start, stop)


def place_default_box(node: Any, target: Any) -> None:
    """Give a markups ROI without extent a cube around the middle of the first slice view (else of the target)."""
    views = [view for view in slicer.util.getNodesByClass("vtkMRMLSliceNode") if view.IsMappedInLayout()]
    if views:
        width, height, _depth = views[0].GetDimensions()
        middle = slicer.util.arrayFromVTKMatrix(views[0].GetXYToRAS()) @ ((width - 1) / 2, (height - 1) / 2, 0, 1)
        center = middle[:3].tolist()
    else:
        center = library("mrml").grid_from_node(target).center.tolist()
    node.SetCenterWorld(center)
    node.SetSizeWorld((DEFAULT_EDGE_MM,) * 3)
    node.CreateDefaultDisplayNodes()
