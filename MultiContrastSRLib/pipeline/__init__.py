"""The whole path: align, prepare, data consistency, render, with provenance."""

from __future__ import annotations

from .checks import output_grid
from .run import PreparedRun, prepare, super_resolve

__all__ = ["PreparedRun", "output_grid", "prepare", "super_resolve"]
