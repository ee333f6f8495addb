"""Joint reconstruction of several contrasts from one patient's scans alone, in any views, without training data.

- `observation`: one scan as linear measurements of an image on the lattice that all contrasts share;
- `data_term`: the squared disagreement of an image with a scan, in torch;
- `coupling`: the regulariser, a function of the structure tensor over all contrasts;
- `channel`: one contrast to be reconstructed;
- `solver`, `reconstruction`: joint total variation and, after it, rounds of non-local means (`nonlocal_means`);
- `trial`: how much of the detail that it adds a trial on the scans themselves supports;
- `volumes`, `slices`: the same for whole volumes, and for batches of slices that networks are given.
"""
