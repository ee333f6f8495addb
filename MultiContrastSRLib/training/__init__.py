"""Training the networks: recipe → data pack → augmentation → loss → checkpoints → weights and card.

`recipe` and `pack` need no torch; everything that computes does. `loop.train` is the one call.
"""
