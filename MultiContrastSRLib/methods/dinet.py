"""DINet as a method: any scale, reference sampled at the query."""

from __future__ import annotations

from .contract import register
from .trained import TrainedMethod


@register
class DINetMethod(TrainedMethod):
    """See `networks.dinet.network.DINet` and `trained`."""

    name = "dinet"
    label = "DINet (light)"
    summary = "Trained network for any scale that searches the reference for matching detail nearby."
    citation = "Wei et al., IEEE Trans. Circuits Syst. Video Technol., 2025 (DINet)"
    order = 20

    def network_for(self, model, axes, factors, chosen, device):
        """See `TrainedMethod.network_for`."""
        return self.load(chosen, device)
