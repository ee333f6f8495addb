"""Training data: data packs made from scans, and batches drawn from them with degradation and augmentation."""
