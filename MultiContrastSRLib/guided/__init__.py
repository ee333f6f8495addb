"""Guided super-resolution: local regression of the target's detail on the reference's."""
