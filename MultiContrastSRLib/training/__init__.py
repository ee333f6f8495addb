"""Training of the networks: recipe, data pack, training loop, checkpoints, exported weights with their model card.

`loop.train` trains by a recipe, `export.export` writes the weights. `data/` makes the batches. The modules
`recipe`, `recipe_file` and `data.pack` do not need PyTorch.
"""
