"""Bringing the reference to where the target lies: what is moved and why, rigid registration, resampling."""
