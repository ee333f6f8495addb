"""The configurations by name: the published sizes, the light ones for laptops, and those in files. Needs no torch.

>>> spec = published("dual-arbnet", in_channels=2)
>>> spec.blocks, spec.layers, from_dict(spec.as_dict()) == spec
(5, 10, True)
>>> light("minet", scale=4).fixed_scale
4
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING

from ..core.errors import InputError, UnknownNameError
from .dinet.spec import DINetSpec
from .dual_arbnet.spec import DualArbNetSpec
from .minet.spec import MINetSpec
from .spec import Spec
from .swift.spec import SwiftSpec

if TYPE_CHECKING:
    from .network import Network

SPECS: dict[str, type[Spec]] = {cls.network: cls for cls in (DualArbNetSpec, DINetSpec, MINetSpec, SwiftSpec)}


def published(network: str, **changes: object) -> Spec:
    """The authors' configuration of `network`, with `changes`. Raises `UnknownNameError`, `InputError`."""
    return _changed(_known(network)(), changes)


def light(network: str, **changes: object) -> Spec:
    """The configuration for laptops, with `changes`. Raises `UnknownNameError`, `InputError`."""
    return _changed(_known(network).light(), changes)


def from_dict(values: Mapping[str, object]) -> Spec:
    """The configuration that `Spec.as_dict` wrote.

    Raises:
        UnknownNameError: no such network.
        InputError: unknown fields or values; missing ones too, since a later default may differ.
    """
    cls = _known(str(values.get("network")))
    given, known = set(values) - {"network"}, {field.name for field in fields(cls)}
    if given != known:
        raise InputError(
            f"Configuration of {cls.network!r} has unknown fields {sorted(given - known)} and lacks "
            f"{sorted(known - given)}; expected exactly {sorted(known)}. Use weights made for this version."
        )
    return cls(**{name: values[name] for name in known})


def build(spec: Spec | Mapping[str, object]) -> Network:
    """The network of `spec` with random initial weights. Needs torch."""
    return (spec if isinstance(spec, Spec) else from_dict(spec)).build()


def _known(network: str) -> type[Spec]:
    if network not in SPECS:
        raise UnknownNameError(f"Unknown network {network!r}; expected one of {', '.join(SPECS)}.")
    return SPECS[network]


def _changed(spec: Spec, changes: Mapping[str, object]) -> Spec:
    known = {field.name for field in fields(spec)}
    if not known.issuperset(changes):
        raise InputError(
            f"Configuration of {spec.network!r} has no fields {sorted(set(changes) - known)}; "
            f"expected some of {', '.join(sorted(known))}."
        )
    return replace(spec, **changes)
