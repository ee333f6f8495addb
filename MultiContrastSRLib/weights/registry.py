"""The weights that ship: .safetensors files, each with its model card (.json and .md)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .card import load_card

FOLDER = Path(__file__).with_name("shipped")


@dataclass(frozen=True)
class Model:
    """Shipped weights: the file, its SHA-256 and its card."""

    path: Path
    sha256: str
    card: dict[str, object]


def shipped(network: str) -> list[Model]:
    """The weights that ship for `network`, by name of the file. Reads cards only.

    Raises:
        FileReadError: a card is damaged.
    """
    found = []
    for place in sorted(FOLDER.glob("*.json")):
        card = load_card(place)
        if card["model"]["network"] == network:
            found.append(Model(FOLDER / card["file"]["name"], card["file"]["sha256"], card))
    return found
