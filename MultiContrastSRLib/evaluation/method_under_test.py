"""The methods that an evaluation compares, with their settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..core.errors import InputError, UnknownNameError
from ..methods import all_methods, get
from .baselines import BASELINE, BETTER, MASK_TRICK
from .protocols.references import FULL, REFERENCES


@dataclass(frozen=True)
class MethodUnderTest:
    """A method with settings: one row of the tables.

    Attributes:
        method: registered name.
        label: the row's name; default the method's name.
        options: the method's own options.
        data_consistency: default on, but off for plain interpolations (classical methods without reference), which are
            compared as they are.
        reference: which variant of the reference the method is given, see `protocols.references.REFERENCES`.
    """

    method: str
    label: str = ""
    options: Mapping[str, bool | int | float | str] = field(default_factory=dict)
    data_consistency: bool | None = None
    reference: str = FULL

    @property
    def row(self) -> str:
        """The row's name in tables."""
        return self.label or self.method

    @property
    def enforces_consistency(self) -> bool:
        """Whether data consistency is enforced."""
        if self.data_consistency is not None:
            return self.data_consistency
        method = get(self.method)
        return not (method.group == "classical" and method.reference == "none")


def methods_under_test(methods: Sequence[str | MethodUnderTest] | None) -> list[MethodUnderTest]:
    """`methods` with different row names, sinc among them; None: all classical methods.

    Raises:
        UnknownNameError, OptionError, InputError: a method or option that does not exist, a name that is used twice or
            kept for a baseline.
    """
    if methods is None:
        methods = [method.name for method in all_methods() if method.group == "classical"]
    tested = [method if isinstance(method, MethodUnderTest) else MethodUnderTest(method) for method in methods]
    if BASELINE not in [method.row for method in tested]:
        tested.insert(0, MethodUnderTest(BASELINE))
    rows = [method.row for method in tested]
    for method in tested:
        get(method.method).check_options(method.options)
        if method.reference not in REFERENCES:
            raise UnknownNameError(
                f"Reference of row {method.row!r} is {method.reference!r}; expected one of {', '.join(REFERENCES)}."
            )
        if rows.count(method.row) > 1:
            raise InputError(f"Two rows are called {method.row!r}; give each its own label.")
        if reserved := _reserved_for(method):
            raise InputError(
                f"Row of method {method.method!r} is called {method.row!r}, which is kept for {reserved}; expected "
                "another label. Change it."
            )
    return tested


def _reserved_for(method: MethodUnderTest) -> str:
    """What the row's name is kept for, because others are compared with it; empty where `method` may have it."""
    if method.row in (MASK_TRICK, BETTER):
        return "a baseline of its own"
    if method.row == BASELINE and (method.method != BASELINE or method.options or method.enforces_consistency):
        return f"the method {BASELINE} without settings"
    if method.row == "guided" != method.method:
        return "the method guided"
    return ""
