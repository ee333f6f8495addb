"""Swift as a method: a correction of guided that was made for live views."""

from __future__ import annotations

from dataclasses import replace

from .contract import register
from .trained import GATE, ORIENTATIONS, WEIGHTS, TrainedMethod


@register
class SwiftMethod(TrainedMethod):
    """Ours, not a paper's: guided, corrected by one small network; see `networks.swift.Swift` and `trained`.

    Made for live views. Everything heavy is done once a slice, on a lattice that is anchored to the target; the pixels
    of a view, whatever its zoom and place, are interpolated from there.
    """

    name = "swift"
    label = "Swift"
    summary = "Small trained network that corrects guided, for any scale: the one for live zoom."
    citation = "MultiContrastSR's own, 2026; residual U-Net after Ronneberger et al., MICCAI 2015"
    order = 5
    options = (GATE, replace(ORIENTATIONS, default=1), WEIGHTS)  # quick above all

    def network_for(self, model, axes, factors, chosen, device):
        """See `TrainedMethod.network_for`."""
        return self.load(chosen, device)
