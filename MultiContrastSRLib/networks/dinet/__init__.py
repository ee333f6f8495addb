"""DINet (Wei et al., IEEE TCSVT 2025): its configuration, without torch, its network and the parts of it."""
