"""The version of library and extension; everything else reads it here."""

__version__ = "0.1.0"
