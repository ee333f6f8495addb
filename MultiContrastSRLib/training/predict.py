"""The output of a network for a batch."""

from __future__ import annotations

from torch import Tensor

from ..networks.network import Network
from .data.batch import Batch


def predict(net: Network, batch: Batch, reconstruct_reference: bool = False) -> tuple[Tensor, Tensor | None]:
    """The image (B, 1, H, W), and the network's reconstruction of the reference or None.

    Args:
        reconstruct_reference: whether the reconstruction is needed. It is None for networks that have none and for
            batches without a reference.
    """
    images = batch.target, batch.reference, batch.positions
    if reconstruct_reference:
        return net.forward_with_reference(*images, base=batch.base)
    return net(*images, base=batch.base), None
