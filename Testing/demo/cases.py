"""The scans of the demonstration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from MultiContrastSRLib import Volume, degrade
from MultiContrastSRLib.samples.scans import Samples, sample_volumes

SCALE = 3.0
TITLES = {
    "patient12": "T2 and T1 as the scanner wrote them, each on its own grid; the T1 is no sharper than the T2",
    "patient26": "T2 and T1 on one grid, co-registered and skull-stripped: a reference that can help",
    "phantom": "a made-up head, because no real scan could be had: numbers of it say nothing about patients",
}
CO_REGISTERED = ("patient26",)  # another registration, to a coarse target, could only lose


@dataclass(frozen=True)
class Case:
    """A target whose truth is known, because we degrade it ourselves.

    Attributes:
        name: for files and nodes. title: a few words for people.
        truth: the target as acquired. reference: another contrast.
        register: as in `super_resolve`.
        scale: how many times coarser the target is made, in plane.
    """

    name: str
    title: str
    truth: Volume
    reference: Volume
    register: str = "auto"
    scale: float = SCALE

    @classmethod
    def of(cls, samples: Samples) -> Case:
        """T2 helped by T1."""
        name = samples.patient
        register = "off" if name in CO_REGISTERED else "auto"
        return cls(name, TITLES[name], samples.volumes["T2"], samples.volumes["T1"], register)

    @cached_property
    def low(self) -> Volume:
        """What a coarser acquisition of the same patient would have recorded."""
        return degrade(self.truth, "kspace", self.scale)


def find_cases(say: Callable[[str], None]) -> list[Case]:
    """Both patients; the phantom alone where their scans are neither here nor to be had."""
    cases: dict[str, Case] = {}
    for patient in ("patient12", "patient26"):
        samples = sample_volumes(patient, ("T2", "T1"), log=say)
        cases[samples.patient] = Case.of(samples)
        if not samples.real:
            break
    return [cases["phantom"]] if "phantom" in cases else list(cases.values())
