"""Measure methods: degrade a scan, super-resolve it, compare with the truth.

multicontrastsr evaluate t2.nii.gz t1.nii.gz --scales 2 3 4 --figure errors.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

from .console import add_overwrite, place_of, running

_TABLES = ("markdown", "csv")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What this verb takes."""
    parser.add_argument("target", help="the truth")
    parser.add_argument("reference", nargs="?", help="another contrast of the same patient")
    parser.add_argument("--protocol", default="p3", help="p1, p2, p3 (default) or p4")
    parser.add_argument("--methods", nargs="+", metavar="NAME", help="default: all classical methods")
    parser.add_argument("--scales", type=float, nargs="+", metavar="S", help="default: the protocol's")
    parser.add_argument("--degradation", help="kspace, slab or spline; default: the protocol's")
    parser.add_argument("--axis", help="the slice axis: k, j, i, axial, coronal or sagittal")
    parser.add_argument("--slices", type=int, metavar="N", help="score every N-th slice")
    parser.add_argument("--mask", metavar="FILE", help="foreground mask")
    parser.add_argument("--lesions", metavar="FILE", help="lesion mask")
    parser.add_argument("--register", default="off", help="off (default), auto or on")
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda or cuda:N")
    parser.add_argument("--table", default="text", choices=("text", *_TABLES), help="how to print")
    for kind in _TABLES:
        parser.add_argument(f"--{kind}", metavar="FILE", help=f"also write the tables as {kind}")
    parser.add_argument("--figure", metavar="FILE", help="also draw crops and error maps (.png, .pdf, .svg)")
    add_overwrite(parser)


def run(parsed: argparse.Namespace) -> None:
    """Do it."""
    from ..evaluation import evaluate
    from ..io.files import check_place

    inputs = tuple(place_of(given) for given in (parsed.target, parsed.reference, parsed.mask, parsed.lesions))
    for output in (*(getattr(parsed, kind) for kind in _TABLES), parsed.figure):
        if output:
            check_place(Path(output), inputs, overwrite=parsed.overwrite)
    with running(parsed) as callbacks:
        outcome = evaluate(
            parsed.target,
            parsed.reference,
            methods=parsed.methods,
            protocol=parsed.protocol,
            scales=parsed.scales,
            degradation=parsed.degradation,
            axis=parsed.axis,
            mask=parsed.mask,
            lesions=parsed.lesions,
            slices=parsed.slices,
            register=parsed.register,
            device=parsed.device,
            **callbacks,
        )
        for kind in _TABLES:
            if getattr(parsed, kind):
                _write(Path(getattr(parsed, kind)), outcome.table(kind))
        if parsed.figure:
            outcome.figure(parsed.figure)
    print(outcome.table("json" if parsed.json else parsed.table), end="")


def _write(path: Path, text: str) -> None:
    from ..io.files import replaced_together

    with replaced_together(path) as (partial,):
        partial.write_text(text, encoding="utf-8")
