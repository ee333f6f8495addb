"""The module's panel: its widgets follow the parameter node and call the logic."""
