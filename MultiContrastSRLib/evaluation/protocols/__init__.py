"""Evaluation protocols: which images are degraded, how, which slices are scored, and with what reference."""
