"""A coordinate network fitted to one patient's scans: no training data, any contrasts and views (McGinnis et al. 2023).

- `networks`: from positions to the intensities of all contrasts;
- `samples`: the acquired samples of a scan with their slice profiles;
- `fitting`, `fit_loop`: the fit; `callbacks`, `limits`, `plateau`: what reports on it and what ends it;
- `model`: the fitted network with its coordinates and units, and its file format;
- `presets`: settings by name; `curve_plot`: the training curve as a figure.
"""
