"""The training loop: resumable to the step, alone or in several processes."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import torch
from torch import Tensor, nn

from ..core.errors import CancelledError, InputError, MultiContrastSRError
from ..core.progress import CancelCallback, ProgressCallback
from ..io.files import replaced_together
from ..networks.specs import build
from .checkpoint import NAME, State, check_recipe, load_state, save_state
from .curve import PICTURE, Log, draw_curve, line
from .examples import Batch, Examples
from .losses import leak_loss, total_loss
from .optimiser import Optimiser
from .pack import Pack
from .predict import predict
from .processes import Processes
from .recipe import Optimisation, Recipe
from .start import begin_with
from .validation import Validation


class DivergedError(MultiContrastSRError):
    """Gradients that stay not finite: training cannot go on."""

    exit_code = 1


class StoppedError(CancelledError):
    """Training was asked to stop; its checkpoint holds all that was done."""

    def __init__(self, step: int, folder: Path) -> None:
        MultiContrastSRError.__init__(
            self, f"Stopped after step {step}; {folder / NAME} holds all of it. Run the same command again to go on."
        )
        self.stage = "train"


@dataclass(frozen=True)
class Outcome:
    """A training that ended, or ran out of the time it was given.

    Attributes:
        folder: where checkpoint, curve and log lie. step: steps done. finished: all of the recipe's.
        curve: one entry a validation: step, loss, scores.
    """

    folder: Path
    step: int
    finished: bool
    curve: tuple[dict[str, object], ...]


def train(
    recipe: Recipe,
    pack: Pack,
    folder: str | Path,
    *,
    device: str = "cpu",
    minutes: float | None = None,
    say: Callable[[str], None] = lambda text: None,
    progress: ProgressCallback | None = None,
    cancel: CancelCallback | None = None,
) -> Outcome:
    """Train by `recipe` on `pack` until its steps are done; goes on where the checkpoint in `folder` ends.

    Args:
        folder: for checkpoint.pt, curve.json, curve.png and TensorBoard events; made when missing.
        device: "cpu" or "cuda".
        minutes: stop after so much time, in a state to go on from.
        say: gets a line a validation.

    Raises:
        InputError: the folder holds a training by another recipe, or the batch cannot be shared by the processes.
        DivergedError: gradients stayed not finite.
        StoppedError: `cancel()` said so; the checkpoint was written.
    """
    place, processes = Path(folder), Processes.join(device)
    for field in ("batch", "whole_batch") if recipe.optimisation.whole else ("batch",):
        shared = getattr(recipe.optimisation, field)
        # with structures planted in half of it, each process has its share of either half
        least = processes.count * (2 if recipe.augmentation.planted else 1)
        if shared % least:
            raise InputError(
                f"{field} is {shared} for {processes.count} processes; expected a multiple of {least}. "
                f"Set optimisation.{field}."
            )
    place.mkdir(parents=True, exist_ok=True)
    where = torch.device(device)
    if device == "cuda":
        where = torch.device(device, processes.local)
        torch.cuda.set_device(where)
    try:
        return _Training(recipe, pack, place, where, processes).run(minutes, say, progress, cancel)
    finally:
        processes.leave()


class _Training:
    def __init__(self, recipe: Recipe, pack: Pack, folder: Path, device: torch.device, processes: Processes) -> None:
        self.recipe, self.folder, self.device, self.processes = recipe, folder, device, processes
        wanted = recipe.optimisation
        torch.manual_seed(wanted.seed)
        self.net = build(recipe.spec).to(device)
        begun = (folder / NAME).exists()
        start = None
        if wanted.start and (wanted.frozen or not begun):
            start = begin_with(self.net, wanted.start, frozen=wanted.frozen)
        for name, parameter in self.net.named_parameters():
            stays = wanted.frozen and name in start.taken
            parameter.requires_grad_(fnmatchcase(name, wanted.only or "*") and not stays)
        self.trained = [parameter for parameter in self.net.parameters() if parameter.requires_grad]
        if not self.trained:
            first = next(name for name, _ in self.net.named_parameters())
            raise InputError(
                f"optimisation.only is {wanted.only!r}, which leaves nothing to train; expected a pattern of "
                f"parameters' names, such as {first!r}. Leave it empty to train all."
            )
        for parameter in self.trained:
            # a batch without reference leaves some untouched; they count as zero, with one process as with many
            parameter.grad = torch.zeros_like(parameter)
        self.optimiser = Optimiser(self.net, wanted)
        if begun:
            self.state = load_state(folder)
            check_recipe(self.state, recipe, folder)
            self.net.load_state_dict(self.state.model)
            self.optimiser.load_state_dict(self.state.optimiser)
            self.average = {k: v.to(device) for k, v in self.state.average.items()}
        else:
            sources = [*pack.sources, *([start.said] if start else [])]
            self.average = {k: v.detach().clone() for k, v in self.net.state_dict().items()}
            self.state = State(recipe.as_dict(), 0, {}, {}, [], sources=sources, device=_hardware(device))
        self.examples = Examples(pack, recipe, device)
        self._ahead: tuple[int, Batch] | None = None
        self.validation = Validation(pack, recipe, device) if processes.first and wanted.validate else None
        self.amp = wanted.amp == "bf16" or (wanted.amp == "auto" and _bfloat16_pays(device))

    def run(
        self,
        minutes: float | None,
        say: Callable[[str], None],
        progress: ProgressCallback | None,
        cancel: CancelCallback | None,
    ) -> Outcome:
        wanted, state = self.recipe.optimisation, self.state
        log = Log(self.folder) if self.processes.first else None
        begin, first = time.monotonic(), state.step
        before, asked = state.seconds, False
        try:
            while state.step < wanted.steps:
                asked = bool(cancel is not None and cancel())
                late = minutes is not None and time.monotonic() - begin > 60 * minutes
                stop = self._step(asked or late)
                state.seconds = before + time.monotonic() - begin
                rate = (time.monotonic() - begin) / (state.step - first)
                last = state.step == wanted.steps
                if wanted.validate and (state.step % wanted.validate == 0 or last):
                    self._validate(log, say, rate * (wanted.steps - state.step))
                if state.step % wanted.save == 0 or last or stop:
                    self._save()
                if progress is not None:
                    progress(state.step / wanted.steps, "train")
                if stop:
                    break
        finally:
            if log is not None:
                log.close()
        self.processes.wait()
        if asked:
            raise StoppedError(state.step, self.folder)
        return Outcome(self.folder, state.step, state.step >= wanted.steps, tuple(state.curve))

    def _step(self, stop: bool) -> bool:
        """One step; whether any process wants to stop."""
        state = self.state
        batch = self._batch(state.step)
        for parameter in self.trained:
            parameter.grad.zero_()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.amp):
            image, mirrored = predict(self.net, batch, mirror=self.recipe.loss.reference > 0)
        if self.recipe.loss.consistent:
            # what consistency will put right is not the network's fault, and would drown the detail it has to learn
            image = batch.acquisition.consistent(image.float(), batch.acquisition.forward(batch.truth))
        measured = tuple(batch.target.shape[-2:])
        # with an error of twins in the sum the network learns to distrust every reference
        seen = slice(len(image) // 2 if batch.twins else None)
        judged = (None if x is None else x[seen] for x in (mirrored, batch.reference))
        loss, _ = total_loss(self.recipe.loss, image[seen], batch.truth[seen], measured, *judged)
        if batch.twins:
            loss = loss + self.recipe.loss.leak * leak_loss(image, batch.reference)
        loss.backward()
        if state.step + 1 < self.recipe.optimisation.steps:
            self._ahead = (state.step + 1, self._batch(state.step + 1))  # a GPU still works on the gradient
        told = torch.stack([loss.detach().float(), torch.tensor(float(stop), device=self.device)])
        value, stopping = self.processes.average(self.trained, told).tolist()
        self._update(value)
        state.step += 1
        return stopping > 0

    def _batch(self, step: int) -> Batch:
        if self._ahead is not None and self._ahead[0] == step:
            return self._ahead[1]
        return self.examples.batch(step, self.processes.part)

    def _update(self, loss: float) -> None:
        wanted, state = self.recipe.optimisation, self.state
        limit = wanted.clip if wanted.clip else math.inf
        norm = float(nn.utils.clip_grad_norm_(self.trained, limit))
        if not (math.isfinite(norm) and math.isfinite(loss)):
            state.skipped += 1
            state.row += 1
            if state.row >= wanted.patience:
                raise DivergedError(
                    f"Gradients were not finite in {state.row} steps in a row, up to step {state.step + 1}; training "
                    f"stopped, and the last checkpoint stands. Lower optimisation.rate ({wanted.rate:g}), set a clip, "
                    'or set amp = "off".'
                )
            return
        state.row = 0
        state.loss_sum, state.loss_count = state.loss_sum + loss, state.loss_count + 1
        self.optimiser.step(rate_share(wanted, state.step))
        decay = min(wanted.ema, (1 + state.step) / (10 + state.step))  # the random start is soon forgotten
        with torch.no_grad():
            for name, tensor in self.net.state_dict().items():
                self.average[name].lerp_(tensor, 1 - decay)

    def _validate(self, log: Log | None, say: Callable[[str], None], remaining: float) -> None:
        state = self.state
        loss = state.loss_sum / max(1, state.loss_count)
        state.loss_sum, state.loss_count = 0.0, 0
        if self.validation is None or log is None:
            return
        kept = {name: tensor.clone() for name, tensor in self.net.state_dict().items()}
        self.net.load_state_dict(self.average)
        scores = self.validation(self.net.eval())
        self.net.train().load_state_dict(kept)
        entry = {"step": state.step, "loss": loss, "scores": scores}
        state.curve.append(entry)
        log.add(entry)
        with replaced_together(self.folder / "curve.json") as (partial,):
            partial.write_text(json.dumps(state.curve, indent=1) + "\n", encoding="utf-8")
        draw_curve(state.curve, self.folder / PICTURE, self.recipe.name)
        say(line(entry, self.recipe.optimisation.steps, remaining))

    def _save(self) -> None:
        if not self.processes.first:
            return
        self.state.model, self.state.average = _on_cpu(self.net.state_dict()), _on_cpu(self.average)
        self.state.optimiser = self.optimiser.state_dict()
        save_state(self.state, self.folder)


def rate_share(wanted: Optimisation, step: int) -> float:
    """The rate of the step after `step` others, as a share of the recipe's."""
    if step < wanted.warmup:
        return (step + 1) / wanted.warmup
    if wanted.schedule == "halving":
        return 0.5 ** (step // wanted.halve)
    if wanted.schedule == "constant":
        return 1.0
    share = (step - wanted.warmup) / max(1, wanted.steps - wanted.warmup)
    return 0.5 * (1 + math.cos(math.pi * share))


def _on_cpu(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}


def _bfloat16_pays(device: torch.device) -> bool:
    """Whether training is faster in it. A CPU that knows it without tiles took a quarter longer than in float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()  # newer than the oldest PyTorch that runs this
    return bool(capabilities.get("amx_bf16"))


def _hardware(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
