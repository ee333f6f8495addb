"""Trained networks over volumes.

`steps` decides which axes are refined together and in which planes; `prepared_step` does it: base images, auxiliary
images, the reference check, the network over the slices (`slice_network`) and the limit on its correction.
`slice_encoder` offers single slices of it to live zoom.
"""
