"""The parts of the MultiContrastSR panel, one concept a file.

At file scope they import the standard library, numpy, slicer, vtk, qt and ctk only. `MultiContrastSRLib` and torch
arrive with their first use (`library.py`, `dependencies.py`).
"""
