"""Volumes and grids in RAS millimetres, interpolation kernels, and reading an image at any position."""
