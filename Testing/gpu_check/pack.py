"""Makes the data of `gpu_check` in one file: `make gpu-pack`.

The sample patient's T2 with the T1 registered to it, as a data pack for training; the phantom where there is no sample.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import MultiContrastSRLib as mc
from MultiContrastSRLib.samples.scans import sample_volumes
from MultiContrastSRLib.training.data.build import build_pack
from MultiContrastSRLib.training.data.pack import Pack, save_pack
from MultiContrastSRLib.training.recipe import Augmentation, Source
from MultiContrastSRLib.training.recipe_file import load_recipe

LARGEST = 20e6  # bytes


def pack_of(subject: str, volumes: Mapping[str, mc.Volume]) -> Pack:
    """The contrasts of one subject on the grid of the first."""
    paths = {name: f"{{subject}}/{name}.nii.gz" for name in volumes}
    source = Source(contrasts=paths, targets=(next(iter(volumes)),), register="auto")
    recipe = replace(load_recipe("swift"), sources=(source,), augmentation=Augmentation())
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, subject)
        place.mkdir()
        for name, volume in volumes.items():
            mc.save_volume(volume, place / f"{name}.nii.gz")
        return build_pack(recipe, folder)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path, help="the file to write, .npz")
    given = parser.parse_args(arguments)
    samples = sample_volumes(log=print)
    pack = pack_of(samples.patient, samples.volumes)
    place = save_pack(pack, given.output)
    size = place.stat().st_size
    slices, rows, columns = pack.stacks[0].images.shape[1:]
    print(f"{place}: {slices} slices of {rows} × {columns}, T2 and T1 of {samples.patient}; {size / 1e6:.1f} MB")
    if size > LARGEST:
        print(f"It is larger than {LARGEST / 1e6:.0f} MB; choose scans with fewer voxels.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
