"""The path from scans to a result: align, prepare, enforce data consistency, render; with provenance.

`run` holds the verbs, `prepared_run` what they prepare, `sliced` an image whose slices are computed on demand, `result`
and `report` what is returned, `output` the grid that is rendered and `checks` what is checked before any work.
"""

from __future__ import annotations

from .output import output_grid
from .prepared_run import PreparedRun
from .run import prepare, super_resolve

__all__ = ["PreparedRun", "output_grid", "prepare", "super_resolve"]
