"""Configurations of the networks: small frozen dataclasses that JSON can hold, so that weights carry their own.

`published(name)` is the authors' size, `light(name)` the one made for laptops; keywords change single fields.

>>> spec = published("dual-arbnet", in_channels=2)
>>> spec.blocks, spec.layers, from_dict(spec.as_dict()) == spec
(5, 10, True)
>>> light("minet", scale=4).scale
4
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, ClassVar

from ..core.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from torch import nn

BASES = ("none", "sinc", "guided", "guided+joint-tv")


@dataclass(frozen=True)
class Spec:
    """What every configuration has.

    Attributes:
        in_channels: channels of an image: 1 (magnitude) or 2 (real and imaginary part).
        base: "none", or the image that the network corrects: "sinc" (zero-filled) or "guided" (both with data
            consistency). With a base the network also sees it, and returns base + correction. "guided+joint-tv"
            corrects guided and sees the image by joint total variation beside it.
        correction_width, correction_blocks: of `correction.Correction`, which only networks with a base have.
    """

    network: ClassVar[str]
    choices: ClassVar[dict[str, tuple]] = {}

    in_channels: int = 1
    base: str = "none"
    correction_width: int = 32
    correction_blocks: int = 2

    def __post_init__(self) -> None:
        allowed = {"base": BASES, **self.choices}
        for field in fields(self):
            value, kind = getattr(self, field.name), type(field.default)
            if field.name in allowed:
                good, expected = value in allowed[field.name], "one of " + ", ".join(map(repr, allowed[field.name]))
            elif kind is bool:
                good, expected = isinstance(value, bool), "true or false"
            elif kind is int:
                good, expected = type(value) is int and value >= 1, "a whole number of at least 1"
            else:
                good, expected = type(value) in (int, float) and value > 0, "a number above 0"
            if not good:
                raise InputError(
                    f"Field {field.name!r} of the {self.network!r} configuration is {value!r}; expected {expected}. "
                    "Correct the configuration, or take a published or light one."
                )

    @property
    def beside(self) -> bool:
        """Whether another image is seen beside the base."""
        return "+" in self.base

    def as_dict(self) -> dict[str, object]:
        """All fields and the network's name, ready for JSON."""
        return {"network": self.network, **asdict(self)}


@dataclass(frozen=True)
class DualArbNetSpec(Spec):
    """Dual-ArbNet, see `dual_arbnet.DualArbNet`.

    Attributes:
        features: channels G of the feature maps.
        blocks, layers: dense blocks D of the shared RDN, and layers C in each.
        fusion_layers, fusion_convs: fusion layers of the decoder, and 3×3 convolutions in each.
        alignment: resampling of features to the output: "nearest" (paper) or "bilinear" (code).
        modulation: "code": q ← K·sin(Q q), five query layers; "paper": sin((W q + b) ⊙ K), Eq. 3, six.
        skip: per-branch skip: "code" (three 1×1 layers, each followed by a ReLU), "linear" (the same without the
            last ReLU, which bars negative values), or "paper" (one layer, then sine).
        detach_reference: no gradients into the encoder through the reference (code).
        with_scale, with_coordinates: the two parts of the query that the paper's ablation removes.
    """

    network: ClassVar[str] = "dual-arbnet"
    choices: ClassVar[dict[str, tuple]] = {
        "alignment": ("nearest", "bilinear"),
        "modulation": ("code", "paper"),
        "skip": ("code", "linear", "paper"),
    }

    features: int = 64
    blocks: int = 5
    layers: int = 10
    fusion_layers: int = 5
    fusion_convs: int = 4
    alignment: str = "nearest"
    modulation: str = "code"
    skip: str = "code"
    detach_reference: bool = False
    with_scale: bool = True
    with_coordinates: bool = True


@dataclass(frozen=True)
class DINetSpec(Spec):
    """DINet, see `dinet.DINet`.

    Attributes:
        features: channels G of the feature maps.
        target_blocks, target_layers: dense blocks and layers of the target's RDN.
        reference_blocks: RCABs of the reference's encoder.
        kernels, temperature: of the dynamic convolution; one kernel makes it static (the paper's ablation).
        dimension: channels D of the implicit attention, even.
        attention: False reads the maps without their waves (the paper's ablation).
        reduced, rank: channels and rank M of the modulation.
        modulation: False matches the reference's features as they are (the paper's ablation).
        radius: half width in output pixels of the window in which patches are matched. The authors search a whole
            64² tile; the reference lies on the target here, so a window around each pixel does.
        ensemble: what the four corners blend: "features", or "predictions" as the authors' code, four times the work.
        hidden: width of the final MLP.
    """

    network: ClassVar[str] = "dinet"
    choices: ClassVar[dict[str, tuple]] = {"ensemble": ("features", "predictions")}

    features: int = 64
    target_blocks: int = 16
    target_layers: int = 8
    reference_blocks: int = 6
    kernels: int = 4
    temperature: float = 20.0
    dimension: int = 256
    attention: bool = True
    reduced: int = 32
    rank: int = 16
    modulation: bool = True
    radius: int = 4
    ensemble: str = "features"
    hidden: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dimension % 2:
            raise InputError(
                f"Field 'dimension' of the 'dinet' configuration is {self.dimension}; expected an even number: half "
                "of it are cosines, half sines."
            )


@dataclass(frozen=True)
class MINetSpec(Spec):
    """MINet, see `minet.MINet`.

    Attributes:
        features: channels G of the feature maps.
        scale: 2, 3 or 4, one network each.
        stages, blocks: residual groups L, and RCABs in each.
        last_stage: a plain 3×3 convolution as one more stage (code); the paper has the groups only.
        fusion_skip: the target is added to what its fusion with the reference gives (code).
        gamma: integration and attention enter by a learned weight that starts at 0 (code); the paper has none.
        integration, attention: the two modules that the paper's ablation removes.
    """

    network: ClassVar[str] = "minet"
    choices: ClassVar[dict[str, tuple]] = {"scale": (2, 3, 4)}

    features: int = 64
    scale: int = 2
    stages: int = 6
    blocks: int = 6
    last_stage: bool = True
    fusion_skip: bool = True
    gamma: bool = True
    integration: bool = True
    attention: bool = True


@dataclass(frozen=True)
class SwiftSpec(Spec):
    """Swift, see `swift.Swift`. There is one size."""

    network: ClassVar[str] = "swift"
    choices: ClassVar[dict[str, tuple]] = {"base": BASES[1:]}

    base: str = "guided+joint-tv"


SPECS: dict[str, type[Spec]] = {cls.network: cls for cls in (DualArbNetSpec, DINetSpec, MINetSpec, SwiftSpec)}

_LIGHT: dict[str, Spec] = {
    "dual-arbnet": DualArbNetSpec(
        features=16, blocks=2, layers=3, fusion_layers=3, fusion_convs=2, alignment="bilinear", skip="linear"
    ),
    "dinet": DINetSpec(
        features=16,
        target_blocks=2,
        target_layers=4,
        reference_blocks=2,
        dimension=32,
        reduced=16,
        rank=4,
        radius=1,
        hidden=32,
    ),
    "minet": MINetSpec(features=16, stages=3, blocks=2, last_stage=False, gamma=False),
    "swift": SwiftSpec(),
}


def published(network: str, **changes: object) -> Spec:
    """The authors' configuration of `network`, with `changes`. Raises `UnknownNameError`, `InputError`."""
    return _changed(_known(network)(), changes)


def light(network: str, **changes: object) -> Spec:
    """The configuration for laptops, with `changes`. Raises `UnknownNameError`, `InputError`."""
    _known(network)
    return _changed(_LIGHT[network], changes)


def from_dict(values: Mapping[str, object]) -> Spec:
    """The configuration that `Spec.as_dict` wrote.

    Raises:
        UnknownNameError: no such network.
        InputError: unknown fields or values; missing ones too, since a later default may not be theirs.
    """
    cls = _known(str(values.get("network")))
    given, known = set(values) - {"network"}, {field.name for field in fields(cls)}
    if given != known:
        raise InputError(
            f"Configuration of {cls.network!r} has unknown fields {sorted(given - known)} and lacks "
            f"{sorted(known - given)}; expected exactly {sorted(known)}. Use weights made for this version."
        )
    return cls(**{name: values[name] for name in known})


def build(spec: Spec | Mapping[str, object]) -> nn.Module:
    """The network of `spec` with fresh random weights. Needs torch."""
    if not isinstance(spec, Spec):
        spec = from_dict(spec)
    if isinstance(spec, DualArbNetSpec):
        from .dual_arbnet import DualArbNet

        return DualArbNet(spec)
    if isinstance(spec, DINetSpec):
        from .dinet import DINet

        return DINet(spec)
    if isinstance(spec, SwiftSpec):
        from .swift import Swift

        return Swift(spec)
    from .minet import MINet

    return MINet(spec)


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
