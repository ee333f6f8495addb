"""Building a data pack from scans: co-registered contrasts as stacks of slices, and label maps.

The ground truth is what was measured: zero-filled scans are cropped to the part of k-space that was acquired.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from ...acquisition.degrade import degrade
from ...acquisition.model import AcquisitionModel
from ...core.errors import FileReadError, InputError
from ...core.progress import Monitor
from ...image.resample import resample_reference
from ...image.volume import Volume
from ...io import load_volume
from ...pipeline.checks import check_volume
from ...registration.align import align
from ..recipe import Recipe, Source
from .labels import load_label_maps
from .pack import ContrastStack, Pack
from .pack_recipe import data_settings
from .subjects import SubjectFiles, find_all

_MARGIN = 4  # pixels left around the tissue
_SCANS_SHARE = 0.9  # of the progress; label maps are the rest


def build_pack(
    recipe: Recipe,
    folder: str | Path,
    monitor: Monitor | None = None,
    report: Callable[[str], None] = lambda text: None,
) -> Pack:
    """Read, register and crop the scans of `recipe` below `folder`.

    Label maps are read when the recipe makes synthetic examples, or has no scans to train on.

    Args:
        report: called with a sentence for whatever is left out, and why.

    Raises:
        InputError: a source that finds nothing, a subject in both parts, one that is held out, a scan with voxels that
            are not finite, or nothing to train on.
        FileReadError: the folder does not exist, or a scan cannot be read.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise FileReadError(
            f"Data folder {root} does not exist; give an existing one (--data, or MULTICONTRASTSR_DATA)."
        )
    monitor = monitor or Monitor(stage="data")
    found = find_all(recipe.sources, root)
    stacks: list[ContrastStack] = []
    sources: list[str] = []
    for number, entry in enumerate(found):
        start, stop = (_SCANS_SHARE * n / len(found) for n in (number, number + 1))
        monitor.update(start)
        made = [stack for stack in _stacks(entry, monitor.part(start, stop), report) if _is_usable(stack, report)]
        stacks += made
        contrasts = [name for name in entry.files if any(name in stack.contrasts for stack in made)]
        if made:
            sources.append(f"{entry.source.part}: {entry.subject} ({', '.join(contrasts)})")
    monitor.update(_SCANS_SHARE)
    needs_labels = recipe.augmentation.synthetic > 0 or not any(entry.source.part == "train" for entry in found)
    maps, values = load_label_maps(recipe.labels, root) if needs_labels else ((), ())
    sources += [f"label maps: {len(maps)}"] if maps else []
    pack = Pack(tuple(stacks), maps, values, tuple(sources), data_settings(recipe))
    pack.only("train")
    return pack


def _is_usable(stack: ContrastStack, report: Callable[[str], None]) -> bool:
    if not stack.slices():
        report(
            f"Scans of {stack.name} ({stack.part}) were left out: no slice shows tissue in each of "
            f"{', '.join(stack.contrasts)}."
        )
    return bool(stack.slices())


def _stacks(entry: SubjectFiles, monitor: Monitor, report: Callable[[str], None]) -> Iterator[ContrastStack]:
    source = entry.source
    targets = [name for name in source.targets or entry.files if name in entry.files]
    if not targets:
        report(
            f"Subject {entry.subject} ({source.part}) was left out: it has {', '.join(entry.files)}, and none of the "
            f"source's targets ({', '.join(source.targets)})."
        )
        return
    volumes = {name: load_volume(path) for name, path in entry.files.items()}
    for name, volume in volumes.items():
        check_volume(volume, f"Contrast {name} of {entry.subject},")
    grids = [volume.grid for volume in volumes.values()]
    same = all(g.shape == grids[0].shape and np.allclose(g.affine, grids[0].affine, atol=1e-3) for g in grids)
    if same and source.register == "off":
        yield _stack_on_common_grid(source, entry.subject, volumes)
        return
    for number, name in enumerate(targets):
        monitor.update(number / len(targets))
        stack = _stack_on_grid_of(name, source, entry.subject, volumes, monitor.silent, report)
        if stack is not None:
            yield stack


def _stack_on_common_grid(source: Source, subject: str, volumes: Mapping[str, Volume]) -> ContrastStack:
    """Contrasts that were acquired on one grid: each of them can be the target."""
    volumes = {name: _crop_to_measured(volume, source) for name, volume in volumes.items()}
    shapes = {volume.shape for volume in volumes.values()}
    if len(shapes) > 1:  # zero-filled to different degrees
        raise InputError(
            f"Contrasts of {subject!r} lie on one grid but were measured at different resolutions; set register to "
            "'auto' for this source, so that each is used on its own grid."
        )
    images = np.stack([_normalised(volume.array) for volume in volumes.values()])
    slice_axis = next(iter(volumes.values())).grid.slice_axis
    axes = (0, 1, 2) if source.planes == "all" else (slice_axis or 0,)
    images = _without_margin(_every_nth_slice(images, axes, source.slice_step))
    targets = tuple(i for i, name in enumerate(volumes) if not source.targets or name in source.targets)
    return ContrastStack(subject, source.part, tuple(volumes), targets, axes, images)


def _stack_on_grid_of(
    name: str,
    source: Source,
    subject: str,
    volumes: Mapping[str, Volume],
    monitor: Monitor,
    report: Callable[[str], None],
) -> ContrastStack | None:
    """The contrast `name` on its own grid with the others registered and resampled to it; None when none overlaps."""
    target = volumes[name]
    measured = _crop_to_measured(target, source)
    contrasts, images = [name], [_normalised(measured.array)]
    for other, volume in volumes.items():
        if other == name:
            continue
        alignment = align(target, volume, source.register, monitor)
        if alignment.reference is None:
            report(f"Contrast {other} of {subject} was left out with target {name}: {' '.join(alignment.warnings)}")
            continue
        resampled, _ = resample_reference(alignment.reference, measured.grid, measured.grid, monitor)
        contrasts.append(other)
        images.append(_normalised(resampled))
    if len(images) < 2:  # each of the others was reported
        return None
    axes = (measured.grid.slice_axis or 0,)
    array = _without_margin(_every_nth_slice(np.stack(images), axes, source.slice_step))
    return ContrastStack(f"{subject} {name}", source.part, tuple(contrasts), (0,), axes, array)


def _crop_to_measured(volume: Volume, source: Source) -> Volume:
    """`volume` cropped in k-space to the measured part, and to a spacing not finer than the source's."""
    model = AcquisitionModel.estimate(volume)
    factors = [
        max(1.0 / axis.support.edge, source.spacing / axis.spacing, 1.0)
        if axis.kind == "kspace" and axis.samples > 1
        else 1.0
        for axis in model.axes
    ]
    return volume if max(factors) < 1.02 else degrade(volume, "kspace", factors)


def _normalised(array: np.ndarray) -> np.ndarray:
    """float16 with 1 at the 99.9th percentile, in steps of 1/2048: finer than any noise, and compresses better."""
    peak = float(np.percentile(array, 99.9)) or 1.0
    return (np.rint(np.clip(array / peak, -0.25, 4.0) * 2048) / 2048).astype(np.float16)


def _every_nth_slice(images: np.ndarray, axes: tuple[int, ...], step: int) -> np.ndarray:
    if step == 1 or len(axes) > 1:
        return images
    return np.ascontiguousarray(np.moveaxis(np.moveaxis(images, axes[0] + 1, 0)[::step], 0, axes[0] + 1))


def _without_margin(images: np.ndarray) -> np.ndarray:
    """`images` (contrasts, K, J, I) without the margin that is zero in all contrasts (skull-stripped scans)."""
    nonzero = np.abs(images).max(axis=0) > 0
    if not nonzero.any():
        return images
    parts = []
    for axis in range(3):
        index = np.flatnonzero(nonzero.any(axis=tuple(a for a in range(3) if a != axis)))
        parts.append(slice(max(0, index[0] - _MARGIN), index[-1] + _MARGIN + 1))
    return np.ascontiguousarray(images[(slice(None), *parts)])
