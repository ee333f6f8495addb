"""Make a coarser scan, as another acquisition would have recorded it.

kspace keeps the central frequencies in plane; slab averages over thicker slices; spline takes cubic-spline samples at
the centres of thicker slices; subsample keeps every n-th slice, as McGinnis et al. 2023 simulate thick slices.

  multicontrastsr degrade t2.nii.gz -o t2_low.nii.gz --kind kspace --scale 3
"""

from __future__ import annotations

import argparse

from .console import add_output, add_replace_nan, amended, one_or_three, place_of, print_json, running, warn


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command to `parser`."""
    parser.add_argument("volume", help="the scan to degrade")
    add_output(parser)
    parser.add_argument("--kind", default="kspace", help="kspace (default), slab, spline or subsample")
    parser.add_argument(
        "--scale", type=float, nargs="+", default=[2.0], metavar="S", help="one factor, or three: slices rows columns"
    )
    parser.add_argument(
        "--axis",
        help="the one array axis to degrade: 0, 1, 2 or k, j, i (default: in plane for kspace, else across slices)",
    )
    parser.add_argument("--magnitude", action="store_true", help="take the absolute value, as scanners do")
    add_replace_nan(parser)


def run(parsed: argparse.Namespace) -> None:
    """Run the command with the parsed arguments."""
    from ..acquisition.degrade import degrade
    from ..image.volume import warnings_of
    from ..io import check_output, load_volume, save_volume
    from ..pipeline.checks import check_volume

    check_output(parsed.output, (place_of(parsed.volume),), overwrite=parsed.overwrite)
    with running(parsed) as callbacks:
        volume = amended(parsed.volume, replace_nan=parsed.replace_nan)
        volume = load_volume(volume) if isinstance(volume, str) else volume
        check_volume(volume, "Volume")
        low = degrade(volume, parsed.kind, one_or_three(parsed.scale), parsed.axis, magnitude=parsed.magnitude)
        path = str(save_volume(low, parsed.output, **callbacks))
    warn(warnings_of(volume.metadata))
    if parsed.json:
        print_json({"files": [path], "shape": list(low.shape), "spacing": list(low.spacing)})
    else:
        print(f"{low}\n{path}")
