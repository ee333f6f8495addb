"""Errors, progress and cancellation, devices, memory estimates and caches; imports no other package of the library."""
