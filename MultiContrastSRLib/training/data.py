"""From scans on disk to a data pack: co-registered contrasts as stacks of slices, and label maps.

Truth is what was measured: scans that the scanner zero-filled are first cropped to the part of k-space that it filled.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..acquisition.model import AcquisitionModel, degrade
from ..core.errors import FileReadError, InputError
from ..core.progress import Monitor
from ..image.volume import Volume
from ..io import load_volume
from ..registration.align import align
from ..registration.resample import resample_reference
from .pack import Pack, Stack
from .recipe import Labels, Recipe, Source

HELD_OUT = "open_ms_data/*/*/patient12"  # for demonstration and test: nothing is ever trained or chosen on it
_SUBJECT = "{subject}"


def build_pack(recipe: Recipe, folder: str | Path, monitor: Monitor | None = None) -> Pack:
    """Read, register and cut what `recipe` names below `folder`.

    Raises:
        InputError: a source that finds nothing, a subject in both parts, or one that is held out.
        FileReadError: no such folder, or a scan that cannot be read.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise FileReadError(
            f"Data folder {root} does not exist; give an existing one (--data, or MULTICONTRASTSR_DATA)."
        )
    monitor = monitor or Monitor(stage="data")
    found = [
        (part, subject, files)
        for source in recipe.sources
        for part, subject, files in _parted(source, subjects(source, root))
    ]
    places = {part: {f.parent / s for source, s, files in found if source.part == part for f in files.values()}
              for part in ("train", "validation")}  # fmt: skip
    both = sorted(path.name for path in places["train"] & places["validation"])
    if both:
        raise InputError(
            f"Subject {both[0]!r} is in the training and in the validation data; list it in one of them (`without`)."
        )
    stacks: list[Stack] = []
    for number, (source, subject, files) in enumerate(found):
        monitor.update(0.9 * number / len(found))
        step = monitor.part(0.9 * number / len(found), 0.9 * (number + 1) / len(found))
        stacks += _stacks(source, subject, files, step)
    monitor.update(0.9)
    maps, values = label_maps(recipe.labels, root)
    names = [f"{source.part}: {subject} ({', '.join(files)})" for source, subject, files in found]
    return Pack(tuple(stacks), maps, values, (*names, *([f"label maps: {len(maps)}"] if maps else [])))


def subjects(source: Source, root: Path) -> dict[str, dict[str, Path]]:
    """Subject → contrast → file, of those that have at least two of the contrasts.

    Raises:
        InputError: nothing found, a subject that is missing or held out, or several files for one contrast.
    """
    known: dict[str, dict[str, Path]] = {}
    for contrast, pattern in source.contrasts.items():
        if _SUBJECT not in pattern:
            raise InputError(
                f"Path of contrast {contrast!r} is {pattern!r}; expected one with {_SUBJECT} where the subject stands, "
                f"for example {_SUBJECT}/{contrast}.nii.gz."
            )
        before, after = (_expression(part) for part in pattern.split(_SUBJECT, 1))
        expression = re.compile(f"{before}(?P<subject>[^/]+?){after}".replace(re.escape(_SUBJECT), "(?P=subject)"))
        for path in sorted(root.glob(pattern.replace(_SUBJECT, "*"))):
            match = expression.fullmatch(path.relative_to(root).as_posix())
            if match is None or (source.subjects and match["subject"] not in source.subjects):
                continue
            if match["subject"] in source.without:
                continue
            if path.match(f"{HELD_OUT}/*"):
                raise InputError(
                    f"Subject {match['subject']!r} is held out for tests and must train or choose no weights; leave it "
                    "out (`without`)."
                )
            files = known.setdefault(match["subject"], {})
            if contrast in files:
                raise InputError(
                    f"Contrast {contrast!r} of {match['subject']!r} has several files, {files[contrast].name} and "
                    f"{path.name}; make the path {pattern!r} fit one of them."
                )
            files[contrast] = path
    usable = {subject: files for subject, files in sorted(known.items()) if len(files) >= 2}
    absent = sorted(set(source.subjects) - set(usable)) or ([] if usable else ["any"])
    if absent:
        raise InputError(
            f"No two contrasts of subject {absent[0]!r} were found below {root} by {dict(source.contrasts)}; check the "
            "paths and the subjects of the recipe."
        )
    return usable


def _parted(source: Source, found: dict[str, dict[str, Path]]) -> Iterator[tuple[Source, str, dict[str, Path]]]:
    """Every subject with the source as its part has it: some of a training source may validate."""
    count = int(np.ceil(source.validation * len(found)))
    chosen = set(np.linspace(0, len(found) - 1, count).round().astype(int)) if count else set()
    for number, (subject, files) in enumerate(found.items()):
        yield (replace(source, part="validation") if number in chosen else source), subject, files


def _expression(pattern: str) -> str:
    return re.escape(pattern).replace(r"\*", "[^/]*").replace(r"\?", "[^/]")


def _stacks(source: Source, subject: str, files: Mapping[str, Path], monitor: Monitor) -> list[Stack]:
    volumes = {name: load_volume(path) for name, path in files.items()}
    grids = [volume.grid for volume in volumes.values()]
    same = all(g.shape == grids[0].shape and np.allclose(g.affine, grids[0].affine, atol=1e-3) for g in grids)
    if same and source.register == "off":
        return [_together(source, subject, volumes)]
    made = []
    for number, name in enumerate(source.targets or tuple(volumes)):
        if name not in volumes:
            continue
        monitor.update(number / len(volumes))
        stack = _around(source, subject, name, volumes, monitor.silent)
        if stack is not None:
            made.append(stack)
    return made


def _together(source: Source, subject: str, volumes: Mapping[str, Volume]) -> Stack:
    """Contrasts that lie on one grid: every one of them can be the target."""
    volumes = {name: _as_measured(volume, source) for name, volume in volumes.items()}
    shapes = {volume.shape for volume in volumes.values()}
    if len(shapes) > 1:  # zero-filled to different degrees: what all of them hold
        raise InputError(
            f"Contrasts of {subject!r} lie on one grid but were measured at different resolutions; set register to "
            "'auto' for this source, so that each is taken on a grid of its own."
        )
    images = np.stack([_scaled(volume.array) for volume in volumes.values()])
    across = next(iter(volumes.values())).grid.slice_axis
    axes = (0, 1, 2) if source.planes == "all" else (across or 0,)
    images = _cropped(_thinned(images, axes, source.every))
    targets = tuple(i for i, name in enumerate(volumes) if not source.targets or name in source.targets)
    return Stack(subject, source.part, tuple(volumes), targets, axes, images)


def _around(source: Source, subject: str, name: str, volumes: Mapping[str, Volume], monitor: Monitor) -> Stack | None:
    """The contrast `name` on its own grid, the others registered and resampled to it; None when none fits."""
    target = volumes[name]
    measured = _as_measured(target, source)
    contrasts, images = [name], [_scaled(measured.array)]
    for other, volume in volumes.items():
        if other == name:
            continue
        moved = align(target, volume, source.register, monitor).reference
        if moved is None:
            continue
        resampled, _ = resample_reference(moved, measured.grid, measured.grid, monitor)
        contrasts.append(other)
        images.append(_scaled(resampled))
    if len(images) < 2:
        return None
    axes = (measured.grid.slice_axis or 0,)
    array = _cropped(_thinned(np.stack(images), axes, source.every))
    return Stack(f"{subject} {name}", source.part, tuple(contrasts), (0,), axes, array)


def _as_measured(volume: Volume, source: Source) -> Volume:
    """`volume` without the part of k-space that was not measured, and not finer than the source's spacing."""
    model = AcquisitionModel.estimate(volume)
    factors = [
        max(1.0 / axis.support.edge, source.spacing / axis.spacing, 1.0)
        if axis.kind == "kspace" and axis.samples > 1
        else 1.0
        for axis in model.axes
    ]
    return volume if max(factors) < 1.02 else degrade(volume, "kspace", factors)


def _scaled(array: np.ndarray) -> np.ndarray:
    """float16 with 1 at the 99.9th percentile, in steps of 1/2048: finer than any noise, and easier to compress."""
    peak = float(np.percentile(array, 99.9)) or 1.0
    return (np.rint(np.clip(array / peak, -0.25, 4.0) * 2048) / 2048).astype(np.float16)


def _thinned(images: np.ndarray, axes: tuple[int, ...], every: int) -> np.ndarray:
    if every == 1 or len(axes) > 1:
        return images
    return np.ascontiguousarray(np.moveaxis(np.moveaxis(images, axes[0] + 1, 0)[::every], 0, axes[0] + 1))


def _cropped(images: np.ndarray) -> np.ndarray:
    """Without the empty margin that all contrasts share (skull-stripped scans), a few pixels left."""
    shown = np.abs(images).max(axis=0) > 0
    if not shown.any():
        return images
    parts = []
    for axis in range(3):
        index = np.flatnonzero(shown.any(axis=tuple(a for a in range(3) if a != axis)))
        parts.append(slice(max(0, index[0] - 4), index[-1] + 5))
    return np.ascontiguousarray(images[(slice(None), *parts)])


def label_maps(labels: Labels, root: Path) -> tuple[tuple[np.ndarray, ...], tuple[int, ...]]:
    """(maps of indices, the labels' numbers). Raises `InputError` when none are found or there are too many labels."""
    if not labels.files:
        return (), ()
    paths = sorted(root.glob(labels.files))
    if not paths:
        raise InputError(f"No label maps were found by {labels.files!r} below {root}; check the recipe's [labels].")
    if 0 < labels.count < len(paths):
        paths = [paths[i] for i in np.linspace(0, len(paths) - 1, labels.count).round().astype(int)]
    maps = [np.rint(load_volume(path, labels=True).array).astype(np.int32) for path in paths]
    values = np.unique(np.concatenate([np.unique(m) for m in maps]))
    if len(values) > 256:
        raise InputError(f"Label maps hold {len(values)} labels; expected at most 256. Are they scans?")
    indexed = [np.searchsorted(values, m).astype(np.uint8) for m in maps]
    return tuple(indexed), tuple(int(v) for v in values)


def without_background(recipe: Recipe, pack: Pack) -> np.ndarray:
    """Boolean per label index: whether a skull-stripped scan shows it."""
    return ~np.isin(np.array(pack.label_values), (0, *recipe.labels.background))


def split(pack: Pack, part: str) -> Pack:
    """The pack with the stacks of one part only. Raises `InputError` when there are none."""
    stacks = tuple(pack.part(part))
    if not stacks and not (part == "train" and pack.labels):
        raise InputError(f"The data pack holds no scans for {part!r}; give the recipe a source with that part.")
    return replace(pack, stacks=stacks)
