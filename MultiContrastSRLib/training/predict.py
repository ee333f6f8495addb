"""The output of a network for a batch."""

from __future__ import annotations

from torch import Tensor, nn

from ..networks.dual_arbnet import DualArbNet
from ..networks.minet import MINet
from ..networks.swift import Swift
from .data.batch import Batch


def predict(net: nn.Module, batch: Batch, reconstruct_reference: bool = False) -> tuple[Tensor, Tensor | None]:
    """The image (B, 1, H, W), and the network's reconstruction of the reference or None.

    Args:
        reconstruct_reference: whether the reconstruction is needed. It is None for networks that have none and for
            batches without a reference.
    """
    if isinstance(net, (DualArbNet, Swift)):
        return net(batch.target, batch.reference, batch.positions, base=batch.base), None
    features = None if batch.reference is None else net.encode_reference(batch.reference)
    wanted = reconstruct_reference and features is not None
    reconstruction = net.reconstruct_reference(features) if wanted else None
    positions = () if isinstance(net, MINet) else (batch.positions,)
    return net.decode(net.encode_target(batch.target), features, *positions, base=batch.base), reconstruction
