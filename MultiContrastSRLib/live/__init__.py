"""Live zoom without Slicer: which pixels a slice view shows, and a thread that renders them while the user moves on.

`view` turns a slice's geometry into a grid, `sliced` is an image whose slices are computed when somebody looks,
`renderer` renders views of one pair of scans, and `engine.Engine` does that on its own thread: the latest request wins,
coarse before fine, neighbours when idle.
"""
