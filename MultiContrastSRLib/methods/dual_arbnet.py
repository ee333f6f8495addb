"""Dual-ArbNet as a method: any scale, any reference."""

from __future__ import annotations

from .contract import register
from .trained import TrainedMethod


@register
class DualArbNetMethod(TrainedMethod):
    """See `networks.dual_arbnet.network.DualArbNet` and `trained`."""

    name = "dual-arbnet"
    label = "Dual-ArbNet (light)"
    summary = "Trained network for any scale, with a reference of any resolution or without one."
    citation = "Zhang et al., MICCAI 2023 (Dual Arbitrary Scale Super-Resolution for Multi-Contrast MRI)"
    order = 10

    def network_for(self, model, axes, factors, chosen, device):
        """See `TrainedMethod.network_for`."""
        return self.load(chosen, device)
