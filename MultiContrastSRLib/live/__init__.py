"""Live zoom without Slicer: which pixels a slice view shows, and threads that render them while the user moves on.

`view` turns a slice's geometry into a grid, `renderer` renders views of one pair of scans, `request` is what is
requested and returned, `schedule` orders the steps (sketch, coarse, final, preparation, neighbours), and
`engine.Engine` does them on its threads: the latest request of a view replaces the one before.
"""
