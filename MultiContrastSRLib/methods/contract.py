"""The contract every super-resolution method keeps, and the registry that finds them.

A method is a continuous function over the patient, behind two verbs:

    prepared = method.prepare(target, reference)   # heavy, once: encode, or fit
    volume   = prepared.render(grid)               # cheap, often: any grid, in RAS millimetres

Adding a method is adding one file to this package: subclass `Method`, decorate with `@register`. The panel, the
command line, the generated documentation, the evaluation tables and the contract tests find it by the registry.
"""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from ..core.errors import InputError, OptionError, UnknownNameError
from ..core.progress import Monitor
from ..image.volume import Volume

if TYPE_CHECKING:
    from ..image.prepared import Prepared, SliceEncoder

Group = Literal["classical", "trained", "subject-specific"]
GROUPS: tuple[Group, ...] = ("classical", "trained", "subject-specific")


@dataclass(frozen=True)
class Option:
    """One setting of a method; the panel's widget, the CLI's flag and the docs' row are made from it.

    Args:
        name: keyword of `prepare`, a Python identifier.
        default: its type (bool, int, float, str) is the option's type.
        label, help: for people; `help` is one sentence, with the unit where there is one.
        minimum, maximum: inclusive range of a number.
        choices: allowed values of a str.
    """

    name: str
    default: bool | int | float | str
    label: str
    help: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()

    @property
    def type(self) -> type:
        """bool, int, float or str."""
        return type(self.default)

    def check(self, value: object, method: str) -> bool | int | float | str:
        """`value` as this option's type.

        Raises:
            OptionError: wrong type or outside the range; the message says both.
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
    """A way to super-resolve; subclasses state their capabilities as class attributes.

    Attributes:
        name: stable identifier, lower case with hyphens; saved in scenes and scripts.
        label: what the dropdown shows.
        summary: one line for tooltips and tables: what it does and when to use it.
        group: "classical", "trained" or "subject-specific".
        reference: "none", "optional" or "required".
        both: whether it super-resolves the reference along with the target (`Prepared.companion`).
        dimensions: 2 when it works within slices only, 3 when along all axes.
        scale_range: smallest and largest sensible factor per axis.
        fixed_scales: factors a fixed-scale network was made for, empty for arbitrary scale.
        options: extra keywords of `prepare`.
        citation: paper or textbook, with year.
        requires: modules that must be importable, e.g. ("torch",).
        devices: kinds of device it can use; "cpu" always.
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
    both: ClassVar[bool] = False
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
        """Why it cannot run here and what to do about it, or None when it can. Quick, imports nothing heavy."""
        missing = [module for module in self.requires if importlib.util.find_spec(module) is None]
        return f"needs {', '.join(missing)}, which is not installed; install it first" if missing else None

    def check_options(self, options: Mapping[str, object]) -> dict[str, bool | int | float | str]:
        """All options with defaults filled in.

        Raises:
            OptionError: an unknown name, a wrong type or a value outside the range.
        """
        known = {option.name: option for option in self.options}
        for name in options:
            if name not in known:
                expected = f"one of {', '.join(known)}" if known else "no options"
                raise OptionError(f"Method {self.name!r} has no option {name!r}; expected {expected}.")
        return {name: option.check(options.get(name, option.default), self.name) for name, option in known.items()}

    def clear_cache(self) -> None:
        """Free what is kept from earlier calls of `prepare`, such as fits. Does nothing for most methods."""
        return None

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
            target: the scan to sharpen, any grid.
            reference: a scan of another contrast, already aligned in RAS; any grid, field of view and orientation.
            refine: which axes (k, j, i) are to be super-resolved; grids rendered later are no finer than the target
                along the others. Default: in plane for a 2-D acquisition, else all (`lattice.default_refinement`).
            device: "cpu" or "cuda:N".
            monitor: reports progress and raises `CancelledError`; see `MultiContrastSRLib.core.progress`.
            options: as listed in `options`; missing ones take their defaults.
        """

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
        """Like `prepare` where two axes are refined, but slices are computed when they are asked for.

        For methods whose `prepare` takes minutes, so that live zoom need not wait for slices nobody looks at. None
        (the default) says that the method does not offer it, or not for this target.
        """
        return None


class Registry:
    """Methods by name, in the order of their groups."""

    def __init__(self) -> None:
        self._methods: dict[str, Method] = {}

    def register(self, cls: type[Method]) -> type[Method]:
        """Class decorator. Raises `InputError` for a name that is taken or capabilities that are not stated."""
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
        """Forget a method (for tests and plug-ins that unload)."""
        self._methods.pop(name, None)

    def __getitem__(self, name: str) -> Method:
        if name not in self._methods:
            raise UnknownNameError(f"Unknown method {name!r}; expected one of {', '.join(self.names())}.")
        return self._methods[name]

    def names(self) -> list[str]:
        """All names: classical first, then trained, then subject-specific; in each group as listed by `order`."""
        return [method.name for method in self]

    def __iter__(self):
        return iter(sorted(self._methods.values(), key=lambda m: (GROUPS.index(m.group), m.order, m.name)))

    def __len__(self) -> int:
        return len(self._methods)


REGISTRY = Registry()
register = REGISTRY.register
