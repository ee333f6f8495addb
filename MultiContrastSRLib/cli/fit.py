"""Fit a coordinate network to the scans of one patient, and save it.

The first scan is the target, each further one another contrast; files joined by commas are views of one contrast.
The model goes to -o FILE (.safetensors), its description next to it (.json). `super-resolve --model FILE` renders it.

  multicontrastsr fit t1.nii.gz flair.nii.gz -o patient.safetensors
  multicontrastsr fit t2.nii.gz t1_axial.nii.gz,t1_coronal.nii.gz -o patient.safetensors --option preset=balanced
  multicontrastsr super-resolve t1.nii.gz flair.nii.gz -o t1_sr.nii.gz --spacing 1 --model patient.safetensors
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from .console import add_overwrite, parse_options, place_of, print_json, running, warn

if TYPE_CHECKING:
    from ..image.volume import Volume
    from ..inr.fitting import Fit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this verb."""
    parser.add_argument("scans", nargs="+", help="the target, then other contrasts; views of one joined by commas")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="the model (.safetensors)")
    parser.add_argument("--from", dest="earlier", metavar="FILE", help="continue from a model of the same scans")
    parser.add_argument("--curve", metavar="FILE", help="draw the curve of the fit (.png, .svg or .pdf)")
    parser.add_argument(
        "--register", default="auto", help="auto (default), off or on: rigid registration to the target"
    )
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:N, mps or xpu")
    parser.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="an option of subject-inr; repeatable"
    )
    add_overwrite(parser)


def run(parsed: argparse.Namespace) -> None:
    """Run the verb."""
    from pathlib import Path

    from ..core.devices import resolve_device
    from ..core.errors import FileWriteError, OptionError
    from ..io.files import check_places
    from ..io.formats import check_figure
    from ..methods import get

    method = get("subject-inr")
    chosen = method.check_options(parse_options(method.name, parsed.option))
    if chosen["model"]:
        raise OptionError(f"Option 'model' is {chosen['model']!r}; expected none, for `fit` makes one. See --from.")
    groups = [text.split(",") for text in parsed.scans]
    inputs = tuple(place_of(name) for group in groups for name in group)
    place = Path(parsed.output)
    if place.suffix != ".safetensors":
        raise FileWriteError(f"Output {place} has an unknown extension; expected .safetensors. Rename it.")
    places = {"-o": place, "the description of -o": place.with_suffix(".json")}
    if parsed.curve:
        places["--curve"] = Path(parsed.curve)
        check_figure(places["--curve"])
    check_places(places, inputs, overwrite=parsed.overwrite)
    method.check_available()
    from ..inr.model import SubjectModel

    SubjectModel.check_place(place)
    device, note = resolve_device(parsed.device, method.devices, method.name)
    with running(parsed) as callbacks:
        fitted, warnings = _fit(groups, chosen, parsed, device, callbacks)
        files = [str(path) for path in fitted.model.save(place)]
        if parsed.curve and fitted.curve:
            from ..inr.curve_plot import draw_curve

            files.append(str(draw_curve(fitted.curve, parsed.curve)))
    if parsed.curve and not fitted.curve:
        warnings.append(f"{parsed.curve} was not written: the network was not fitted, so there is no curve.")
    warn([*warnings, *fitted.warnings, *([note] if note else [])])
    if parsed.json:
        print_json({"files": files, "notes": fitted.notes, **fitted.model.provenance})
        return
    print(*fitted.notes, *files, sep="\n")


def _fit(
    groups: list[list[str]], chosen: dict, parsed: argparse.Namespace, device: str, callbacks: dict
) -> tuple[Fit, list[str]]:
    """(the fit, warnings)."""
    from ..core.memory import check_memory
    from ..core.progress import Monitor
    from ..inr.fitting import fit
    from ..inr.model import SubjectModel
    from ..io import load_volume
    from ..methods.joint_tv import COPIES, joint_lattice
    from ..methods.subject_inr import settings
    from ..pipeline.checks import check_volume
    from ..registration.align import align

    monitor = Monitor(**callbacks, stage="load")
    loaded = [[load_volume(name) for name in group] for group in groups]
    target = loaded[0][0]
    contrasts, warnings = [], []
    for group in loaded:
        placed = []
        for scan in group:
            check_volume(scan, "Target" if scan is target else "Reference")
            if scan is not target:
                alignment = align(target, scan, parsed.register, monitor.part(0.0, 0.1, "register").silent)
                warnings += alignment.warnings
                scan = alignment.reference
            if scan is not None:
                placed.append(scan)
        if placed:
            contrasts.append(placed)
    finest = min((scan for group in contrasts for scan in group if scan is not target), key=_voxel, default=None)
    _, lattice, _ = joint_lattice(target, finest, (True, True, True))
    copies = COPIES * max(2, len(contrasts)) / 2
    check_memory("The lattice of the subject-specific fit", lattice.shape, copies, "Crop the target first.")
    earlier = SubjectModel.load(parsed.earlier) if parsed.earlier else None
    part = monitor.part(0.1, 1.0, "fit")
    return fit(contrasts, lattice, settings(chosen), device=device, earlier=earlier, monitor=part), warnings


def _voxel(scan: Volume) -> float:
    spacing = scan.spacing
    return spacing[0] * spacing[1] * spacing[2]
