"""The networks as plain `nn.Module`s: no files, no devices, no training.

One package a network (`dual_arbnet`, `dinet`, `minet`, `swift`): its configuration in `spec`, which needs no torch, and
its modules. `registry` lists the configurations by name and builds networks, `network` is the interface that all of
them share. `positions` states where output pixels lie in the input images, `correction` is the network that corrects a
base image, `intensity` the normalisation of intensities, `test_time_augmentation` the flips and transpositions over
which predictions are averaged, and `layers` holds blocks that several networks use.
"""
