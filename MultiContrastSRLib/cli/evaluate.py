"""Evaluate methods: degrade scans, super-resolve them, compare with the truth.

One pair of files, or pairs of contrasts of all subjects in a folder:

  multicontrastsr evaluate t2.nii.gz t1.nii.gz --scales 2 2.7 2x1.3 --figure errors.png
  multicontrastsr evaluate --data open_ms_data --subjects patient26 --pairs T2:T1,FLAIR:T1 --preset p3
  multicontrastsr evaluate --data mine --scans "{subject}/anat/*_{contrast}.nii.gz" --pairs T2w:T1w
  multicontrastsr evaluate t2.nii.gz t1.nii.gz --methods guided guided:strength=0.5,label=half
  multicontrastsr evaluate t2.nii.gz t1.nii.gz --methods guided --probe lesions

Presets: p1 (Dual-ArbNet's protocol), p2 (MINet's), p3 (in-plane, every third slice), p4 (McGinnis et al.: two contrasts
in orthogonal thick views, every n-th slice kept, both super-resolved). Probes: lesions (those of the target alone must
be kept, those of the reference alone must not leak) and robustness (blank, unrelated, shifted, partial references).
"""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import InputError
from .console import add_overwrite, place_of, running, warn
from .engines import add_engine, engine_of
from .rows import HELP, parse_row

if TYPE_CHECKING:
    from ..evaluation import Evaluation, Layout, Study

_TABLES = {"markdown": "markdown", "csv": "csv", "json_file": "json"}
_FOLDER_ONLY = ("subjects", "pairs", "scans", "lesion_masks", "masks")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this verb."""
    parser.add_argument("target", nargs="?", help="the truth")
    parser.add_argument("reference", nargs="?", help="another contrast of the same patient")
    parser.add_argument("--protocol", "--preset", default="p3", help="p1, p2, p3 (default) or p4")
    parser.add_argument("--methods", "--method", nargs="+", action="extend", metavar="ROW", help=HELP)
    parser.add_argument(
        "--scales", type=scale, nargs="+", metavar="S", help="S, or ROWSxCOLUMNS; default: the protocol's"
    )
    parser.add_argument("--degradation", help="kspace, slab, spline or subsample; default: the protocol's")
    parser.add_argument("--axis", help="the slice axis: 0, 1, 2 or k, j, i, or axial, coronal or sagittal")
    parser.add_argument("--reference-axis", help="the reference's, if the protocol degrades it too (p4)")
    parser.add_argument("--slices", type=int, metavar="N", help="score every N-th slice")
    parser.add_argument(
        "--alone", action="store_true", help="prepare only the scored slices, each by itself: much faster"
    )
    parser.add_argument("--mask", metavar="FILE", help="foreground mask")
    parser.add_argument("--lesions", metavar="FILE", help="lesion mask")
    parser.add_argument("--register", default="off", help="off (default), auto or on")
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:N, mps or xpu")
    parser.add_argument("--probe", choices=("lesions", "robustness"), help="run a probe instead of the usual scores")
    folder = parser.add_argument_group("a folder of subjects; those that are incomplete are left out, and named")
    folder.add_argument("--data", metavar="FOLDER", help="instead of files; laid out as open_ms_data, or see --scans")
    folder.add_argument("--subjects", nargs="+", metavar="NAME", help="default: all that have every contrast")
    folder.add_argument("--pairs", nargs="+", metavar="TARGET:REFERENCE", help="default: the protocol's")
    folder.add_argument("--scans", metavar="TEMPLATE", help="paths below the folder: {subject}, {contrast}, *, **")
    folder.add_argument("--lesion-masks", metavar="TEMPLATE", help="likewise, of lesion masks, if there are any")
    add_engine(folder)
    folder.add_argument("--masks", metavar="TEMPLATE", help="likewise, of foreground masks, if there are any")
    parser.add_argument("--against", metavar="ROW", help="gains over this row; default: the better of sinc and guided")
    parser.add_argument("--table", default="text", choices=("text", "markdown", "csv"), help="how to print")
    for option, kind in _TABLES.items():
        parser.add_argument(_flag(option), metavar="FILE", help=f"also write the tables as {kind}")
    parser.add_argument("--figure", metavar="FILE", help="also draw crops and error maps (.png, .pdf, .svg)")
    add_overwrite(parser)


def scale(text: str) -> float | tuple[float, float]:
    """A factor, or two (ROWSxCOLUMNS); argparse names this function in its message."""
    from ..evaluation.protocols.scales import parse_scale

    return parse_scale(text)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def run(parsed: argparse.Namespace) -> None:
    """Run the evaluation and print its table."""
    from ..io.files import check_places

    _check_arguments(parsed)
    inputs = tuple(place_of(given) for given in (parsed.target, parsed.reference, parsed.mask, parsed.lesions))
    tables = {option: Path(getattr(parsed, option)) for option in _TABLES if getattr(parsed, option)}
    outputs = {_flag(option): place for option, place in tables.items()}
    check_places({**outputs, **_figures(parsed)}, inputs, overwrite=parsed.overwrite)
    with running(parsed) as callbacks:
        outcome = _folder(parsed, callbacks) if parsed.data else _files(parsed, callbacks)
        for option, place in tables.items():
            _write(place, outcome.table(_TABLES[option]))
        if parsed.figure:
            outcome.figure(parsed.figure)
    warn(outcome.warnings)
    print(outcome.table("json" if parsed.json else parsed.table), end="")


def _check_arguments(parsed: argparse.Namespace) -> None:
    if bool(parsed.target) == bool(parsed.data):
        raise InputError(
            f"Target is {parsed.target!r} and --data is {parsed.data!r}; expected one of them: files, or a folder of "
            "subjects."
        )
    wrong = [name for name in (("mask", "lesions") if parsed.data else _FOLDER_ONLY) if getattr(parsed, name)]
    if wrong:
        flags = ", ".join(map(_flag, wrong))
        raise InputError(
            f"{flags} does not go with {'--data' if parsed.data else 'files'}; expected --masks and --lesion-masks "
            "with a folder, --mask and --lesions with files."
        )
    if parsed.probe and parsed.figure:
        raise InputError(f"Probe {parsed.probe!r} draws no figure; expected --figure without --probe.")


def _settings(parsed: argparse.Namespace) -> dict[str, object]:
    from ..evaluation.method_under_test import methods_under_test

    rows = None if parsed.methods is None else [parse_row(text) for text in parsed.methods]
    if parsed.probe == "robustness":
        from ..evaluation import robustness_rows

        rows = robustness_rows(rows or ["guided"])
    if parsed.against and parsed.against not in (known := [method.row for method in methods_under_test(rows)]):
        raise InputError(f"--against is {parsed.against!r}; expected one of the rows {', '.join(known)}.")
    names = ("protocol", "scales", "degradation", "axis", "reference_axis", "slices", "alone", "register", "device")
    return {"methods": rows, **{name: getattr(parsed, name) for name in names}}


def _layout(parsed: argparse.Namespace) -> Layout:
    from ..evaluation import Layout

    given = {"scans": parsed.scans, "lesions": parsed.lesion_masks, "masks": parsed.masks}
    return Layout(Path(parsed.data), **{name: template for name, template in given.items() if template})


def _pairs(parsed: argparse.Namespace) -> list[tuple[str, str]] | None:
    from ..evaluation.layout import parse_pairs

    return None if parsed.pairs is None else list(parse_pairs(parsed.pairs))


def _subjects(parsed: argparse.Namespace) -> list[str] | None:
    return None if parsed.subjects is None else [name for text in parsed.subjects for name in text.split(",") if name]


def _folder(parsed: argparse.Namespace, callbacks: dict) -> object:
    from ..batch.cohort import evaluate_cohort, find_cohort
    from ..batch.engine import SerialEngine
    from ..evaluation import RobustnessFindings, probe_lesions_of

    where = _layout(parsed), _subjects(parsed), _pairs(parsed)
    if parsed.probe == "lesions":
        return probe_lesions_of(*where, **_settings(parsed), **callbacks)
    layout, subjects, pairs = where
    several = parsed.n_procs > 1 or parsed.scheduler or parsed.dask_local
    engine = engine_of(parsed) if several else SerialEngine(callbacks["progress"])
    settings, cancelled = _settings(parsed), callbacks["cancel"]
    shown = (lambda evaluation: None) if parsed.quiet else _print_summary
    cohort = find_cohort(layout, subjects, pairs, settings)
    study, left_out = evaluate_cohort(layout, cohort, pairs, engine, settings, shown, cancelled)
    warn(f"Subject {name} was left out: {reason}" for name, reason in left_out.items())
    return RobustnessFindings(study) if parsed.probe else _with_baseline(study, parsed)


def _files(parsed: argparse.Namespace, callbacks: dict) -> object:
    from ..evaluation import RobustnessFindings, evaluate, evaluate_bidirectional, probe_lesions, study_of
    from ..evaluation.cohort import bidirectional_settings
    from ..evaluation.protocols.protocol import get_protocol

    settings = {**_settings(parsed), "mask": parsed.mask, "lesions": parsed.lesions, **callbacks}
    files = parsed.target, parsed.reference
    if parsed.probe == "lesions":
        return probe_lesions(*files, **settings)
    if get_protocol(parsed.protocol).bidirectional and parsed.reference:
        study = study_of(evaluate_bidirectional(*files, **bidirectional_settings(settings)))
    else:
        study = study_of(evaluate(*files, **settings))
    return RobustnessFindings(study) if parsed.probe else _with_baseline(study, parsed)


def _with_baseline(study: Study, parsed: argparse.Namespace) -> Study:
    return replace(study, against=parsed.against) if parsed.against else study


def _figures(parsed: argparse.Namespace) -> dict[str, Path]:
    """The files of all figures that will be drawn, to be checked before the work: of which → where."""
    from ..io.formats import check_figure

    if not parsed.figure:
        return {}
    place = Path(parsed.figure)
    check_figure(place)
    if not parsed.data:
        return {"--figure": place}
    from ..batch.cohort import find_cohort
    from ..evaluation.cohort import find_pairs
    from ..evaluation.protocols.protocol import get_protocol
    from ..evaluation.study import figure_name

    protocol, layout, pairs = get_protocol(parsed.protocol), _layout(parsed), _pairs(parsed)
    cohort = find_cohort(layout, _subjects(parsed), pairs, _settings(parsed))
    found = find_pairs(layout, protocol, cohort.complete, pairs)
    names = [(one.subject, pair) for one in found for pair in one.directions(protocol)]
    if len(names) == 1:
        return {"--figure": place}
    return {f"--figure of {' '.join((subject, *pair))}": figure_name(place, subject, *pair) for subject, pair in names}


def _print_summary(found: Evaluation) -> None:
    """Print one line on standard error for an evaluation that is done."""
    from ..evaluation.protocols.scales import scale_name

    gains = []
    for scale in found.scales if "psnr" in found.metrics else ():
        base = f"×{scale_name(scale)} sinc {found.mean(scale, 'sinc', 'psnr'):.2f} dB"
        others = [row for row in found.rows if row != "sinc"]
        gains.append(", ".join([base, *(f"{r} {found.difference(scale, r).mean:+.2f}" for r in others)]))
    with suppress(BrokenPipeError):
        print(f"\r{found.subject} {found.title}: {'; '.join(gains) or 'no PSNR'}", file=sys.stderr, flush=True)


def _write(path: Path, text: str) -> None:
    from ..io.files import replaced_together

    with replaced_together(path) as (partial,):
        partial.write_text(text, encoding="utf-8")
