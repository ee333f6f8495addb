"""MINet as a method: ×2 and ×4 within slices, other scales by resampling its image."""

from __future__ import annotations

from .contract import register
from .trained import TrainedMethod

_LARGEST_BY_TWO = 2.0 * 1.02  # above it the ×4 network is taken, as in the comparison of the Dual-ArbNet paper


@register
class MINetMethod(TrainedMethod):
    """See `networks.minet.network.MINet` and `trained`."""

    name = "minet"
    label = "MINet (light)"
    summary = "Trained networks for ×2 and ×4 within slices; other scales resample their image."
    citation = "Feng et al., MICCAI 2021 (Multi-Contrast MRI Super-Resolution via a Multi-Stage Integration Network)"
    dimensions = 2
    fixed_scales = (2.0, 4.0)
    order = 30

    def network_for(self, model, axes, factors, chosen, device):
        """See `TrainedMethod.network_for`."""
        if len(axes) != 2 or any(model.axes[n].kind == "slab" for n in axes):
            return None
        wanted = max(factors[n] for n in axes)
        return self.load(chosen, device, None if chosen["weights"] else 2 if wanted <= _LARGEST_BY_TWO else 4)
