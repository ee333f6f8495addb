"""Public sample scans, downloaded once, and a head phantom."""
