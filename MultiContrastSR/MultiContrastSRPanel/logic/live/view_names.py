"""Names of the slice views, in an order that does not change from start to start."""

from __future__ import annotations

import slicer

from ..library import library


def slice_view_names() -> list[str]:
    """All slice views, in the order of their nodes in the scene; none when Slicer runs without its main window.

    The layout manager's own order is that of a hash table.
    """
    layout = slicer.app.layoutManager()
    known = set() if layout is None else set(layout.sliceViewNames())
    in_scene = [node.GetLayoutName() for node in slicer.util.getNodesByClass("vtkMRMLSliceNode")]
    return [name for name in in_scene if name in known]


def check_view_names(names: list[str] | str | None) -> list[str]:
    """`names` of slice views (or one name); None or "all" for all that there are.

    Raises:
        InputError: there is no such view.
    """
    known = slice_view_names()
    if not known:
        raise library("core.errors").InputError(
            "There are no slice views, since Slicer runs without its main window; expected at least one. "
            "Start Slicer with its main window."
        )
    requested = known if names is None or names == "all" else [names] if isinstance(names, str) else list(names)
    for name in requested:
        if name not in known:
            expected = ", ".join(known)
            raise library("core.errors").InputError(f"There is no slice view {name!r}; expected one of {expected}.")
    return requested
