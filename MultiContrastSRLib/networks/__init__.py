"""The published networks as plain `nn.Module`s: no files, no devices, no training.

`specs` names every configuration and needs no torch; `specs.build` makes the module. `positions` says where output
pixels lie in the input images, `layers` holds the parts that several networks share, and each network is one file.
"""
