"""Weight files: format, model cards, and the registry of the weights that ship."""
