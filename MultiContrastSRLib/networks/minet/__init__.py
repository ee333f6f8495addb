"""MINet (Feng et al., MICCAI 2021): its configuration, without torch, and its network."""
