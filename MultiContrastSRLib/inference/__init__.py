"""Trained networks over volumes: planes and passes, slices in batches, base images, reference check, safety limit."""
