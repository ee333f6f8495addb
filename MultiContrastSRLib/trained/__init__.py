"""Trained networks applied to volumes: which planes, which slices, with or without the reference.

`method.TrainedMethod` is what the registry's networks are made of; below it `plan` (axes and planes), `passes` (one of
them, set up once and made slice by slice), `encoder` (the same slices for live zoom), `base` (the image that a network
corrects), `slices` (a network over a stack of slices) and `gate` (whether the reference helps).
"""
