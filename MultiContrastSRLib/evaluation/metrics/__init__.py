"""Image quality metrics and the statistics of their values."""
