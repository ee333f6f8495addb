"""One fit under way: batches, pieces that fit into memory, the average of the weights, and when it is enough."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ..core.progress import Monitor
from ..image.similarity import mutual_information
from .control import Control, Entry
from .model import SubjectModel
from .networks import open_levels, set_brief
from .presets import Settings
from .samples import Samples
from .stopping import TOLERANCE, settled

_HELD_OUT, _MOST_HELD_OUT = 0.05, 10000  # of a scan's samples
_EMPTY = 0.05  # of the 99.9th percentile: background
_LOOK_EVERY, _LOOK_SHARE = 3.0, 5.0  # seconds between looks, and times what the last one took: watching stays cheap
_FEWEST = 256  # points at once: a GPU that cannot hold these is given up


class Running:
    """One fit under way."""

    def __init__(
        self,
        model: SubjectModel,
        samples: Sequence[Samples],
        settings: Settings,
        device: str,
        control: Control,
        begun: float,
    ) -> None:
        self.model, self.settings, self.preset = model, settings, settings.preset
        self.device, self.control, self.begun = device, control, begun
        self.notes: tuple[str, ...] = ()
        self.stage = "fit"
        self._next_look = 0.0
        rng = np.random.default_rng(settings.seed)
        self.rng = rng
        self.scans = [ScanPoints(s, model, rng) for s in samples]
        total = sum(len(scan.fitted) for scan in self.scans)
        self.steps = max(1, math.ceil(total / self.preset.batch))
        self.points = model.at_once(device, passes=3)

    # -------------------------------------------------------------- the loop

    def run(self, monitor: Monitor) -> tuple[list[Entry], str]:
        """(the curve, why it ended); the model's network is then the best state."""
        try:
            return self._run(monitor)
        except torch.cuda.OutOfMemoryError:
            if self.device == "cpu":
                raise
        # outside the handler, so that the failed call's tensors are gone
        torch.cuda.empty_cache()
        self.device, self.points = "cpu", self.model.at_once("cpu", passes=3)
        self.notes += ("The GPU's memory did not suffice; the fit ran on the CPU.",)
        return self._run(monitor)

    def _run(self, monitor: Monitor) -> tuple[list[Entry], str]:
        with self.model.placed(self.device):
            set_brief(self.model.network, self.settings.precision == "bfloat16")
            try:
                curve, reason = self._epochs(monitor)
            finally:
                set_brief(self.model.network, False)
            if self.model.start is not None:
                self._shrink(monitor.silent)
        return curve, reason

    def _epochs(self, monitor: Monitor) -> tuple[list[Entry], str]:
        network = self.model.network
        optimiser = torch.optim.Adam(network.parameters(), lr=self.preset.rate)
        self.average = copy.deepcopy(network.state_dict())
        total, taken = self.preset.epochs * self.steps, 0
        curve: list[Entry] = []
        best, kept = math.inf, None
        reason = "the last epoch"
        if self.control.watch is not None:
            self._look(0.0, [], monitor)
        for _ in range(self.preset.epochs):
            orders = [np.array_split(self.rng.permutation(len(s.fitted)), self.steps) for s in self.scans]
            losses: list[float] = []
            for step in range(self.steps):
                share = max(taken / total, self._time_share())
                opening = min(1.0, share / self.preset.opening) if self.preset.opening else 1.0
                open_levels(network, opening)
                for group in optimiser.param_groups:
                    group["lr"] = self.preset.rate * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))
                monitor.part(0.0, 1.0, self.stage).update(share)
                optimiser.zero_grad(set_to_none=True)
                losses.append(self._backward([order[step] for order in orders], monitor))
                optimiser.step()
                taken += 1
                self._follow(taken)
                over = "enough" if self._enough() else "time" if self._time_share() >= 1 else ""
                if over:
                    break
                if self._time_to_look() and step + 1 < self.steps:
                    self._look(taken / self.steps, losses, monitor)
            entry, state = self._look(taken / self.steps, losses, monitor)
            curve.append(entry)
            if entry.held_out < best:
                best, kept = entry.held_out, state
            if over:
                reason = over
                break
            if opening >= 1.0 and self._settled(curve):
                reason = "plateau"
                break
        network.load_state_dict(kept if kept is not None else self.average)
        open_levels(network, 1.0)
        return curve, reason

    def _look(self, epoch: float, losses: Sequence[float], monitor: Monitor) -> tuple[Entry, dict[str, Tensor]]:
        """Judge the averaged weights, and tell whoever watches; returns these weights too."""
        network, begun = self.model.network, self._clock()
        running = copy.deepcopy(network.state_dict())
        network.load_state_dict(self.average)
        held_out = self._held_out(monitor)
        loss = float(np.mean(losses)) if losses else held_out
        entry = Entry(epoch, loss, held_out, self._information(monitor), self._clock())
        self.stage = str(entry)
        if self.control.watch is not None:
            self.control.watch(entry, partial(self.model.images, device=self.device, monitor=monitor.silent))
        network.load_state_dict(running)
        self._next_look = self._clock() + max(_LOOK_EVERY, _LOOK_SHARE * (self._clock() - begun))
        return entry, copy.deepcopy(self.average)

    def _time_to_look(self) -> bool:
        return self.control.watch is not None and self._clock() >= self._next_look

    def _enough(self) -> bool:
        return self.control.enough is not None and self.control.enough()

    def _clock(self) -> float:
        return time.perf_counter() - self.begun

    def _time_share(self) -> float:
        return self._clock() / self.settings.max_seconds if self.settings.max_seconds else 0.0

    def _settled(self, curve: Sequence[Entry]) -> bool:
        information = [e.information for e in curve if e.information is not None]
        by_information = settled(information)
        by_loss = settled([e.held_out for e in curve], TOLERANCE * max(curve[-1].held_out, 1e-12))
        return {
            "plateau": by_information or by_loss,
            "information": by_information,
            "loss": by_loss,
            "never": False,
        }[self.settings.stop]

    # -------------------------------------------------------------- one step

    def _backward(self, chosen: Sequence[np.ndarray], monitor: Monitor) -> float:
        """The loss of a batch, its gradients added up piece by piece; pieces halve where memory runs out."""
        counts = np.zeros(len(self.model.contrasts))
        for scan, rows in zip(self.scans, chosen, strict=True):
            counts[scan.contrast] += len(rows)
        jobs = [
            (scan, scan.fitted[rows], 1.0 / counts[scan.contrast])
            for scan, rows in zip(self.scans, chosen, strict=True)
            if len(rows)
        ]
        queue = [(s, r[i : i + self._rows(s)], w) for s, r, w in jobs for i in range(0, len(r), self._rows(s))]
        loss = 0.0
        while queue:
            scan, rows, weight = queue.pop()
            monitor.check()
            try:
                value = self._loss(scan, rows) * weight
                value.backward()
            except torch.cuda.OutOfMemoryError:
                if len(rows) * scan.reach <= _FEWEST:
                    raise
                torch.cuda.empty_cache()
                self.points = max(_FEWEST, self.points // 2)
                half = len(rows) // 2
                queue += [(scan, rows[:half], weight), (scan, rows[half:], weight)]
                continue
            loss += float(value.detach())
        return loss

    def _rows(self, scan: ScanPoints) -> int:
        return max(1, self.points // scan.reach)

    def _loss(self, scan: ScanPoints, rows: np.ndarray) -> Tensor:
        """Sum over some samples of a scan: squared disagreement, and the correction's roughness within the slab."""
        found = self._predict(scan, rows)
        wanted = scan.values[rows].to(found.device)
        loss = ((found.mean(dim=1) - wanted) ** 2).sum()
        if self.model.start is not None and found.shape[1] > 1:
            loss = loss + self.preset.roughness * found.var(dim=1, correction=0).sum()
        return loss

    def _predict(self, scan: ScanPoints, rows: np.ndarray) -> Tensor:
        """(samples, points of the profile) of the network's output in the scan's contrast."""
        places = scan.places(rows).to(self.device)
        found = self.model.output(places.reshape(-1, 3))[1][:, scan.contrast]
        return found.reshape(places.shape[:2])

    def _follow(self, taken: int) -> None:
        """The running average of the weights."""
        decay = min(self.preset.averaging, (1 + taken) / (10 + taken)) if self.preset.averaging else 0.0
        for name, weight in self.model.network.state_dict().items():
            if decay and weight.is_floating_point():
                self.average[name].lerp_(weight, 1 - decay)
            else:
                self.average[name].copy_(weight)

    # -------------------------------------------------------------- looking at it

    @torch.no_grad()
    def _held_out(self, monitor: Monitor) -> float:
        """Mean squared disagreement with the samples kept aside, summed over contrasts as the loss is."""
        sums, counts = np.zeros(len(self.model.contrasts)), np.zeros(len(self.model.contrasts))
        for scan in self.scans:
            for first in range(0, len(scan.aside), self._rows(scan)):
                monitor.check()
                rows = scan.aside[first : first + self._rows(scan)]
                rest = self._predict(scan, rows).mean(dim=1) - scan.values[rows].to(self.device)
                sums[scan.contrast] += float((rest**2).sum())
                counts[scan.contrast] += len(rows)
        return float((sums / np.maximum(counts, 1)).sum())

    @torch.no_grad()
    def _information(self, monitor: Monitor) -> float | None:
        """Mutual information (32 bins, nats) of the first two predictions at the samples kept aside."""
        if len(self.model.contrasts) < 2:
            return None
        monitor.check()
        found = []
        for scan in self.scans:
            for first in range(0, len(scan.aside), self.points):
                monitor.check()
                places = scan.centers[scan.aside[first : first + self.points]].to(self.device)
                base, output = self.model.output(places)
                correction = torch.tensor([c.correction for c in self.model.contrasts], device=self.device)
                found.append((output * correction + (0 if base is None else base))[:, :2].cpu().numpy())
        return mutual_information(*np.concatenate(found).T)

    @torch.no_grad()
    def _shrink(self, monitor: Monitor) -> None:
        """Keep the share of each contrast's correction that explains the samples kept aside best: perhaps none."""
        shares = []
        for number in range(len(self.model.contrasts)):
            product = square = 0.0
            for scan in (s for s in self.scans if s.contrast == number):
                for first in range(0, len(scan.aside), self._rows(scan)):
                    monitor.check()
                    rows = scan.aside[first : first + self._rows(scan)]
                    found = self._predict(scan, rows).mean(dim=1).cpu()
                    product += float((found * scan.values[rows]).sum())
                    square += float((found**2).sum())
            shares.append(min(1.0, max(0.0, product / square)) if square > 0 else 0.0)
        self.model.contrasts = tuple(
            replace(c, correction=c.correction * share) for c, share in zip(self.model.contrasts, shares, strict=True)
        )
        if not any(shares):
            self.notes += ("The network explained nothing beyond joint non-local means, whose result stands.",)


class ScanPoints:
    """The samples of a scan as tensors, split into those to fit and those kept aside."""

    def __init__(self, samples: Samples, model: SubjectModel, rng: np.random.Generator) -> None:
        self.contrast = samples.contrast
        contrast = model.contrasts[samples.contrast]
        self.centers = model.normalised(samples.positions(np.arange(len(samples.index))))
        self.offsets = torch.from_numpy((samples.offsets / model.half).astype(np.float32))
        self.reach = len(self.offsets)
        values = samples.values - (contrast.low if model.start is None else 0.0)
        self.values = torch.from_numpy((values / (contrast.scale * contrast.correction)).astype(np.float32))
        count = min(_MOST_HELD_OUT, math.ceil(_HELD_OUT * len(values)))
        if model.start is None:  # as published: all samples are fitted, and some of the foreground looked at
            bright = rng.permutation(np.flatnonzero(samples.values > _EMPTY * np.percentile(samples.values, 99.9)))
            self.aside, self.fitted = np.sort(bright[:count]), np.arange(len(values))
        else:
            order = rng.permutation(len(values))
            self.aside, self.fitted = np.sort(order[:count]), np.sort(order[count:])

    def places(self, rows: np.ndarray) -> Tensor:
        """Normalised positions (samples, points of the profile, 3)."""
        return self.centers[rows][:, None] + self.offsets
