"""A coordinate network fitted to one patient's scans: no training data, any contrasts and views (McGinnis et al. 2023).

`networks` maps positions to intensities, `samples` says what was acquired where, `fitting` makes the one explain the
other, `model` keeps the outcome with its coordinates and units, `presets` names the settings.
"""
