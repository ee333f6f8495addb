"""Volumes and grids in RAS millimetres, interpolation kernels, reading an image at any position, comparing two."""
