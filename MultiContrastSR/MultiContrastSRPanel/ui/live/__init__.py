"""The panel's section "Live zoom"."""
