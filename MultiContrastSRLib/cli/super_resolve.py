"""Super-resolve a scan with the help of a scan of another contrast.

The result is written to -o FILE, its report to the same name with .json. Inputs are NIfTI, NRRD or MetaImage files,
or a folder of one DICOM series (folder::seriesUID where it holds several). `multicontrastsr methods` lists the methods,
`multicontrastsr methods NAME` the options of one.

  multicontrastsr super-resolve t2.nii.gz t1.nii.gz -o t2_sr.nii.gz --scale 2
  multicontrastsr super-resolve flair.nii.gz t1.nii.gz -o flair_1mm.nii.gz --spacing 1
  multicontrastsr super-resolve t2.nii.gz t1.nii.gz -o lesion.nii.gz --scale 4 --region 10 -20 35 60
"""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import InputError
from ..image.region import Region
from .console import (
    add_output,
    add_replace_nan,
    amended,
    one_or_three,
    parse_options,
    place_of,
    print_json,
    running,
    warn,
)

if TYPE_CHECKING:
    from ..pipeline.result import Result


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command to `parser`."""
    parser.add_argument("target", help="the scan to sharpen")
    parser.add_argument("reference", nargs="?", help="a sharper scan of another contrast of the same patient")
    add_output(parser)
    parser.add_argument("--method", default="guided", help="a name from `multicontrastsr methods` (default guided)")
    parser.add_argument("--model", metavar="FILE", help="render a model of `multicontrastsr fit` (method subject-inr)")
    parser.add_argument("--companion", metavar="FILE", help="also write the reference, by methods that improve both")
    parser.add_argument("--dicom", metavar="FOLDER", help="also write a derived DICOM series into a new folder")
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--scale",
        type=float,
        nargs="+",
        metavar="S",
        help="one factor (in plane for thick slices), or three: slices rows columns (default 2)",
    )
    size.add_argument("--spacing", type=float, metavar="MM", help="isotropic voxels of this size instead")
    parser.add_argument(
        "--region",
        type=float,
        nargs="+",
        metavar="MM",
        help="only a box of the result: its centre R A S, then its size (one edge, or three along R A S)",
    )
    parser.add_argument(
        "--register", default="auto", help="auto (default), off or on: rigid registration of the reference"
    )
    parser.add_argument(
        "--no-consistency", action="store_true", help="do not put the measured data back into the result"
    )
    parser.add_argument(
        "--slice-thickness", type=float, metavar="MM", help="of the target, where its file does not state it"
    )
    add_replace_nan(parser)
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:N, mps or xpu")
    parser.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="an option of the method; repeatable"
    )


def run(parsed: argparse.Namespace) -> None:
    """Run the command with the parsed arguments."""
    from ..io import check_output, report_path
    from ..io.dicom_export import check_folder
    from ..io.files import check_different, check_places
    from ..pipeline import super_resolve
    from ..pipeline.result import check_report

    _check_reference(parsed)
    region = _region(parsed.region)
    inputs = (place_of(parsed.target), place_of(parsed.reference))
    place = check_output(parsed.output, inputs, overwrite=parsed.overwrite)
    places = {"-o": place, "the report of -o": report_path(place)}
    second = None
    if parsed.companion:
        second = check_output(parsed.companion, inputs, overwrite=parsed.overwrite)
        places |= {"--companion": second, "the report of --companion": report_path(second)}
    check_places(places, inputs, overwrite=parsed.overwrite)
    for image in (place, second) if second else (place,):
        check_report(image)
    if parsed.dicom:
        parsed.dicom = check_folder(parsed.dicom)
        check_different({**places, "--dicom": parsed.dicom})
    if parsed.model:
        parsed.method, parsed.option = "subject-inr", [*parsed.option, f"model={parsed.model}"]
    options = parse_options(parsed.method, parsed.option)
    with ExitStack() as outputs, running(parsed) as callbacks:  # all outputs replace earlier ones at the end, or none
        result = super_resolve(
            amended(parsed.target, slice_thickness=parsed.slice_thickness, replace_nan=parsed.replace_nan),
            amended(parsed.reference, replace_nan=parsed.replace_nan) if parsed.reference else None,
            method=parsed.method,
            scale=one_or_three(parsed.scale),
            spacing=parsed.spacing,
            region=region,
            register=parsed.register,
            data_consistency=not parsed.no_consistency,
            device=parsed.device,
            **callbacks,
            **options,
        )
        other = result.companion(**callbacks) if second else None
        series = [outputs.enter_context(_series(result, parsed.dicom, callbacks))] if parsed.dicom else []
        files = [*outputs.enter_context(result.saving(place, **callbacks)), *series]
        if other is not None:
            files += outputs.enter_context(other.saving(second, **callbacks))
    warn(result.report.warnings)
    if second and other is None:
        warn([f"{second} was not written: method {parsed.method} made no second image of these scans."])
    if parsed.json:
        print_json({"files": [str(path) for path in files], **result.report.as_dict()})
        return
    for note in result.report.notes:
        print(note)
    print(result.report.summary())
    print(*files, sep="\n")


@contextmanager
def _series(result: Result, folder: Path, callbacks: Mapping[str, Any]) -> Iterator[Path]:
    """The result as a DICOM series, with patient and study of the target where that is DICOM; the folder.

    Where the block ends with an error, the folder is again as it was before: absent, or empty.
    """
    from ..io.dicom_derived import Sources
    from ..io.dicom_export import files_of, save_series

    scans = result.prepared.target, result.prepared.reference if result.report.reference_used else None
    sources = Sources(*([] if scan is None else files_of(scan.metadata) for scan in scans))
    existed = folder.exists()
    save_series(result.volume, folder, sources=sources, derivation=result.report.summary(), **callbacks)
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        if existed:
            folder.mkdir()
        raise


def _region(values: Sequence[float] | None) -> Region | None:
    """A `--region` of four numbers or of six."""
    if values is None:
        return None
    if len(values) not in (4, 6):
        raise InputError(
            f"--region has {len(values)} numbers; expected 4 (centre R A S and edge in mm) or 6 (centre and three "
            "edges), for example --region 10 -20 35 60."
        )
    return Region.of(values[:3], values[3] if len(values) == 4 else values[3:])


def _check_reference(parsed: argparse.Namespace) -> None:
    names = (parsed.reference or "").split(",")
    if len(names) > 1 and not os.path.lexists(parsed.reference):
        raise InputError(
            f"Reference {parsed.reference!r} names {len(names)} files; expected one. Several views of a contrast are "
            f"combined by `multicontrastsr fit {parsed.target} {parsed.reference} -o patient.safetensors`, whose model "
            "super-resolve renders with --model patient.safetensors."
        )
