"""The rows of a comparison: methods with settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..core.errors import InputError, UnknownNameError
from ..methods import all_methods, get
from .baselines import MASK_TRICK
from .protocols.references import FULL, REFERENCES
from .results import BASELINE


@dataclass(frozen=True)
class Entry:
    """One row: a method with settings.

    Attributes:
        method: registered name.
        label: the row's name; default the method's name.
        options: the method's own options.
        data_consistency: default on, but off for plain interpolations (classical methods that take no reference),
            which are compared as what they are.
        reference: what the method is given of the reference, see `references.REFERENCES`.
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
    def consistent(self) -> bool:
        """Whether data consistency is enforced."""
        if self.data_consistency is not None:
            return self.data_consistency
        method = get(self.method)
        return not (method.group == "classical" and method.reference == "none")


def checked_entries(methods: Sequence[str | Entry] | None) -> list[Entry]:
    """`methods` as entries with different names, sinc among them; None: all classical methods.

    Raises:
        UnknownNameError, OptionError, InputError: a method or option that does not exist, a name used twice.
    """
    if methods is None:
        methods = [method.name for method in all_methods() if method.group == "classical"]
    entries = [entry if isinstance(entry, Entry) else Entry(entry) for entry in methods]
    if BASELINE not in [entry.row for entry in entries]:
        entries.insert(0, Entry(BASELINE))
    rows = [entry.row for entry in entries]
    for entry in entries:
        get(entry.method).check_options(entry.options)
        if entry.reference not in REFERENCES:
            raise UnknownNameError(
                f"Reference of row {entry.row!r} is {entry.reference!r}; expected one of {', '.join(REFERENCES)}."
            )
        if rows.count(entry.row) > 1 or entry.row == MASK_TRICK:
            raise InputError(f"Two rows are called {entry.row!r}; give each its own label.")
    return entries
