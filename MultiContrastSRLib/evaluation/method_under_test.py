"""The methods that an evaluation compares, with their settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..core.errors import InputError, UnknownNameError
from ..methods import all_methods, get
from .baselines import BASELINE, MASK_TRICK
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
        UnknownNameError, OptionError, InputError: a method or option that does not exist, a name used twice.
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
        if rows.count(method.row) > 1 or method.row == MASK_TRICK:
            raise InputError(f"Two rows are called {method.row!r}; give each its own label.")
    return tested
