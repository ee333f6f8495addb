"""Reconstruction from one patient's scans alone: no training data, any contrasts and views.

`observation` says what a scan tells about an image on a common lattice, `noise` how far to trust it, `total_variation`
finds the images that explain all scans.
"""
