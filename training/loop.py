"""One training loop for every stage: budgeted by time, seeded, resumable from the exact state, logged.

Every batch is a function of (seed, stage, step), so no data state is kept: after a kill the loop goes on with the
batch that would have come next. The learning rate follows the share of the time budget that is spent.
On a CPU the budget counts processor time over the number of threads: a machine that others use trains as much as an
idle one, only later.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from training import checkpoint
from training.optimiser import Optimiser


@dataclass(frozen=True)
class Schedule:
    """How a stage is trained. `minutes` is the budget, `peak` the learning rate, held for `hold` of the budget,
    then lowered (cosine) to `floor` of the peak; `average` the decay of the weight average at full strength;
    `matrices`, whether matrices and convolutions are trained with Muon (see `optimiser`)."""

    minutes: float
    peak: float
    hold: float = 0.3
    floor: float = 0.02
    warmup: int = 100
    average: float = 0.999
    weight_decay: float = 1e-4
    beta2: float = 0.99
    clip: float = 1.0
    matrices: bool = False


def learning_rate(schedule: Schedule, share: float, step: int) -> float:
    """Learning rate when `share` of the budget is spent (0 to 1)."""
    warm = min(1.0, (step + 1) / schedule.warmup)
    if share <= schedule.hold:
        return schedule.peak * warm
    fall = min(1.0, (share - schedule.hold) / (1 - schedule.hold))
    return (
        schedule.peak * warm * (schedule.floor + (1 - schedule.floor) * 0.5 * (1 + math.cos(math.pi * fall)))
    )


class Average:
    """Exponential moving average of a model's weights, with the usual warm start of the decay."""

    def __init__(self, model: torch.nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: torch.nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        current = model.state_dict()
        names = [name for name, value in current.items() if value.is_floating_point()]
        torch._foreach_lerp_(
            [self.weights[name] for name in names], [current[name] for name in names], 1 - decay
        )
        for name, value in current.items():
            if not value.is_floating_point():
                self.weights[name].copy_(value)


def _clock(device: torch.device, cores: int) -> float:
    """Seconds that count against a budget."""
    return time.process_time() / cores if device.type == "cpu" else time.perf_counter()


def train(
    name: str,
    model: torch.nn.Module,
    loss: Callable[[int], tuple[torch.Tensor, dict[str, float]]],
    schedule: Schedule,
    folder: Path,
    *,
    seed: int,
    parameters: Iterable[torch.nn.Parameter] | None = None,
    every_minutes: float = 2.0,
    log_every: int = 50,
    look: Callable[[int, dict[str, torch.Tensor]], dict[str, float]] | None = None,
    look_minutes: float = 5.0,
    until: float = 1.0,
    cores: int | None = None,
) -> dict[str, torch.Tensor]:
    """Train `model` until the budget is spent and return the averaged weights.

    `loss(step)` builds the batch of that step and returns the loss and figures to log; one that has left its gradients
    in the weights already (`parts`) returns the loss detached. `look(step, weights)` is called now and then with the
    averaged weights, to draw samples and measure. State goes to `folder/<name>.safetensors`, figures to
    `folder/<name>.jsonl`. `until` stops at a share of the budget, for a stage that goes on in another way with the same
    schedule. `cores`: how many work at a time, torch's threads unless given; the optimiser's work is shared among them
    where torch's threads are fewer.
    """
    state_file = folder / f"{name}.safetensors"
    log_file = folder / f"{name}.jsonl"
    device = next(model.parameters()).device
    trained = list(parameters if parameters is not None else model.parameters())
    cores = cores or torch.get_num_threads()
    optimiser = Optimiser(
        trained,
        rate=schedule.peak,
        beta2=schedule.beta2,
        weight_decay=schedule.weight_decay,
        matrices=schedule.matrices,
        cores=max(1, cores // torch.get_num_threads()),
    )
    average = Average(model, schedule.average)
    step, spent = 0, 0.0
    if state_file.exists():
        state = checkpoint.load(state_file, device)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        average.weights = state["average"]
        step, spent = state["step"], state["spent"]
        print(f"{name}: goes on at step {step}, {spent / 60:.1f} min spent", flush=True)

    def keep() -> None:
        state: dict[str, Any] = {
            "model": model.state_dict(),
            "optimiser": optimiser.state_dict(),
            "average": average.weights,
            "step": step,
            "spent": spent,
        }
        checkpoint.save(state_file, state)

    def log(**figures: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        with log_file.open("a") as file:
            file.write(json.dumps({"step": step, "minutes": round(spent / 60, 3), **figures}) + "\n")

    budget = schedule.minutes * 60
    kept = looked = spent
    sums: dict[str, float] = {}
    counted = 0
    model.train()
    while spent < until * budget:
        started = _clock(device, cores)
        rate = learning_rate(schedule, spent / budget, step)
        # Noise and dropout of a step depend on the step alone, so a resumed run draws what the first would have.
        torch.manual_seed(seed * 1_000_003 + step)
        value, figures = loss(step)
        if value.requires_grad:
            value.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(trained, schedule.clip)
        optimiser.step(rate)
        optimiser.zero_grad()
        step += 1
        average.update(model, step)
        figures = {"loss": float(value.detach()), "grad": float(norm), **figures}
        if not math.isfinite(figures["loss"]):
            raise FloatingPointError(f"{name}: the loss is {figures['loss']} at step {step}")
        for key, figure in figures.items():
            sums[key] = sums.get(key, 0.0) + figure
        counted += 1
        spent += _clock(device, cores) - started
        if step % log_every == 0:
            log(lr=rate, **{key: total / counted for key, total in sums.items()})
            sums, counted = {}, 0
        if spent - kept > every_minutes * 60:
            keep()
            kept = spent
        if look is not None and spent - looked > look_minutes * 60:
            # Looking is not training: it does not count against the budget.
            model.eval()
            log(**look(step, average.weights))
            model.train()
            looked = spent
    keep()
    if look is not None:
        model.eval()
        log(**look(step, average.weights))
    return average.weights
