"""Dual-ArbNet (Zhang et al., MICCAI 2023): its configuration, without torch, and its network."""
