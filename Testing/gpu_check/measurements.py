"""What is measured: tables of rows, each a function that returns numbers by the name of their column."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial

import bench_networks
import numpy as np
import torch
from plain_networks import plain

import MultiContrastSRLib as mc
from MultiContrastSRLib.acquisition.model import AcquisitionModel
from MultiContrastSRLib.core.cache import Cache
from MultiContrastSRLib.inference.precision import computing_in
from MultiContrastSRLib.inr.callbacks import FitCallbacks
from MultiContrastSRLib.inr.fitting import fit
from MultiContrastSRLib.inr.presets import PRESETS, Settings
from MultiContrastSRLib.live.renderer import ViewRenderer
from MultiContrastSRLib.networks import registry
from MultiContrastSRLib.training import loop
from MultiContrastSRLib.training.data.pack import Pack
from MultiContrastSRLib.training.recipe import Labels
from MultiContrastSRLib.training.recipe_file import load_recipe

from .cases import orthogonal_pair, stacked_pair
from .machine import Machine, clear_caches, milliseconds

Row = dict[str, "float | None"]
TRAINED = ("swift", "dual-arbnet", "dinet", "minet")
FLOAT16 = ("swift", "dual-arbnet")
SUBJECT = ("joint-tv", "joint-nonlocal", "subject-inr")
RECIPES = {"swift": "swift", "dual-arbnet": "dual-arbnet-light", "dinet": "dinet-light", "minet": "minet-light-x4"}
VIEWS = (512, 1024)


class Measurements:
    """The tables for one machine and one data pack.

    Args:
        small: a fraction of the voxels and seconds, to try out the script itself.
    """

    def __init__(self, machine: Machine, pack: Pack, small: bool = False) -> None:
        self._machine, self._pack, self._small = machine, pack, small

    def tables(self) -> dict[str, dict[str, Callable[[], Row]]]:
        """Table → row → measurement, the most important first."""
        sides = [side // 8 for side in VIEWS] if self._small else list(VIEWS)
        return {
            "differences": {name: partial(self._difference, name) for name in (*TRAINED, *SUBJECT)},
            "slice pair": {name: partial(self._slice_pair, name) for name in TRAINED},
            "whole volume": {name: partial(self._whole_volume, name) for name in TRAINED},
            "live views of swift": {f"{side}²": partial(self._live, side) for side in sides},
            "three million samples": {
                "joint-tv": self._joint,
                "subject-inr fast": self._fast_fit,
                "subject-inr paper": self._published_fit,
            },
            "training": {name: partial(self._training, name) for name in RECIPES},
            "published networks": {name: partial(self._published_network, name) for name in bench_networks.SCALES},
        }

    def _difference(self, method: str) -> Row:
        """The same result on the CPU and on the device, and there in float16 where a network allows that."""
        if method in TRAINED:
            target, reference = stacked_pair(self._pack, 2, 4, 32 if self._small else 128)
            runs = [("cpu", "float32"), (self._machine.device, "float32")]
            runs += [(self._machine.device, "float16")] if method in FLOAT16 else []
        else:
            target, reference = orthogonal_pair(16 if self._small else 48)
            runs = [("cpu", None), (self._machine.device, None)]
        images: list[np.ndarray] = []
        peak = None
        for device, precision in runs:
            clear_caches()
            peak = self._machine.peak(partial(_super_resolved, target, reference, method, device, images, precision))
        differences = [float(np.abs(found - images[0]).max() / np.ptp(images[0])) for found in images[1:]]
        return {
            "largest difference": differences[0],
            "in float16": differences[1] if len(differences) > 1 else None,
            "peak, MiB": peak,
        }

    def _slice_pair(self, method: str) -> Row:
        """One slice of 256² at ×4 with a reference of 256²: all of it, a view of it, and the network alone."""
        size, device = 64 if self._small else 256, self._machine.device
        target, reference = stacked_pair(self._pack, 4, 1, size)
        grid = reference.grid

        def prepare() -> object:
            return mc.prepare(target, reference, method, register="off", device=device, grid=grid)

        whole = self._machine.repeated(prepare)
        run = prepare()
        return {
            "prepare, ms": milliseconds(whole),
            "render, ms": milliseconds(self._machine.repeated(lambda: run.render(grid), 1.0)),
            "network alone, ms": milliseconds(self._machine.repeated(_network(method, size, device), 1.0)),
            "peak, MiB": self._machine.peak(prepare),
        }

    def _whole_volume(self, method: str) -> Row:
        """All slices of the pack at ×2."""
        target, reference = stacked_pair(self._pack, 2, *((3, 48) if self._small else ()))
        clear_caches()
        work = partial(_super_resolved, target, reference, method, self._machine.device, [])
        return {"seconds": self._machine.seconds(work), "peak, MiB": self._machine.peak(work)}

    def _live(self, side: int) -> Row:
        """Views of a slice, panned and zoomed, and of slices that nobody looked at before."""
        target, reference = stacked_pair(self._pack, 2, *((5, 48) if self._small else ()))
        settings = {"register": "off", "method": "swift", "device": self._machine.device}
        renderer = ViewRenderer(target, reference, Cache(1 << 30), **settings)
        field = reference.shape[1] * reference.spacing[1]

        def view(slice_number: int, zoom: float = 1.0, shift: float = 0.0) -> mc.Grid:
            affine = np.diag([field / side / zoom, field / side / zoom, target.spacing[0], 1.0])
            affine[:3, 3] = shift, shift, slice_number * target.spacing[0]
            return mc.Grid((1, side, side), affine)

        slices = range(target.shape[0])
        encoded = [self._machine.seconds(lambda n=n: renderer.prepare(view(n), lambda: False)) for n in slices]
        views = [view(slices[-1], zoom, shift) for zoom in (1.0, 1.5, 2.5, 4.0, 8.0) for shift in (0.0, 3.0, 7.3, 15.0)]
        shown = [self._machine.seconds(lambda v=v: renderer.render(v)) for v in views]
        return {
            "render p50, ms": milliseconds(shown),
            "render p95, ms": milliseconds(shown, 0.95),
            "new slice p50, ms": milliseconds(encoded[1:]),
            "new slice p95, ms": milliseconds(encoded[1:], 0.95),
        }

    def _joint(self) -> Row:
        """Joint total variation of T1 and T2 in orthogonal slabs, to isotropic voxels."""
        clear_caches()
        work = partial(_super_resolved, *self._views()[0], "joint-tv", self._machine.device, [])
        seconds = self._machine.seconds(work)
        clear_caches()
        return {"seconds": seconds, "peak, MiB": self._machine.peak(work)}

    def _fast_fit(self) -> Row:
        """The same views; besides, an epoch without initial images, and what PyTorch imports for an optimiser."""
        first = self._machine.seconds(lambda: torch.optim.Adam([torch.zeros(1, requires_grad=True)]))
        views, lattice = self._views()
        clear_caches()
        seconds = self._machine.seconds(partial(_super_resolved, *views, "subject-inr", self._machine.device, []))
        settings, fits = Settings(PRESETS["fast"], stop="never"), []
        scans, device = [[view] for view in views], self._machine.device
        peak = self._machine.peak(lambda: fits.append(fit(scans, lattice, settings, device=device)))
        curve = fits[0].curve
        epoch = (curve[-1].seconds - curve[0].seconds) / (len(curve) - 1)
        return {"seconds": seconds, "peak, MiB": peak, "an epoch, s": epoch, "first optimiser, s": first}

    def _views(self) -> tuple[tuple[mc.Volume, mc.Volume], mc.Grid]:
        """(orthogonal views, the lattice of isotropic voxels that a fit of them has)."""
        views = orthogonal_pair(16 if self._small else 144)
        return views, AcquisitionModel.estimate(views[0]).lattice((views[1].shape[0],) * 3)

    def _published_fit(self) -> Row:
        """A minute of the published preset: samples a second."""
        views, lattice = self._views()
        limit = time.perf_counter() + (3.0 if self._small else 60.0)
        epochs: list[tuple[float, float]] = []
        done = fit(
            [[view] for view in views],
            lattice,
            Settings(PRESETS["paper"], stop="never"),
            device=self._machine.device,
            callbacks=FitCallbacks(
                lambda: time.perf_counter() > limit, lambda point, _: epochs.append((point.epoch, point.seconds))
            ),
        )
        epochs += [(point.epoch, point.seconds) for point in done.curve]
        epoch, seconds = max(epochs, default=(0.0, 1.0))
        samples = sum(view.array.size for view in views)
        return {"samples a second": epoch * samples / seconds, "epochs": epoch, "seconds": seconds}

    def _training(self, network: str) -> Row:
        """Steps of the recipe that ships, on the pack, without validation."""
        recipe = load_recipe(RECIPES[network])
        settings = replace(recipe.optimisation, steps=10_000, validate_every=0, save_every=10_000)
        if self._small:
            settings = replace(settings, batch_size=2)
        augmentation = replace(recipe.augmentation, synthetic=0.0)
        recipe = replace(recipe, optimisation=settings, augmentation=augmentation, labels=Labels())
        limit = time.perf_counter() + (2.0 if self._small else 8.0)
        ends: list[float] = []

        def work() -> None:
            with tempfile.TemporaryDirectory() as folder, suppress(loop.StoppedError):
                loop.train(
                    recipe,
                    self._pack,
                    folder,
                    device=self._machine.device,
                    progress=lambda *_: ends.append(time.perf_counter()),
                    cancel=lambda: time.perf_counter() > limit and len(ends) > 1,
                )

        peak = self._machine.peak(work)
        warm = ends[len(ends) // 4 :]
        return {"steps a second": (len(warm) - 1) / (warm[-1] - warm[0]), "peak, MiB": peak}

    @torch.inference_mode()
    def _published_network(self, network: str) -> Row:
        """The authors' size for one slice of 256², beside a plain transcription of the same equations."""
        scale, device = bench_networks.SCALES[network], self._machine.device
        spec = registry.published(network, **({"scale": scale} if network == "minet" else {}))
        net = bench_networks.build(spec).to(device)
        *images, positions = bench_networks.images(32 if self._small else 256, scale)
        case = [image.to(device) for image in images]
        ours = self._machine.repeated(lambda: net(*case, positions))
        half = None
        if network in FLOAT16 and not self._small:  # which processors are slow in
            with computing_in("float16", torch.device(device).type):
                half = milliseconds(self._machine.repeated(lambda: net(*case, positions)))
        vectors = {name: getattr(positions, name).to(device) for name in ("rows_t", "cols_t", "rows_r", "cols_r")}
        theirs = self._machine.repeated(lambda: plain(net, *case, replace(positions, **vectors)))
        return {
            "ours, ms": milliseconds(ours),
            "ours in float16, ms": half,
            "plain, ms": milliseconds(theirs),
            "plain / ours": milliseconds(theirs) / milliseconds(ours),
            "peak, MiB": self._machine.peak(lambda: net(*case, positions)),
        }


def _network(method: str, size: int, device: str) -> Callable[[], torch.Tensor]:
    """A run of the light network (random weights) on a slice of size² at x4, as it is used."""
    scale = bench_networks.LIGHT_SCALE
    spec = registry.light(method, **({"scale": scale} if method == "minet" else {}))
    net = bench_networks.build(spec).to(device)
    *images, positions = bench_networks.images(size, scale)
    target, reference = (image.to(device) for image in images)
    base = reference.expand(1, spec.base_channels, size, size)

    @torch.inference_mode()
    def run() -> torch.Tensor:
        with computing_in("auto", torch.device(device).type):
            return net(target, reference, positions, base=base)

    return run


def _super_resolved(
    target: mc.Volume,
    reference: mc.Volume,
    method: str,
    device: str,
    images: list[np.ndarray],
    precision: str | None = None,
) -> None:
    """Appends the result to `images`: in plane for slices, isotropic for orthogonal views.

    Raises:
        RuntimeError: some of it was computed on another device, which would be compared with itself.
    """
    thick = method in TRAINED
    options = {"scale": 2} if thick else {"spacing": min(target.spacing)}
    if precision is not None:
        options["precision"] = precision
    result = mc.super_resolve(target, reference, method=method, register="off", device=device, **options)
    if result.report.device != device or any(device in warning for warning in result.report.warnings):
        raise RuntimeError(f"Ran on {result.report.device} instead of {device}: {' '.join(result.report.warnings)}")
    images.append(result.volume.array)
