"""Slices as torch tensors: how they are acquired, and the classical images that networks correct, with gradients.

The same numbers as the library's volumes have, to rounding; training and trained methods share them.
"""
