"""What a network makes of a batch."""

from __future__ import annotations

from torch import Tensor, nn

from ..networks.dual_arbnet import DualArbNet
from ..networks.minet import MINet
from ..networks.swift import Swift
from .examples import Batch


def predict(net: nn.Module, batch: Batch, mirror: bool = False) -> tuple[Tensor, Tensor | None]:
    """(image (B, 1, H, W), the network's reconstruction of the reference or None).

    Args:
        mirror: whether the reconstruction is wanted; networks without one, and batches without a reference, give None.
    """
    if isinstance(net, (DualArbNet, Swift)):
        return net(batch.target, batch.reference, batch.positions, base=batch.base), None
    encoded = None if batch.reference is None else net.encode_reference(batch.reference)
    mirrored = net.reconstruct_reference(encoded) if mirror and encoded is not None else None
    where = () if isinstance(net, MINet) else (batch.positions,)
    return net.decode(net.encode_target(batch.target), encoded, *where, base=batch.base), mirrored
