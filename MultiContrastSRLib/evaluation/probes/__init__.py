"""Probes of failure modes: lost or leaked lesions, and references that are wrong."""
