"""The parts of the MultiContrastSR module: `logic` (no widgets) and `ui` (the panel), which imports `logic`.

At file scope they import the standard library, numpy, slicer, vtk, qt and ctk only. `MultiContrastSRLib` and torch
are imported at their first use (`logic/library.py`, `logic/dependencies.py`).
"""
