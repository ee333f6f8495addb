"""The interface of super-resolution methods, and their registry.

A method is a continuous function over the patient, with two operations:

    prepared = method.prepare(target, reference)   # heavy, once: encode, or fit
    volume   = prepared.render(grid)               # cheap, often: any grid, in RAS millimetres

A new method is one file in this package: a subclass of `Method`, decorated with `@register`. The panel, the command
line, the generated documentation, the evaluation tables and the contract tests find it through the registry.

    @register
    class Mine(Method):
        name, label, group = "mine", "My method", "classical"
        summary, citation = "What it does.", "Paper, year"

        def prepare(self, target, reference=None, *, refine=None, device="cpu", monitor=None, **options):
            ...  # call monitor.update(fraction) now and then: it reports progress and raises CancelledError
            return LatticeImage(target, AcquisitionModel.estimate(target), array)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from ..core import packages
from ..core.errors import InputError, MethodUnavailableError, OptionError, UnknownNameError
from ..core.progress import Monitor
from ..image.volume import Volume

if TYPE_CHECKING:
    from ..image.grid import Grid
    from ..image.prepared import Prepared, SliceEncoder

Group = Literal["classical", "trained", "subject-specific"]
GROUPS: tuple[Group, ...] = ("classical", "trained", "subject-specific")


@dataclass(frozen=True)
class Option:
    """One setting of a method; the panel's widget, the CLI's flag and the documentation's row are made from it.

    Args:
        name: keyword of `prepare`, a Python identifier.
        default: its type (bool, int, float, str) is the option's type.
        label, help: text of the panel and documentation; `help` is one sentence, with the unit where there is one.
        minimum, maximum: inclusive range of a number.
        choices: allowed values of a str.
        former_names: names that it had in earlier versions; `check_options` accepts them, with the same meaning.
        zero: what a 0 that is the minimum means, "no limit" for example; shown in place of the number.
        unit: of a number, "s" for example; shown behind it.
        file: extension of the file whose path the text is, ".safetensors" for example; empty for other texts.
    """

    name: str
    default: bool | int | float | str
    label: str
    help: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    former_names: tuple[str, ...] = ()
    zero: str = ""
    unit: str = ""
    file: str = ""

    @property
    def type(self) -> type:
        """bool, int, float or str."""
        return type(self.default)

    def check(self, value: object, method: str) -> bool | int | float | str:
        """`value` as this option's type.

        Raises:
            OptionError: wrong type or outside the range; the message states value and range.
        """
        expected = self.describe_range()
        wrong = OptionError(f"Option {self.name!r} of method {method!r} is {value!r}; expected {expected}.")
        if self.type is bool:
            if not isinstance(value, bool):
                raise wrong
            return value
        if self.type is str:
            if not isinstance(value, str) or (self.choices and value not in self.choices):
                raise wrong
            return value
        try:
            number = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            raise wrong from None
        if isinstance(value, (bool, str)) or number != number or (self.type is int and number != int(number)):
            raise wrong
        if (self.minimum is not None and number < self.minimum) or (self.maximum is not None and number > self.maximum):
            raise wrong
        return self.type(number)

    def describe_range(self) -> str:
        """The allowed values in words: "a number from 0 to 1", "one of a, b"."""
        if self.type is bool:
            return "True or False"
        if self.type is str:
            return "one of " + ", ".join(self.choices) if self.choices else "text"
        kind = "a whole number" if self.type is int else "a number"
        if self.minimum is not None and self.maximum is not None:
            return f"{kind} from {self.minimum:g} to {self.maximum:g}"
        if self.minimum is not None:
            return f"{kind} of at least {self.minimum:g}"
        return f"{kind} of at most {self.maximum:g}" if self.maximum is not None else kind


class Method(ABC):
    """A super-resolution method; subclasses state their capabilities as class attributes.

    Attributes:
        name: stable identifier, lower case with hyphens; saved in scenes and scripts.
        label: name in menus.
        summary: one sentence for tooltips and tables: what it does and when to use it.
        group: "classical", "trained" or "subject-specific".
        reference: "none", "optional" or "required".
        makes_companion: whether it super-resolves the reference along with the target (`Prepared.companion`).
        keeps_results: whether a second run of the same scans and settings takes the result of the first.
        dimensions: 2 when it works within slices only, 3 when along all axes.
        scale_range: smallest and largest sensible factor per axis.
        fixed_scales: scale factors of a fixed-scale network, empty for arbitrary scale.
        options: extra keywords of `prepare`.
        citation: paper or textbook, with year.
        requires: modules that must be importable, e.g. ("torch",).
        devices: kinds of device it can use: "cpu" always; "accelerator" for every GPU and the like that torch knows, or
            single types such as "cuda".
        order: place within its group in menus and tables, small first.
        oversampling: samples of the working lattice for one of the target's along refined axes, at least.
        lattice_copies: float32 arrays of the working lattice's shape that exist at once while the method and data
            consistency compute, at most; memory is checked by it before work starts.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    summary: ClassVar[str]
    group: ClassVar[Group]
    reference: ClassVar[Literal["none", "optional", "required"]] = "none"
    makes_companion: ClassVar[bool] = False
    keeps_results: ClassVar[bool] = False
    dimensions: ClassVar[Literal[2, 3]] = 3
    scale_range: ClassVar[tuple[float, float]] = (1.0, 16.0)
    fixed_scales: ClassVar[tuple[float, ...]] = ()
    options: ClassVar[tuple[Option, ...]] = ()
    citation: ClassVar[str]
    requires: ClassVar[tuple[str, ...]] = ()
    devices: ClassVar[tuple[str, ...]] = ("cpu",)
    order: ClassVar[int] = 50
    oversampling: ClassVar[int] = 2
    lattice_copies: ClassVar[float] = 9.0

    def unavailable(self) -> str | None:
        """Why it cannot run here, with the remedy; None if it can. Imports nothing, so that menus may call it."""
        return next(filter(None, map(packages.problem, self.requires)), None)

    def check_available(self) -> None:
        """Import what the method requires and try it out.

        Raises:
            MethodUnavailableError: something is not installed, or is installed but does not work.
        """
        if reason := self.unavailable():
            raise MethodUnavailableError(f"Method {self.name!r} is not available here: it {reason}.")
        for module in self.requires:
            packages.require(module)

    def check_options(self, options: Mapping[str, object]) -> dict[str, bool | int | float | str]:
        """All options by their present names, with defaults filled in.

        Raises:
            OptionError: an unknown name, an option given under two names, a wrong type or a value outside the range.
        """
        given: dict[str, object] = {}
        for name, value in options.items():
            option = self.option(name)
            if option is None:
                known = [option.name for option in self.options]
                expected = f"one of {', '.join(known)}" if known else "no options"
                raise OptionError(f"Method {self.name!r} has no option {name!r}; expected {expected}.")
            if option.name in given:
                former = ", ".join(map(repr, option.former_names))
                raise OptionError(
                    f"Option {option.name!r} of method {self.name!r} is given twice; expected it once. Leave out its "
                    f"former name ({former})."
                )
            given[option.name] = value
        return {o.name: o.check(given.get(o.name, o.default), self.name) for o in self.options}

    def option(self, name: str) -> Option | None:
        """The option of that present or former name; None where there is none."""
        return next((option for option in self.options if name in (option.name, *option.former_names)), None)

    def clear_cache(self) -> None:
        """Free what is kept from earlier calls of `prepare`, such as fits. Does nothing for most methods."""
        return None

    def device_memory(
        self,
        target: Volume,
        reference: Volume | None,
        refine: tuple[bool, bool, bool],
        options: Mapping[str, bool | int | float | str],
    ) -> int:
        """Bytes that `prepare` needs on an accelerator at least; 0 (the default): any number of them will do.

        Args:
            target, reference, refine, options: as of `prepare`; all options.
        """
        return 0

    @abstractmethod
    def prepare(
        self,
        target: Volume,
        reference: Volume | None = None,
        *,
        refine: tuple[bool, bool, bool] | None = None,
        device: str = "cpu",
        monitor: Monitor | None = None,
        **options: bool | int | float | str,
    ) -> Prepared:
        """The heavy work: encode or fit.

        Args:
            target: the scan to super-resolve, on any grid. The pipeline subtracts the lowest intensity of a scan that
                lies far from zero before, and adds it to renderings (`image.offset`).
            reference: a scan of another contrast, already aligned in RAS; any grid, field of view and orientation.
            refine: which axes (k, j, i) are to be super-resolved; grids rendered later are no finer than the target
                along the others. Default: in plane for a 2-D acquisition, else all (`lattice.default_refinement`).
            device: "cpu", "cuda:0" or another of `core.devices.list_devices`.
            monitor: reports progress and raises `CancelledError`, see `core.progress.Monitor`; None does neither.
            options: as listed in `options`; missing ones take their defaults.

        Raises:
            CancelledError: by `monitor`.
            MultiContrastSRError: the scans cannot be used, or memory is too small.
        """

    def prepare_part(
        self,
        target: Volume,
        reference: Volume | None = None,
        *,
        part: Grid,
        refine: tuple[bool, bool, bool] | None = None,
        device: str = "cpu",
        monitor: Monitor | None = None,
        **options: bool | int | float | str,
    ) -> Prepared | None:
        """Like `prepare`, for the samples of `part` alone: the image is that of `prepare` there, plainer elsewhere.

        That holds after data consistency, too, unless it weighs the data by their noise. None (the default) means that
        the method does not support it, or not for these scans and this part.
        """
        return None

    def prepare_slices(
        self,
        target: Volume,
        reference: Volume | None = None,
        *,
        refine: tuple[bool, ...] | None = None,
        device: str = "cpu",
        monitor: Monitor | None = None,
        **options: bool | int | float | str,
    ) -> SliceEncoder | None:
        """Like `prepare` where two axes are refined, but slices are computed on demand.

        For methods whose `prepare` takes minutes, so that live zoom computes only the slices that it shows. None (the
        default) means that the method does not support it, or not for this target.
        """
        return None


class Registry:
    """Methods by name, in the order of their groups."""

    def __init__(self) -> None:
        self._methods: dict[str, Method] = {}

    def register(self, cls: type[Method]) -> type[Method]:
        """Class decorator.

        Raises:
            InputError: the name is taken, or a capability is not stated.
        """
        for attribute in ("name", "label", "summary", "group", "citation"):
            if not getattr(cls, attribute, ""):
                raise InputError(f"Method class {cls.__name__} states no {attribute!r}; every method needs one.")
        if cls.group not in GROUPS:
            raise InputError(f"Method {cls.name!r} is in group {cls.group!r}; expected one of {', '.join(GROUPS)}.")
        if cls.name in self._methods:
            taken = type(self._methods[cls.name])
            raise InputError(
                f"Method name {cls.name!r} of {cls.__module__}.{cls.__name__} is taken by "
                f"{taken.__module__}.{taken.__name__}; choose another name."
            )
        self._methods[cls.name] = cls()
        return cls

    def unregister(self, name: str) -> None:
        """Remove a method (for tests and plug-ins that unload)."""
        self._methods.pop(name, None)

    def __getitem__(self, name: str) -> Method:
        if name not in self._methods:
            raise UnknownNameError(f"Unknown method {name!r}; expected one of {', '.join(self.names())}.")
        return self._methods[name]

    def names(self) -> list[str]:
        """All names: classical first, then trained, then subject-specific; within a group by `order`."""
        return [method.name for method in self]

    def __iter__(self) -> Iterator[Method]:
        return iter(sorted(self._methods.values(), key=lambda m: (GROUPS.index(m.group), m.order, m.name)))

    def __len__(self) -> int:
        return len(self._methods)


REGISTRY = Registry()
register = REGISTRY.register
