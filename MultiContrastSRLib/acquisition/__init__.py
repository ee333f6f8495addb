"""How a scanner samples an image: forward models, measured spectrum, lattices and data consistency."""
