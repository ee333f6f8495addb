"""Methods of an evaluation as they are typed on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.errors import OptionError
from .console import parse_options

if TYPE_CHECKING:
    from ..evaluation import MethodUnderTest

HELP = (
    "rows: NAME, or NAME:OPTION=VALUE,... with the method's options (weights=FILE of trained ones), label=TEXT, "
    "consistency=on|off and reference=full|low|none|blank|reversed|shifted|half"
)
_OF_THE_ROW = ("label", "reference", "consistency")


def parse_row(text: str) -> MethodUnderTest:
    """The method and settings that `text` describes; see `HELP`. Values contain no commas.

    Raises:
        UnknownNameError: no such method.
        OptionError: no NAME=VALUE, or a consistency that is neither on nor off.
    """
    from ..evaluation import MethodUnderTest

    name, _, rest = text.partition(":")
    pairs = [pair for pair in rest.split(",") if pair]
    own = {key: value for key, _, value in (pair.partition("=") for pair in pairs) if key in _OF_THE_ROW}
    consistency = own.get("consistency")
    if consistency not in (None, "on", "off"):
        raise OptionError(f"Consistency of row {text!r} is {consistency!r}; expected on or off.")
    return MethodUnderTest(
        name,
        own.get("label", text if rest else ""),
        parse_options(name, [pair for pair in pairs if pair.partition("=")[0] not in _OF_THE_ROW]),
        None if consistency is None else consistency == "on",
        own.get("reference", "full"),
    )
