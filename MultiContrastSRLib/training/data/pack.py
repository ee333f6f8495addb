"""Data packs: all slices and label maps that a training run needs, in one compressed file.

A pack is an .npz file (no pickle): images as float16 with 1 at the 99.9th percentile, label maps as integers.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import FileReadError, InputError
from ...io.files import replaced_together

_FORMAT = "multicontrastsr-pack-1"
_TISSUE = 0.05  # of the intensity range
_MIN_TISSUE_SHARE = 0.04  # of the pixels of a slice


@dataclass(frozen=True, eq=False)
class ContrastStack:
    """Contrasts of one subject on one grid.

    Attributes:
        name: subject and grid, for messages.
        part: "train" or "validation".
        contrasts: names, in the order of `images`.
        targets: indices of the contrasts that were acquired on this grid; the others were resampled to it and serve
            as references only.
        axes: array axes along which slices may be taken.
        images: (contrasts, K, J, I) float16.
    """

    name: str
    part: str
    contrasts: tuple[str, ...]
    targets: tuple[int, ...]
    axes: tuple[int, ...]
    images: np.ndarray

    def slices(self) -> list[tuple[int, int]]:
        """(axis, index) of the slices that show tissue in every contrast; none where no contrast is a target."""
        return list(self._slices)

    @cached_property
    def _slices(self) -> list[tuple[int, int]]:
        if not self.targets:
            return []
        found = []
        for axis in self.axes:
            others = tuple(a for a in range(1, 4) if a != axis + 1)
            tissue_share = (self.images > _TISSUE).mean(axis=others).min(axis=0)
            found += [(axis, int(index)) for index in np.flatnonzero(tissue_share > _MIN_TISSUE_SHARE)]
        return found


@dataclass(frozen=True, eq=False)
class Pack:
    """The data of a training run.

    Attributes:
        stacks: see `ContrastStack`.
        labels: label maps [k, j, i], uint8 indices into `label_values`.
        label_values: the labels' numbers in the original maps.
        sources: a line for each scan, for the model card.
        settings: of the recipe that it was made by, see `pack_recipe.data_settings`; empty where that is not known.
    """

    stacks: tuple[ContrastStack, ...]
    labels: tuple[np.ndarray, ...] = ()
    label_values: tuple[int, ...] = ()
    sources: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def part(self, name: str) -> list[ContrastStack]:
        """The stacks of "train" or "validation"."""
        return [stack for stack in self.stacks if stack.part == name]

    def only(self, name: str) -> Pack:
        """The pack with the stacks of "train" or "validation" that have slices only.

        Raises:
            InputError: there are none, and no label maps to train on.
        """
        stacks = tuple(stack for stack in self.part(name) if stack.slices())
        if not stacks and not (name == "train" and self.labels):
            otherwise = ", or set optimisation.validate_every to 0" if name == "validation" else ""
            raise InputError(
                f"The data pack holds no scans for {name!r} with a slice that shows tissue in every contrast; expected "
                f"at least one. Give the recipe a source with that part and such scans{otherwise}."
            )
        return replace(self, stacks=stacks)


def save_pack(pack: Pack, path: str | Path) -> Path:
    """Write `pack` to an .npz file, completely or not at all.

    Raises:
        FileWriteError: the file cannot be written.
    """
    place = Path(path)
    about = {
        "format": _FORMAT,
        "stacks": [{k: v for k, v in asdict(s).items() if k != "images"} for s in pack.stacks],
        "labels": len(pack.labels),
        "label_values": pack.label_values,
        "sources": pack.sources,
        "settings": pack.settings,
    }
    arrays = {f"image_{i}": s.images for i, s in enumerate(pack.stacks)}
    arrays |= {f"label_{i}": array for i, array in enumerate(pack.labels)}
    with replaced_together(place) as (partial,), open(partial, "wb") as stream:
        np.savez_compressed(stream, about=np.array(json.dumps(about)), **arrays)
    return place


def load_pack(path: str | Path) -> Pack:
    """Read a file of `save_pack`.

    Raises:
        FileReadError: the file is missing, damaged, or no data pack.
    """
    try:
        with open(path, "rb") as stream:
            if not zipfile.is_zipfile(stream):  # of which numpy would say that it could be loaded unsafely
                raise ValueError("it is no .npz file, or is truncated")
        with np.load(path, allow_pickle=False) as stored:
            about = json.loads(str(stored["about"]))
            if about["format"] != _FORMAT:
                raise ValueError(f"its format is {about['format']!r}, expected {_FORMAT!r}")
            stacks = tuple(
                ContrastStack(
                    **{k: tuple(v) if isinstance(v, list) else v for k, v in s.items()}, images=stored[f"image_{i}"]
                )
                for i, s in enumerate(about["stacks"])
            )
            labels = tuple(stored[f"label_{i}"] for i in range(about["labels"]))
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or error
        raise FileReadError(
            f"Data pack {path} cannot be read: {reason}. Make it again with `multicontrastsr train RECIPE --pack FILE`."
        ) from error
    return Pack(stacks, labels, tuple(about["label_values"]), tuple(about["sources"]), about.get("settings", {}))
