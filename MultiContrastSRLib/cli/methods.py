"""List the methods, or describe one with its options."""

from __future__ import annotations

import argparse

from .console import print_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this verb."""
    parser.add_argument("method", nargs="?", help="describe this one")
    parser.add_argument("--markdown", action="store_true", help="the section of the documentation")


def run(parsed: argparse.Namespace) -> None:
    """Print the list or the description."""
    from ..methods import all_methods, describe, get

    chosen = [get(parsed.method)] if parsed.method else list(all_methods())
    if parsed.json:
        print_json({"methods": [describe.as_dict(method) for method in chosen]})
    elif parsed.markdown:
        print(describe.as_markdown(chosen))
    elif parsed.method:
        print(describe.as_text(chosen[0]))
    else:
        for method in chosen:
            print(f"{method.name:16}{method.group:18}{method.summary}")
