"""The training loop: resumable at every step, in one process or several."""

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

from ..core.errors import CancelledError, InputError, MultiContrastSRError, NotEnoughMemoryError
from ..core.fallback import is_out_of_memory
from ..core.progress import CancelCallback, ProgressCallback
from ..io.files import replaced_together
from ..networks.registry import build
from ..networks.weight_average import averaged_model
from .checkpoint import NAME, State, check_data, check_recipe, load_state, save_state
from .curve import PLOT, TensorBoardLog, plot_curve, progress_line
from .data.batch import Batch
from .data.examples import Examples
from .data.pack import Pack
from .data.prefetch import batch_workers, prefetched
from .initial_weights import load_initial_weights
from .losses import leakage_loss, total_loss
from .optimiser import Optimiser, check_optimiser, learning_rate_factor
from .predict import predict
from .process_group import ProcessGroup
from .recipe import Recipe
from .time_limit import TimeLimit
from .validation import Validation


class DivergedError(MultiContrastSRError):
    """Gradients stay non-finite: training cannot go on."""

    exit_code = 1


class StoppedError(CancelledError):
    """Training was cancelled; its checkpoint holds all steps that were done."""

    def __init__(self, step: int, folder: Path) -> None:
        MultiContrastSRError.__init__(
            self, f"Stopped after step {step}; {folder / NAME} holds all of it. Run the same command again to go on."
        )
        self.stage = "train"


@dataclass(frozen=True)
class Outcome:
    """A training run that is finished, or has reached its time limit.

    Attributes:
        folder: with checkpoint, curve and log.
        step: steps done.
        finished: whether these are all of the recipe's.
        curve: one entry for each validation: step, loss, scores.
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
    workers: int | None = None,
    report: Callable[[str], None] = lambda text: None,
    progress: ProgressCallback | None = None,
    cancel: CancelCallback | None = None,
) -> Outcome:
    """Train by `recipe` on `pack` until its steps are done, from the checkpoint in `folder` where there is one.

    Args:
        folder: for checkpoint.pt, curve.json, curve.png and TensorBoard events; created when missing.
        device: "cpu", "cuda:0" or another of `core.devices.list_devices`. Of several processes each takes
            the GPU of its rank.
        workers: processes that make batches on the CPU; 0 makes them on the device; None chooses (`batch_workers`).
        minutes: time limit. At least one step is done; the checkpoint can be resumed.
        report: called with a line of text at each validation.

    Raises:
        InputError: the folder holds a training run of another recipe or on other data, the batch cannot be
            divided among the processes, or `workers` is negative.
        MethodUnavailableError: the installed PyTorch lacks the recipe's optimiser.
        WorkerError: a process that makes batches has ended.
        DivergedError: gradients stay non-finite.
        NotEnoughMemoryError: the device's memory does not suffice for a batch.
        StoppedError: `cancel()` returned True; the checkpoint was written.
    """
    limit = TimeLimit(minutes)
    if workers is not None and workers < 0:
        raise InputError(f"workers is {workers}; expected 0 or more. Leave it out to have it chosen.")
    check_optimiser(recipe.optimisation)
    with ProcessGroup.joined(device) as group:
        _check_batch_sizes(recipe, group)
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        try:
            training = _Training(recipe, pack, place, _local_device(device, group), group, workers)
            return training.run(limit, report, progress, cancel)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise NotEnoughMemoryError(
                f"Training with optimisation.batch_size = {recipe.optimisation.batch_size} ran out of the memory of "
                f"{device}; the last checkpoint is unchanged. Lower optimisation.batch_size or optimisation.patch."
            ) from error


def _check_batch_sizes(recipe: Recipe, group: ProcessGroup) -> None:
    names = ("batch_size", "whole_slice_batch_size") if recipe.optimisation.whole_slices else ("batch_size",)
    # with structures inserted in one half of a batch, each process takes its share of both halves
    divisor = group.size * (2 if recipe.augmentation.reference_lesions else 1)
    for name in names:
        size = getattr(recipe.optimisation, name)
        if size % divisor:
            raise InputError(
                f"optimisation.{name} is {size} for {group.size} processes; expected a multiple of {divisor}. Set "
                f"optimisation.{name}."
            )


def _local_device(device: str, group: ProcessGroup) -> torch.device:
    chosen = torch.device(device)
    if chosen.type == "cuda" and group.size > 1:
        chosen = torch.device("cuda", group.local_rank)
        torch.cuda.set_device(chosen)
    return chosen


class _Training:
    def __init__(
        self,
        recipe: Recipe,
        pack: Pack,
        folder: Path,
        device: torch.device,
        group: ProcessGroup,
        workers: int | None,
    ) -> None:
        self.recipe, self.folder, self.device, self.group = recipe, folder, device, group
        settings = recipe.optimisation
        torch.manual_seed(settings.seed)
        self.net = build(recipe.spec).to(device)
        resumed = (folder / NAME).exists()
        initial, frozen = None, frozenset()
        if settings.initial_weights and (settings.freeze_initial_weights or not resumed):
            initial = load_initial_weights(self.net, settings.initial_weights, freeze=settings.freeze_initial_weights)
            frozen = initial.names if settings.freeze_initial_weights else frozen
        self.trained = _select_trained(self.net, settings.trainable, frozen)
        self.optimiser = Optimiser(self.net, settings)
        if resumed:
            self.state = load_state(folder)
            check_recipe(self.state, recipe, folder)
            check_data(self.state, pack, folder)
            if _hardware(device) not in self.state.device.split("; "):
                self.state.device += f"; {_hardware(device)}"
            self.net.load_state_dict(self.state.average)
        else:
            sources = [*pack.sources, *([initial.description] if initial else [])]
            self.state = State(recipe.as_dict(), 0, {}, {}, [], sources=sources, device=_hardware(device))
        updates = self.state.step - self.state.skipped
        self.averaged = averaged_model(self.net, settings.ema_decay, updates)
        if resumed:
            self.net.load_state_dict(self.state.model)
            self.optimiser.load_state_dict(self.state.optimiser)
        steps = range(self.state.step, settings.steps)
        workers = batch_workers(device, group.local_size) if workers is None else workers
        examples = Examples(pack, recipe, "cpu" if workers else device, group.part)
        self.batches = prefetched(examples, steps, workers)
        self.batch = self._next_batch()
        self.validation = Validation(pack, recipe, device) if group.is_main and settings.validate_every else None
        self.amp = settings.amp == "bf16" or (settings.amp == "auto" and _bfloat16_is_faster(device))
        self.log = TensorBoardLog(folder) if group.is_main else None

    def run(
        self,
        limit: TimeLimit,
        report: Callable[[str], None],
        progress: ProgressCallback | None,
        cancel: CancelCallback | None,
    ) -> Outcome:
        settings, state = self.recipe.optimisation, self.state
        start, first_step, earlier_seconds = time.monotonic(), state.step, state.seconds
        if limit.is_set and self.validation is not None:
            limit.validation_seconds = self.validation.estimate_seconds(self.averaged.module)
        curve, stop, cancelled = state.curve, False, False
        try:
            while state.step < settings.steps and not stop:
                cancelled = cancel is not None and cancel()
                step_start = time.monotonic()
                stop = self._step(cancelled or limit.next_step_is_last())
                limit.step_took(time.monotonic() - step_start)
                elapsed = time.monotonic() - start
                state.seconds = earlier_seconds + elapsed
                remaining = elapsed / (state.step - first_step) * (settings.steps - state.step)
                last = state.step == settings.steps
                scheduled = settings.validate_every and (state.step % settings.validate_every == 0 or last)
                if scheduled:
                    self._validate(limit, report, remaining)
                if state.step % settings.save_every == 0 or last or stop:
                    self._save()
                if stop and not (scheduled or cancelled) and self._has_time_for_validation(limit):
                    curve = self._interim_validation(limit, report, remaining)
                if progress is not None:
                    progress(state.step / settings.steps, "train")
        finally:
            self.batches.close()
            if self.log is not None:
                self.log.close()
        self.group.wait()
        if cancelled:
            raise StoppedError(state.step, self.folder)
        return Outcome(self.folder, state.step, state.step >= settings.steps, tuple(curve))

    def _step(self, stop: bool) -> bool:
        """Do one step; whether any process asks to stop."""
        state, batch, settings = self.state, self.batch, self.recipe.loss
        for parameter in self.trained:
            parameter.grad.zero_()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.amp):
            image, reconstruction = predict(self.net, batch, reconstruct_reference=settings.reference > 0)
        if settings.data_consistency:
            # errors that data consistency corrects would outweigh the detail that the network has to learn
            image = batch.acquisition.consistent(image.float(), batch.acquisition.forward(batch.truth))
        # errors of the half with inserted structures would teach the network to ignore every reference
        part = slice(len(image) // 2 if batch.reference_lesions else None)
        auxiliary = (None if x is None else x[part] for x in (reconstruction, batch.reference))
        base = None if batch.base is None else batch.base[part, : self.recipe.spec.in_channels]
        loss, _ = total_loss(settings, image[part], batch.truth[part], tuple(batch.target.shape[-2:]), *auxiliary, base)
        if batch.reference_lesions:
            loss = loss + settings.leakage * leakage_loss(image, batch.reference)
        loss.backward()
        if not stop:
            self.batch = self._next_batch()
        numbers = torch.stack([loss.detach().float(), torch.tensor(float(stop), device=self.device)])
        mean_loss, stopping = self.group.average(self.trained, numbers).tolist()
        self._update(mean_loss)
        state.step += 1
        return stopping > 0

    def _next_batch(self) -> Batch | None:
        batch = next(self.batches, None)
        return None if batch is None else batch.to(self.device)

    def _update(self, loss: float) -> None:
        settings, state = self.recipe.optimisation, self.state
        norm = float(nn.utils.clip_grad_norm_(self.trained, settings.max_gradient_norm or math.inf))
        if not (math.isfinite(norm) and math.isfinite(loss)):
            state.skipped += 1
            state.consecutive_skipped += 1
            if state.consecutive_skipped >= settings.max_skipped_steps:
                raise DivergedError(
                    f"Gradients were not finite in {state.consecutive_skipped} steps in a row, up to step "
                    f"{state.step + 1}; training stopped, and the last checkpoint is unchanged. Lower "
                    f"optimisation.learning_rate ({settings.learning_rate:g}), set max_gradient_norm, or set "
                    'amp = "off".'
                )
            return
        state.consecutive_skipped = 0
        state.loss_sum, state.loss_count = state.loss_sum + loss, state.loss_count + 1
        self.optimiser.step(learning_rate_factor(settings, state.step))
        self.averaged.update_parameters(self.net)

    def _validate(self, limit: TimeLimit, report: Callable[[str], None], remaining: float) -> None:
        """A validation of the schedule, which becomes part of the training state."""
        state = self.state
        if self.validation is not None:
            start = time.monotonic()
            state.curve.append(self._entry(self.validation(self.averaged.module)))
            limit.validation_seconds = time.monotonic() - start
            self._publish(state.curve, report, remaining)
        state.loss_sum, state.loss_count = 0.0, 0

    def _has_time_for_validation(self, limit: TimeLimit) -> bool:
        if self.validation is None:
            return False
        return not self.state.curve or limit.remaining > limit.validation_seconds

    def _interim_validation(self, limit: TimeLimit, report: Callable[[str], None], remaining: float) -> list[dict]:
        """A validation at the time limit. It is not part of the state, so that a resumed run equals a whole one."""
        curve = [*self.state.curve, self._entry(self.validation(self.averaged.module, limit.deadline))]
        self._publish(curve, report, remaining)
        return curve

    def _entry(self, scores: dict[str, dict[str, float]]) -> dict[str, object]:
        state = self.state
        return {"step": state.step, "loss": state.loss_sum / max(1, state.loss_count), "scores": scores}

    def _publish(self, curve: list[dict], report: Callable[[str], None], remaining: float) -> None:
        self.log.add(curve[-1])
        with replaced_together(self.folder / "curve.json") as (partial,):
            partial.write_text(json.dumps(curve, indent=1) + "\n", encoding="utf-8")
        plot_curve(curve, self.folder / PLOT, self.recipe.name)
        report(progress_line(curve[-1], self.recipe.optimisation.steps, remaining))

    def _save(self) -> None:
        if not self.group.is_main:
            return
        self.state.model = _on_cpu(self.net.state_dict())
        self.state.average = _on_cpu(self.averaged.module.state_dict())
        self.state.optimiser = self.optimiser.state_dict()
        save_state(self.state, self.folder)


def _select_trained(net: nn.Module, pattern: str, frozen: frozenset[str]) -> list[nn.Parameter]:
    """The parameters whose names fit `pattern` and are not `frozen`, with gradients of zero; the others are fixed.

    Gradients exist from the start: a batch without a reference does not reach all parameters, and these then count as
    zero, in one process as in several.
    """
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(fnmatchcase(name, pattern or "*") and name not in frozen)
    trained = [parameter for parameter in net.parameters() if parameter.requires_grad]
    if not trained:
        first = next(name for name, _ in net.named_parameters())
        raise InputError(
            f"optimisation.trainable is {pattern!r}, which leaves nothing to train; expected a pattern of names of "
            f"parameters, such as {first!r}. Leave it empty to train all."
        )
    for parameter in trained:
        parameter.grad = torch.zeros_like(parameter)
    return trained


def _on_cpu(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}


def _bfloat16_is_faster(device: torch.device) -> bool:
    """Whether training is faster in bfloat16: twice as fast on CPUs with instructions for it, slower on others."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    if device.type != "cpu":
        return False  # not measured
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()  # not in the oldest PyTorch that is supported
    return any(capabilities.get(name) for name in ("amx_bf16", "avx512_bf16"))


def _hardware(device: torch.device) -> str:
    if device.type == "cpu":
        return f"CPU, {torch.get_num_threads()} threads"
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
