"""Thick slices made isotropic by the joint methods: with known truth, and as a scanner gave them.

Known truth: a part of patient26, T1 in sagittal and FLAIR in coronal slices of 4 mm. As acquired: a part of patient12,
FLAIR and T2, both in axial slices of 3 mm; two scans in one view hold little of what lies between their slices, and the
picture says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

import MultiContrastSRLib as mc
from MultiContrastSRLib import Volume
from MultiContrastSRLib.image.similarity import psnr
from MultiContrastSRLib.samples.scans import sample_volumes

from .figures import DPI, INK, QUIET, colour_bar, save, scale_bar, words

METHODS = ("bspline", "joint-tv", "joint-nonlocal")
SIDES = (132, 164, 132)  # voxels of patient26's part
ISOTROPIC, EXTENT = 1.0, 70.0  # mm: patient12's voxels, and how much of its slices is shown
VIEWS = {"axial": 2, "coronal": 1, "sagittal": 0}  # the RAS axis that lies across
WORST = 20.0  # % of the range, where the colours of errors end


def part(volume: Volume, sides: Sequence[int]) -> Volume:
    """The middle of `volume`."""
    first = [(n - side) // 2 for n, side in zip(volume.shape, sides, strict=True)]
    box = tuple(slice(a, a + side) for a, side in zip(first, sides, strict=True))
    grid = volume.grid.crop(first, [s.stop for s in box])
    return Volume(volume.array[box].copy(), grid.affine, volume.name)


def known_truth(output: Path, say: Callable[[str], None]) -> list[Path]:
    """Both contrasts of patient26 from orthogonal thick slices, beside the truth."""
    samples = sample_volumes("patient26", ("T1", "FLAIR"), log=say)
    sides = [min(n, m) // 4 * 4 for n, m in zip(SIDES, samples.volumes["T1"].shape, strict=True)]
    truths = [part(samples.volumes[name], sides) for name in ("T1", "FLAIR")]
    thick = [mc.degrade(truth, "slab", 4, axis=axis) for truth, axis in zip(truths, ("i", "j"), strict=True)]
    images = [
        {"as scanned, 4 mm": mc.prepare(scan, None, "nearest", **_plain(truth)).render(truth.grid).array}
        for scan, truth in zip(thick, truths, strict=True)
    ]
    folder, written = output / f"{samples.patient}-thick", []
    for method in METHODS:
        title = words(method)
        if method == "bspline":
            runs = [mc.prepare(s, None, method, **_plain(t)) for s, t in zip(thick, truths, strict=True)]
        else:
            run = mc.prepare(*thick, method, register="off", grid=truths[0].grid)
            runs = [run, run.companion]
        for found, run, truth in zip(images, runs, truths, strict=True):
            volume = run.render(truth.grid)
            found[title] = volume.array
            written.append(mc.save_volume(volume, _named(folder, f"{truth.name}-{method}")))
        scores = ", ".join(f"{t.name} {_decibel(i[title], t):.2f} dB" for i, t in zip(images, truths, strict=True))
        say(f"  {title}: {scores}")
    written += [mc.save_volume(volume, _named(folder, f"{volume.name}-truth")) for volume in truths]
    picture = output / f"{samples.patient}-thick.png"
    _draw_known(picture, truths, images)
    return [picture, *written]


def as_acquired(output: Path, say: Callable[[str], None]) -> list[Path]:
    """Patient12's FLAIR and T2 in isotropic voxels, in three planes."""
    samples = sample_volumes("patient12", ("FLAIR", "T2"), log=say)
    scans = []
    for name in ("FLAIR", "T2"):
        volume = samples.volumes[name]
        shown = [min(n, round(EXTENT / mm)) for n, mm in zip(volume.shape[1:], volume.spacing[1:], strict=True)]
        scans.append(part(volume, (volume.shape[0], *shown)))
    grid = scans[0].grid.isotropic(ISOTROPIC)
    run = mc.prepare(*scans, "joint-nonlocal", grid=grid)
    results = [run.render(grid), run.companion.render(grid)]
    plain = [mc.prepare(scan, None, "linear", data_consistency=False, grid=grid).render(grid) for scan in scans]
    folder = output / f"{samples.patient}-isotropic"
    written = [
        mc.save_volume(r, _named(folder, f"{s.name}-joint-nonlocal")) for r, s in zip(results, scans, strict=True)
    ]
    picture = output / f"{samples.patient}-isotropic.png"
    _draw_acquired(picture, scans, plain, results)
    return [picture, *written]


def _plain(truth: Volume) -> dict[str, object]:
    return {"data_consistency": False, "grid": truth.grid}


def _named(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}.nii.gz"


def _decibel(image: np.ndarray, truth: Volume) -> float:
    return float(psnr(image[None], truth.array[None], np.percentile(truth.array, 99.9))[0])


def _draw_known(path: Path, truths: Sequence[Volume], images: Sequence[dict[str, np.ndarray]]) -> None:
    """An axial plane, in which both contrasts were acquired coarsely; errors beneath, on one scale."""
    columns = [*images[0], "truth"]
    figure, axes = plt.subplots(4, len(columns), figsize=(1.75 * len(columns), 9.2), layout="constrained", dpi=DPI)
    for ax in axes.flat:
        ax.axis("off")
    for number, (truth, found) in enumerate(zip(truths, images, strict=True)):
        top = np.percentile(truth.array, 99.9)
        for column, name in enumerate(columns):
            array = truth.array if name == "truth" else found[name]
            image, _ = _plane(Volume(array, truth.affine), VIEWS["axial"])
            upper, lower = axes[2 * number, column], axes[2 * number + 1, column]
            upper.imshow(image, cmap="gray", vmin=0, vmax=top)
            scale_bar(upper, image.shape, truth.spacing[2])
            score = "as acquired, 1 mm" if name == "truth" else f"PSNR {_decibel(found[name], truth):.2f} dB"
            upper.set_title(f"{truth.name}: {name}\n{score}", fontsize=8, color=INK)
            if name != "truth":
                error, _ = _plane(Volume(100 * np.abs(array - truth.array) / top, truth.affine), VIEWS["axial"])
                drawn = lower.imshow(error, cmap="inferno", vmin=0, vmax=WORST)
        colour_bar(axes[2 * number + 1, -1], drawn, "|error|, % of the range")
    figure.suptitle(
        f"patient26: T1 in sagittal and FLAIR in coronal slices of 4 mm, made isotropic by {words('joint-nonlocal')}\n"
        "and what it is compared with. PSNR of the whole volume shown (make demo). Research use only.",
        fontsize=9, color=QUIET,
    )  # fmt: skip
    save(figure, path)


def _draw_acquired(path: Path, scans: Sequence[Volume], plain: Sequence[Volume], results: Sequence[Volume]) -> None:
    figure, axes = plt.subplots(2 * len(scans), 3, figsize=(8, 11.2), layout="constrained", dpi=DPI)
    titles = ("as displayed (linear)", f"{words('joint-nonlocal')}, 1 mm")
    for number, (scan, *pair) in enumerate(zip(scans, plain, results, strict=True)):
        top = np.percentile(scan.array, 99.7)
        for row, (volume, what) in enumerate(zip(pair, titles, strict=True)):
            for column, (view, across) in enumerate(VIEWS.items()):
                ax = axes[2 * number + row, column]
                image, aspect = _plane(volume, across)
                ax.imshow(image, cmap="gray", vmin=0, vmax=top, aspect=aspect)
                scale_bar(ax, image.shape, ISOTROPIC)
                ax.set_title(f"{scan.name}, {view}\n{what}", fontsize=9, color=INK)
                ax.axis("off")
    figure.suptitle(
        "patient12: FLAIR and T2 were acquired in the same axial view, 3 mm slices: little is known of what\n"
        "lies between them; other planes gain less than from scans in different views. Research use only.",
        fontsize=9, color=QUIET,
    )  # fmt: skip
    save(figure, path)


def _plane(volume: Volume, across: int) -> tuple[np.ndarray, float]:
    """The middle plane across a RAS axis, as radiologists look at it, and the height of its pixels over their width."""
    directions = volume.grid.affine[:3, :3][:, ::-1] / np.array(volume.spacing)  # of the array axes k, j, i
    axes = [int(np.argmax(np.abs(row))) for row in directions]  # of R, A, S
    axis = axes[across]
    image = np.take(volume.array, volume.shape[axis] // 2, axis=axis)
    rows, columns = [a for a in range(3) if a != axis]
    down, right = axes.index(rows), axes.index(columns)
    if directions[down, rows] > 0:  # front and top are up
        image = image[::-1]
    if directions[right, columns] > 0:  # the patient's right is on the left
        image = image[:, ::-1]
    return image, volume.spacing[rows] / volume.spacing[columns]
