"""Every kind of scheduler is recorded as it is: undisturbed, with its own steps, calls, noise and clean latents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from exactness_checks import CHECKS, Account, observe

from diffuscope.engine import Lens
from diffuscope.testing import random_pipeline

# Their NumPy code is older than NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

STEPS = 5
SCHEDULERS: dict[str, tuple[str, dict[str, Any]]] = {
    "DDIM": ("DDIMScheduler", {}),
    "PNDM": ("PNDMScheduler", {"skip_prk_steps": True}),
    "Heun": ("HeunDiscreteScheduler", {}),
    "Euler": ("EulerDiscreteScheduler", {}),
    "Euler ancestral": ("EulerAncestralDiscreteScheduler", {}),
    "DPM++ 2M": ("DPMSolverMultistepScheduler", {}),
    "DPM++ 2M Karras": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    "DPM++ 2M SDE": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    "UniPC": ("UniPCMultistepScheduler", {}),
    "LCM": ("LCMScheduler", {}),
}
CALLS = {"PNDM": [2, 1, 1, 1, 1], "Heun": [2, 2, 2, 2, 1]}
"""Calls of each step where there are more than one."""


def scheduled(name: str, options: dict[str, Any]) -> Any:
    """A pipeline with a scheduler of that class."""
    pipe = random_pipeline("sd15")
    pipe.scheduler = getattr(diffusers, name).from_config(pipe.scheduler.config, **options)
    return pipe


@pytest.fixture(scope="module", params=SCHEDULERS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def drawn(kind: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Account, np.ndarray]:
    """A recorded run, and the latent that was decoded into its picture."""
    pipe, decoded = scheduled(*SCHEDULERS[kind]), []
    handle = pipe.vae.post_quant_conv.register_forward_pre_hook(
        lambda _, given: decoded.append(given[0].clone())
    )
    account = observe(pipe, tmp_path_factory.mktemp("runs"), steps=STEPS)
    handle.remove()
    plain, recorded = decoded
    assert torch.equal(plain, recorded)
    return account, (recorded[0] * pipe.vae.config.scaling_factor).double().numpy()


@pytest.fixture(scope="module")
def account(drawn: tuple[Account, np.ndarray]) -> Account:
    return drawn[0]


@pytest.mark.parametrize(
    "check", ["undisturbed", "no trace", "steps", "rows", "attention", "maps", "noise", "clean latent"]
)
def test_recordings_of_every_scheduler_are_exact(account: Account, check: str) -> None:
    CHECKS[check](account)


def test_steps_have_their_calls_and_the_noise_falls(kind: str, account: Account) -> None:
    (run,) = account.runs
    assert [len(step.calls) for step in run.steps] == CALLS.get(kind, [1] * STEPS)
    assert run.manifest.sampling.scheduler.name == SCHEDULERS[kind][0]
    sigmas = [step.sigma or 0.0 for step in run.steps]
    ratios = [step.log_snr or 0.0 for step in run.steps]
    assert sigmas == sorted(sigmas, reverse=True) and ratios == sorted(ratios)
    assert len({step.timestep for step in run.steps}) == STEPS


def test_the_clean_latent_of_the_last_step_is_the_picture(
    kind: str, drawn: tuple[Account, np.ndarray]
) -> None:
    """Where the last step goes to no noise at all, it is; DDIM goes to the schedule's smallest noise, and PNDM
    extrapolates from earlier outputs."""
    account, last = drawn
    (run,) = account.runs
    clean = run.recording.pred_x0(STEPS - 1)
    uncond, cond = run.recording.output(STEPS - 1)
    noise = uncond + 5 * (cond - uncond)
    if kind == "DDIM":
        # Song et al. 2021, eq. 12, without fresh noise, to the schedule's first timestep.
        signal = 1 - account.pipe.scheduler.config.beta_start
        assert (
            np.abs(signal**0.5 * clean + (1 - signal) ** 0.5 * noise - last).max()
            <= 1e-5 * np.abs(last).max()
        )
    elif kind == "PNDM":
        assert np.abs(clean - last).max() <= 4 * (run.steps[-1].sigma or 0.0) * np.abs(noise).max()
    else:
        assert np.abs(clean - last).max() <= 1e-5 * np.abs(last).max()
    vae = account.pipe.vae
    with torch.no_grad():
        decoded = vae.decode(torch.from_numpy(clean.copy())[None] / vae.config.scaling_factor).sample[0]
    shown = (decoded / 2 + 0.5).clamp(0, 1).permute(1, 2, 0).numpy() * 255
    assert np.abs(shown - np.asarray(run.image, np.float64)).max() <= 1.0


@pytest.mark.parametrize(
    ("name", "options", "steps"),
    [
        ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}, 50),
        ("KDPM2DiscreteScheduler", {}, 4),
        ("PNDMScheduler", {"skip_prk_steps": False}, 5),
        ("HeunDiscreteScheduler", {"use_karras_sigmas": True}, 30),
        ("EulerDiscreteScheduler", {"use_karras_sigmas": True}, 50),
    ],
    ids=["DPM++ 2M Karras", "KDPM2", "PNDM with Runge-Kutta", "Heun Karras", "Euler Karras"],
)
def test_as_many_steps_are_recorded_as_were_asked_for(
    tmp_path: Path, name: str, options: dict[str, Any], steps: int
) -> None:
    seen: list[tuple[int, int]] = []
    run = Lens(scheduled(name, options)).record(
        "a cat",
        steps=steps,
        width=16,
        height=16,
        keep="maps",
        previews=False,
        out=tmp_path,
        progress=lambda step, of: seen.append((step, of)),
    )
    assert [step.index for step in run.steps] == list(range(steps))
    assert seen == [(step, steps) for step in range(1, steps + 1)]
