"""The demonstration (`make demo`): real scans through the real panel, with the truth known.

`cases` finds the scans, `session` runs the panel on them, `__main__` writes volumes, scene, table and pictures.
"""
