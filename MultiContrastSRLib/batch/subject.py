"""The work of one subject: every image that the recipe asks for, with a log and a record."""

from __future__ import annotations

import platform
import time
import traceback
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from ..core.errors import CancelledError, MultiContrastSRError
from ..core.progress import Monitor
from ..image.grid import Grid
from ..image.volume import Volume
from ..io import load_volume
from ..methods import get
from ..pipeline import output_grid, prepare, super_resolve
from ..pipeline.result import Result
from . import derivative
from .locks import locked
from .naming import picture_output
from .plan import Image, Subject
from .provenance import fingerprint, inputs_of, weights_of
from .recipe import Recipe
from .records import (
    DONE,
    FAILED,
    MISSING,
    STATE,
    UNCHANGED,
    ImageRecord,
    Record,
    make_folder,
    remove_partial,
    split_remedy,
    write_record,
)
from .scans import SubjectError


def process(subject: Subject, recipe: Recipe, output: Path, monitor: Monitor) -> Record:
    """Make what is missing of `subject`, and write its record. Another process that works on it is waited for.

    Raises:
        CancelledError: nothing of the image in work is left; images before it are kept.
        FileWriteError: log or record cannot be written.
    """
    begin, started = time.monotonic(), datetime.now(timezone.utc).isoformat(timespec="seconds")
    log_name = f"logs/{subject.name}.log"
    with ExitStack() as stack:
        stack.enter_context(locked(output / STATE / "locks" / f"{subject.name}.lock", monitor.cancelled))
        make_folder(output / "logs")
        log = stack.enter_context(open(output / log_name, "a", encoding="utf-8"))
        _say(log, f"{subject.name} on {platform.node()}")
        remove_partial([place for image in subject.images for place in _folders(output, image)])
        images = [failure(target, SubjectError(text)) for target, text in subject.problems]
        images += [ImageRecord(each, state=MISSING, warnings=("No scan was found.",)) for each in subject.missing]
        for number, image in enumerate(subject.images):
            part = monitor.part(number / len(subject.images), (number + 1) / len(subject.images))
            images.append(_image(subject, image, recipe, output, part, log))
        record = Record(
            subject.name,
            subject.participant,
            subject.session,
            tuple(images),
            started,
            round(time.monotonic() - begin, 2),
            platform.node(),
            log_name,
            recipe.digest,
        )
        _say(log, f"{record.state} after {record.seconds:.1f} s")
        write_record(output, record)
    return record


def _image(subject: Subject, image: Image, recipe: Recipe, output: Path, monitor: Monitor, log: TextIO) -> ImageRecord:
    """One image: found finished, made, or failed. Only a cancelled run raises."""
    begin = time.monotonic()
    try:
        inputs, weights = inputs_of(image), weights_of(recipe)
        mark = fingerprint(recipe, inputs, weights)
        sidecar = derivative.finished(output, image, mark)
        state = UNCHANGED
        if sidecar is None:
            state = DONE
            result, volume = _compute(image, recipe, monitor.part(0.0, 0.9))
            saving = monitor.part(0.9, 1.0, "save")
            sidecar = derivative.write(
                output, image, recipe, result, volume, inputs, weights, mark, subject.bids, saving
            )
            _say(log, f"{image.target.label}: {result.report.summary()}")
            for text in (*result.report.notes, *result.report.warnings):
                _say(log, f"{image.target.label}: {text}")
        monitor.update(1.0)
        return _record(image, state, sidecar, time.monotonic() - begin)
    except CancelledError:
        _say(log, f"{image.target.label}: cancelled")
        raise
    except Exception as error:  # whatever it is, the other subjects go on
        _say(log, f"{image.target.label}: {error}")
        if not isinstance(error, MultiContrastSRError):
            log.write(traceback.format_exc())
        return failure(image.target.label, error, image.reference.label if image.reference else "")


def _compute(image: Image, recipe: Recipe, monitor: Monitor) -> tuple[Result, Volume]:
    """(result of the pipeline, the volume to write): they differ where the grid is the reference's."""
    target = load_volume(image.target.path)
    reference = load_volume(image.reference.path) if image.reference else None
    settings: dict[str, Any] = {
        "method": recipe.method,
        "register": recipe.register,
        "data_consistency": recipe.consistency,
        "device": recipe.device,
        "cancel": monitor.cancelled,
        **recipe.options,
    }
    # a target that is itself the only reference is rendered on its own grid
    field = reference if recipe.grid == "reference" and reference is not None else target
    scale = recipe.scale if len(recipe.scale) == 3 else recipe.scale[0] if recipe.scale else None
    spacing = min(field.spacing) if isinstance(recipe.spacing, str) else recipe.spacing
    if recipe.grid == "target":
        result = super_resolve(target, reference, scale=scale, spacing=spacing, progress=monitor.report, **settings)
        volume = result.volume
    else:
        grid = field.grid if scale is None and spacing is None else output_grid(field, scale, spacing)
        run = prepare(target, reference, grid=grid, progress=monitor.part(0.0, 0.9).report, **settings)
        # the reference was moved onto the target; its grid moves along, and the image stays where the reference was
        transform = np.array(run.report.alignment.get("transform_ras", np.eye(4)))
        moved = Grid(grid.shape, transform @ grid.affine)
        rendered = run.render(moved, progress=monitor.part(0.9, 1.0).report, cancel=monitor.cancelled)
        result = Result(rendered, run.report_for(moved), run)
        volume = Volume.on(grid, rendered.array, rendered.name, rendered.metadata)
    needs = get(recipe.method).reference != "none" and recipe.unused_reference == "fail"
    if needs and result.report.alignment.get("used") is False:
        raise SubjectError(" ".join(text for text in result.report.warnings if "not used" in text))
    return result, volume


def _record(image: Image, state: str, sidecar: Mapping, seconds: float) -> ImageRecord:
    report = sidecar[derivative.KEY]["Report"]
    similarity = report["alignment"].get("similarity")
    return ImageRecord(
        image.target.label,
        image.reference.label if image.reference else "",
        image.output,
        state,
        warnings=tuple(report["warnings"]),
        similarity=None if similarity is None else float(similarity),
        device=str(report["device"]),
        seconds=round(seconds, 2),
    )


def failure(target: str, error: BaseException, reference: str = "") -> ImageRecord:
    """The record of an image that could not be made."""
    if isinstance(error, MultiContrastSRError):
        message, remedy = split_remedy(str(error))
    elif isinstance(error, MemoryError):
        message, remedy = f"Memory ran out ({error}).", "Choose a coarser spacing, or fewer processes (--n-procs)."
    elif isinstance(error, OSError):
        message = f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}."
        remedy = "Check the disk and the permissions."
    else:
        message = f"{type(error).__name__}: {error}."
        remedy = "This is a fault of the program; the log shows where."
    return ImageRecord(target, reference, state=FAILED, message=message, remedy=remedy)


def _folders(output: Path, image: Image) -> list[Path]:
    return [(output / image.output).parent, (output / picture_output(image.output, "edges")).parent]


def _say(log: TextIO, text: str) -> None:
    log.write(f"{datetime.now().isoformat(sep=' ', timespec='seconds')} {text}\n")
    log.flush()
