"""The predicted clean latent of a step, from what the scheduler was given."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class NoiseLevel:
    """Noise at a step: `signal` and `noise` are the amplitudes alpha and sigma of `x = alpha x0 + sigma eps` in the
    scheduler's own scaling of the latent; `log_snr` is `2 ln(alpha / sigma)`, None where it is infinite."""

    signal: float
    noise: float

    @property
    def log_snr(self) -> float | None:
        if self.signal <= 0 or self.noise <= 0:
            return None
        return 2 * math.log(self.signal / self.noise)

    @property
    def sigma(self) -> float | None:
        """Noise over signal amplitude, the `sigma` of k-diffusion."""
        return self.noise / self.signal if self.signal > 0 else None


def noise_level(scheduler: Any, timestep: float, entry: int) -> NoiseLevel:
    """Noise level at `timestep`, the `entry`-th of `scheduler.timesteps`.

    Three kinds of scheduler: flow matching interpolates, `x = (1 - sigma) x0 + sigma eps`; those that start from noise
    much larger than 1 (`init_noise_sigma`) leave the latent unscaled, `x = x0 + sigma eps` (Karras et al. 2022); the
    others preserve variance. Sigmas are read from the scheduler's own table where it has one, since spaced tables
    (Karras, exponential) differ from the training table at the same timestep.
    """
    sigmas = getattr(scheduler, "sigmas", None)
    if sigmas is not None and entry < len(sigmas):
        sigma = float(sigmas[entry])
        if is_flow(scheduler):
            return NoiseLevel(1 - sigma, sigma)
        if float(scheduler.init_noise_sigma) > 1.5:
            return NoiseLevel(1.0, sigma)
        signal = (1 + sigma**2) ** -0.5
        return NoiseLevel(signal, sigma * signal)
    alphas = scheduler.alphas_cumprod
    index = min(max(round(timestep), 0), len(alphas) - 1)
    alpha = float(alphas[index])
    return NoiseLevel(alpha**0.5, (1 - alpha) ** 0.5)


def is_flow(scheduler: Any) -> bool:
    """Whether the scheduler interpolates between picture and noise instead of adding noise."""
    return "FlowMatch" in type(scheduler).__name__ or bool(
        getattr(scheduler.config, "use_flow_sigmas", False)
    )


def predicted_clean(
    scheduler: Any, output: torch.Tensor, sample: torch.Tensor, level: NoiseLevel
) -> torch.Tensor:
    """The clean latent that `output` (after guidance) predicts from `sample`, both `[row, channel, y, x]`.

    `prediction_type` says what the denoiser was trained to give: the noise (Ho et al. 2020), v (Salimans & Ho 2022,
    appendix D), the sample itself, or a flow velocity (Lipman et al. 2023).
    """
    kind = str(getattr(scheduler.config, "prediction_type", None) or "epsilon")
    if kind == "sample":
        return output.clone()
    if is_flow(scheduler):
        return sample - level.noise * output
    if kind == "v_prediction":
        # With an unscaled latent x0 + sigma eps, first bring it to unit variance.
        norm = (level.signal**2 + level.noise**2) ** 0.5
        clean: torch.Tensor = (level.signal * sample / norm - level.noise * output) / norm
        return clean
    return (sample - level.noise * output) / max(level.signal, 1e-8)
