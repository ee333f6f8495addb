"""Sample scans that are downloaded once, and a head phantom."""
