"""Recipes that come with the library, one TOML file each; see `training.recipe_file`."""
