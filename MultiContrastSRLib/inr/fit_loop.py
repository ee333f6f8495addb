"""Optimises a network on the samples of all scans, in pieces that fit into memory, and keeps the best weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ..core.fallback import FallbackDevice, retry_smaller
from ..core.progress import Monitor
from ..image.similarity import mutual_information
from ..networks.weight_average import averaged_model
from .callbacks import CurvePoint, FitCallbacks
from .limits import FitLimits
from .model import SubjectModel
from .networks import set_active_levels, use_bfloat16
from .plateau import TOLERANCE, has_plateaued
from .presets import Settings
from .samples import Samples
from .scan_points import ScanPoints

_PREVIEW_EVERY, _PREVIEW_SHARE = 3.0, 5.0  # seconds between previews, and multiples of the last one's duration
_LAST_EVALUATION = 1.0  # seconds that the evaluation after a stop may take
_FEWEST = 256  # points at once: a GPU that cannot hold these is given up


class FitLoop:
    """One fit.

    Args:
        model: whose network is fitted; afterwards it has the best weights.
        samples: of every scan.
        settings: the preset and its stopping rule.
        device: "cpu", "cuda:0" or another of `core.devices.list_devices`.
        callbacks: get the points of the curve.
        limits: what ends the fit from outside.
    """

    def __init__(
        self,
        model: SubjectModel,
        samples: Sequence[Samples],
        settings: Settings,
        device: str,
        callbacks: FitCallbacks,
        limits: FitLimits,
    ) -> None:
        self.model, self.settings, self.preset = model, settings, settings.preset
        self.callbacks, self.limits = callbacks, limits
        self._computing = FallbackDevice(device, "the fit")
        self.notes: tuple[str, ...] = ()
        self.stage = "fit"
        self._next_preview = 0.0
        self._step_seconds = 0.0
        self.rng = np.random.default_rng(settings.seed)
        self.scans = [ScanPoints(s, model, self.rng) for s in samples]
        self._random_state = self.rng.bit_generator.state  # so that a fit that begins anew is the same
        total = sum(len(scan.fitted) for scan in self.scans)
        self.steps = max(1, math.ceil(total / self.preset.batch))

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences for the report about a device that ran out of memory or failed."""
        return self._computing.warnings

    # -------------------------------------------------------------- the loop

    def run(self, monitor: Monitor) -> tuple[list[CurvePoint], str]:
        """(the curve, what ended the fit)."""
        return self._computing.run(partial(self._run, monitor))

    def _run(self, monitor: Monitor, device: str) -> tuple[list[CurvePoint], str]:
        self.rng.bit_generator.state = self._random_state
        self.device, self.points = device, self.model.points_at_once(device, passes=3)
        in_host_memory = self.scans
        with self.model.placed(device):
            use_bfloat16(self.model.network, self.settings.precision == "bfloat16")
            try:
                self.scans = [scan.on(device) for scan in in_host_memory]
                curve, reason = self._epochs(monitor)
                use_bfloat16(self.model.network, False)
                if self.model.initial is not None:
                    self._scale_corrections(monitor.silent)
            finally:
                self.scans = in_host_memory
                use_bfloat16(self.model.network, False)
        return curve, reason

    def _epochs(self, monitor: Monitor) -> tuple[list[CurvePoint], str]:
        network = self.model.network
        optimiser = torch.optim.Adam(network.parameters(), lr=self.preset.rate)
        self.average = averaged_model(network, self.preset.averaging, updates=1)
        total, taken = self.preset.epochs * self.steps, 0
        curve: list[CurvePoint] = []
        best, best_weights = math.inf, None
        reason, limit = "last epoch", ""
        if self.callbacks.on_point is not None:
            self._evaluate(0.0, [], monitor)
        for _ in range(self.preset.epochs):
            orders = [scan.shuffled(self.rng, self.steps) for scan in self.scans]
            losses: list[float] = []
            for step in range(self.steps):
                begin = self.limits.seconds
                share = max(taken / total, self.limits.time_share)
                active = min(1.0, share / self.preset.opening) if self.preset.opening else 1.0
                set_active_levels(network, active)
                for group in optimiser.param_groups:
                    group["lr"] = self.preset.rate * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))
                monitor.part(0.0, 1.0, self.stage).update(share)
                losses.append(self._backward([order[step] for order in orders], monitor))
                optimiser.step()
                taken += 1
                self.average.update_parameters(network)
                self._step_seconds = self.limits.seconds - begin
                limit = self.limits.reached()
                if limit:
                    break
                if self._preview_is_due() and step + 1 < self.steps:
                    self._evaluate(taken / self.steps, losses, monitor)
            point, weights = self._evaluate(taken / self.steps, losses, monitor, hurry=bool(limit))
            curve.append(point)
            if point.held_out < best:
                best, best_weights = point.held_out, weights
            if limit or (active >= 1.0 and self._has_plateaued(curve)):
                reason = limit or "plateau"
                break
        network.load_state_dict(best_weights if best_weights is not None else self.average.module.state_dict())
        set_active_levels(network, 1.0)
        return curve, reason

    def _evaluate(
        self, epoch: float, losses: Sequence[float], monitor: Monitor, hurry: bool = False
    ) -> tuple[CurvePoint, dict[str, Tensor]]:
        """(a point of the curve, the averaged weights that it is of); callbacks are called with it.

        `hurry`: use so few of the held-out samples that it takes about a second.
        """
        network, begin = self.model.network, self.limits.seconds
        weights = copy.deepcopy(network.state_dict())
        average = copy.deepcopy(self.average.module.state_dict())
        network.load_state_dict(average)
        stride = self._stride() if hurry else 1
        held_out = self._held_out(monitor, stride)
        loss = float(np.mean(losses)) if losses else held_out
        point = CurvePoint(epoch, loss, held_out, self._information(monitor, stride), self.limits.seconds)
        self.stage = str(point)
        if self.callbacks.on_point is not None and not hurry:
            self.callbacks.on_point(point, partial(self.model.images, device=self.device, monitor=monitor.silent))
        network.load_state_dict(weights)
        duration = self.limits.seconds - begin
        self._next_preview = self.limits.seconds + max(_PREVIEW_EVERY, _PREVIEW_SHARE * duration)
        return point, average

    def _stride(self) -> int:
        """Every so many-th held-out sample is evaluated within `_LAST_EVALUATION` seconds, by the last step's speed."""
        evaluated = sum(len(scan.held_out) * (scan.points_per_sample + 1) for scan in self.scans)
        stepped = self.preset.batch * max(scan.points_per_sample for scan in self.scans)
        seconds = self._step_seconds * evaluated / (3 * stepped)  # a step computes gradients as well
        return max(1, math.ceil(seconds / _LAST_EVALUATION))

    def _preview_is_due(self) -> bool:
        return self.callbacks.on_point is not None and self.limits.seconds >= self._next_preview

    def _has_plateaued(self, curve: Sequence[CurvePoint]) -> bool:
        information = [point.information for point in curve if point.information is not None]
        by_information = has_plateaued(information)
        by_loss = has_plateaued([point.held_out for point in curve], TOLERANCE * max(curve[-1].held_out, 1e-12))
        return {
            "plateau": by_information or by_loss,
            "information": by_information,
            "loss": by_loss,
            "never": False,
        }[self.settings.stop]

    # -------------------------------------------------------------- one step

    def _backward(self, chosen: Sequence[Tensor], monitor: Monitor) -> float:
        """The loss of a batch, with gradients, computed in pieces; these are halved when memory runs out."""

        def smaller() -> float:
            self.points //= 2
            return self._backward(chosen, monitor)

        enough = self.points // 2 >= _FEWEST
        return retry_smaller(partial(self._accumulate, chosen, monitor), smaller if enough else None, self.device)

    def _accumulate(self, chosen: Sequence[Tensor], monitor: Monitor) -> float:
        """The loss of a batch; the gradients of its pieces are summed."""
        for parameter in self.model.network.parameters():
            parameter.grad = None
        counts = np.zeros(len(self.model.contrasts))
        for scan, rows in zip(self.scans, chosen, strict=True):
            counts[scan.contrast] += len(rows)
        losses = [torch.zeros((), device=self.device)]  # is downloaded once
        for piece in reversed(self._pieces(chosen)):
            monitor.check()
            value = self._loss(piece, counts)
            value.backward()
            losses.append(value.detach())
        return float(torch.stack(losses).sum())

    def _pieces(self, chosen: Sequence[Tensor]) -> list[list[tuple[ScanPoints, Tensor]]]:
        """The samples of a batch in pieces of scans and rows, each of them of up to `self.points` points in all."""
        pieces, room = [], 0
        for scan, rows in zip(self.scans, chosen, strict=True):
            for part in _split(rows, self._rows(scan)):
                points = len(part) * scan.points_per_sample
                if points > room:
                    pieces.append([])
                    room = self.points
                pieces[-1].append((scan, part))
                room -= points
        return pieces

    def _rows(self, scan: ScanPoints) -> int:
        return max(1, self.points // scan.points_per_sample)

    def _loss(self, piece: Sequence[tuple[ScanPoints, Tensor]], counts: np.ndarray) -> Tensor:
        """Squared residuals of some samples, and the correction's roughness within their slabs.

        Args:
            counts: by contrast, the samples of the batch, over which is averaged.
        """
        losses = []
        for (scan, rows), found in zip(piece, self._predict(piece), strict=True):
            loss = ((found.mean(dim=1) - scan.values[rows]) ** 2).sum()
            if self.model.initial is not None and found.shape[1] > 1:
                loss = loss + self.preset.roughness * found.var(dim=1, correction=0).sum()
            losses.append(loss * (1.0 / counts[scan.contrast]))
        return losses[0] if len(losses) == 1 else torch.stack(losses).sum()

    def _predict(self, piece: Sequence[tuple[ScanPoints, Tensor]]) -> list[Tensor]:
        """The network's output at rows of scans, in the contrast of each scan: (samples, points of the profile)."""
        positions = [scan.positions(rows) for scan, rows in piece]
        together = [each.reshape(-1, 3) for each in positions]
        output = self.model.output(together[0] if len(together) == 1 else torch.cat(together))[1]
        parts = output.split([len(each) for each in together])
        return [
            part[:, scan.contrast].reshape(each.shape[:2])
            for (scan, _), part, each in zip(piece, parts, positions, strict=True)
        ]

    # -------------------------------------------------------------- evaluation

    @torch.no_grad()
    def _held_out(self, monitor: Monitor, stride: int = 1) -> float:
        """Mean squared residual at every `stride`-th held-out sample, summed over contrasts as the loss is."""
        sums, counts = np.zeros(len(self.model.contrasts)), np.zeros(len(self.model.contrasts))
        for scan in self.scans:
            held_out = scan.held_out[::stride]
            parts = [torch.zeros((), device=self.device)]
            for rows in _split(held_out, self._rows(scan)):
                monitor.check()
                (found,) = self._predict([(scan, rows)])
                parts.append(((found.mean(dim=1) - scan.values[rows]) ** 2).sum())
            sums[scan.contrast] += float(torch.stack(parts).sum())
            counts[scan.contrast] += len(held_out)
        return float((sums / np.maximum(counts, 1)).sum())

    @torch.no_grad()
    def _information(self, monitor: Monitor, stride: int = 1) -> float | None:
        """Mutual information (32 bins, nats) of the first two predictions at every `stride`-th held-out sample."""
        if len(self.model.contrasts) < 2:
            return None
        monitor.check()
        found = []
        correction = torch.tensor([c.correction for c in self.model.contrasts]).to(self.device)
        for scan in self.scans:
            for rows in _split(scan.held_out[::stride], self.points):
                monitor.check()
                base, output = self.model.output(scan.centers[rows])
                found.append((output * correction + (0 if base is None else base))[:, :2])
        return mutual_information(*torch.cat(found).cpu().numpy().T)

    @torch.no_grad()
    def _scale_corrections(self, monitor: Monitor) -> None:
        """Scale each contrast's correction, by 0 to 1, to explain the held-out samples best."""
        shares = []
        for number in range(len(self.model.contrasts)):
            sums = [torch.zeros(2, device=self.device)]
            for scan in (s for s in self.scans if s.contrast == number):
                for rows in _split(scan.held_out, self._rows(scan)):
                    monitor.check()
                    found = self._predict([(scan, rows)])[0].mean(dim=1)
                    sums.append(torch.stack([(found * scan.values[rows]).sum(), (found**2).sum()]))
            product, square = torch.stack(sums).sum(0).tolist()
            shares.append(min(1.0, max(0.0, product / square)) if square > 0 else 0.0)
        self.model.contrasts = tuple(
            replace(c, correction=c.correction * share) for c, share in zip(self.model.contrasts, shares, strict=True)
        )
        if not any(shares):
            self.notes += ("The network explained nothing beyond joint non-local means, whose result stands.",)


def _split(rows: Tensor, size: int) -> Sequence[Tensor]:
    """Parts of up to `size` rows, none of them empty."""
    return rows.split(size) if len(rows) else ()
