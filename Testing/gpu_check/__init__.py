"""A check of a machine with a GPU, which needs nothing but Python, torch, numpy and scipy: `make gpu-check`.

`pack` makes the data (on any machine with the library's packages), `check` the measurements, `tables` the tables of the
documentation from the file that `check` writes.
"""
