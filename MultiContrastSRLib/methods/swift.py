"""Swift as a method: a fast correction of the guided image, for live views."""

from __future__ import annotations

from .contract import register
from .trained import TrainedMethod


@register
class SwiftMethod(TrainedMethod):
    """Ours, not a paper's: guided, corrected by one small network; see `networks.swift.network.Swift` and `trained`.

    Made for live views. The computation is done once a slice, on a lattice that is anchored to the target; the pixels
    of a view are interpolated from there, at any zoom and place.
    """

    name = "swift"
    label = "Swift"
    summary = "Small trained network that corrects guided, for any scale: the one for live zoom."
    citation = "MultiContrastSR's own, 2026; residual network after EDSR, Lim et al., CVPRW 2017"
    order = 5

    def network_for(self, model, axes, factors, chosen, device):
        """See `TrainedMethod.network_for`."""
        return self.load(chosen, device)
