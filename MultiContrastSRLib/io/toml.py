"""Recipes in TOML files, by the reader of Python 3.11 and newer or the package tomli."""

from __future__ import annotations

import sys

from ..core.errors import FileReadError, MethodUnavailableError


def parse_toml(text: str, what: str, extra: str) -> dict[str, object]:
    """The tables of a TOML text.

    Args:
        what: names the text in an error, as the beginning of a sentence.
        extra: the extra of the package that brings tomli.

    Raises:
        FileReadError: not valid TOML.
        MethodUnavailableError: Python 3.10 without the package tomli.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        try:
            import tomli as tomllib
        except ImportError as error:
            raise MethodUnavailableError(
                f"Recipes need the package tomli on Python 3.10; install it: pip install 'multicontrastsr[{extra}]'."
            ) from error
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FileReadError(f"{what} is not valid TOML: {error}. Correct it.") from error
