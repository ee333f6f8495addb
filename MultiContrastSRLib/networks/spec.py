"""The base class of the networks' configurations: small frozen dataclasses that JSON can hold. Needs no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, ClassVar, Literal

from ..core.errors import InputError

if TYPE_CHECKING:
    from .network import Network

BASES = ("none", "sinc", "guided")  # of all; some networks take further ones


@dataclass(frozen=True)
class Spec(ABC):
    """What every configuration has. Weights files carry their own.

    Attributes:
        in_channels: channels of an image: 1 (magnitude) or 2 (real and imaginary part).
        base: "none", or the base image that the network corrects: "sinc" (zero-filled) or "guided" (both with data
            consistency). With a base image the network also receives it, and its correction is limited, see `bounded`.
            "guided+joint-tv" corrects guided and receives the image by joint total variation as an auxiliary image.
    """

    network: ClassVar[str]
    choices: ClassVar[dict[str, tuple]] = {}

    in_channels: int = 1
    base: str = "none"

    def __post_init__(self) -> None:
        allowed = {"base": BASES, **self.choices}
        for field in fields(self):
            value, kind = getattr(self, field.name), type(field.default)
            if field.name in allowed:
                valid, expected = value in allowed[field.name], "one of " + ", ".join(map(repr, allowed[field.name]))
            elif kind is bool:
                valid, expected = isinstance(value, bool), "true or false"
            elif kind is int:
                valid, expected = type(value) is int and value >= 1, "a whole number of at least 1"
            else:
                valid, expected = type(value) in (int, float) and value > 0, "a number above 0"
            if not valid:
                raise InputError(
                    f"Field {field.name!r} of the {self.network!r} configuration is {value!r}; expected {expected}. "
                    "Correct the configuration, or take a published or light one."
                )

    @classmethod
    @abstractmethod
    def light(cls) -> Spec:
        """The configuration for laptops; the defaults of the fields are the published one."""

    @abstractmethod
    def build(self) -> Network:
        """The network with random initial weights. Needs torch."""

    @property
    def base_image(self) -> str | None:
        """The method whose image the network corrects, "sinc" or "guided"; None without a base image."""
        return None if self.base == "none" else self.base.partition("+")[0]

    @property
    def auxiliary_image(self) -> str | None:
        """The method whose image the network receives in addition to the base image; None where there is none."""
        return self.base.partition("+")[2] or None

    @property
    def base_channels(self) -> int:
        """The channels of base image and auxiliary image together; 0 without a base image."""
        return self.in_channels * ((self.base_image is not None) + (self.auxiliary_image is not None))

    @property
    def fixed_scale(self) -> int | None:
        """The only scale factor of the network; None where it takes any scale."""
        return None

    @property
    def normalisation(self) -> Literal["percentile", "z-score"]:
        """How intensities are normalised, see `intensity.estimate_normalisation`."""
        return "percentile"

    def as_dict(self) -> dict[str, object]:
        """All fields and the network's name, ready for JSON."""
        return {"network": self.network, **asdict(self)}
