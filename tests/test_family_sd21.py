"""Stable Diffusion 2.x: v-prediction, products of attention in float32, heads of one size, linear projections."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ways import PROMPT, proved, size, tiny

from diffuscope.engine import Lens

pytestmark = pytest.mark.filterwarnings("ignore")


def test_the_model_is_of_its_kind() -> None:
    pipe = tiny("sd21")
    assert pipe.scheduler.config.prediction_type == "v_prediction"
    assert pipe.unet.mid_block.attentions[0].transformer_blocks[0].attn1.upcast_attention
    assert Lens(pipe).family.name == "stable-diffusion"


def test_the_predicted_clean_latent_is_that_of_v(tmp_path: Path) -> None:
    """Salimans & Ho 2022, appendix D: x0 = alpha x - sigma v, after guidance."""
    pipe = tiny("sd21")
    (run,) = proved(pipe, tmp_path, prompt=PROMPT, guidance_scale=5.0, **size("sd21"))
    signal = pipe.scheduler.alphas_cumprod.double().numpy()
    for step in run.steps:
        uncond, cond = run.recording.output(step.index).astype(np.float64)
        v = uncond + 5 * (cond - uncond)
        sample = run.recording.latent(step.index)[-1].astype(np.float64)
        alpha = signal[int(step.timestep)]
        expected = alpha**0.5 * sample - (1 - alpha) ** 0.5 * v
        np.testing.assert_allclose(run.recording.pred_x0(step.index), expected, atol=1e-4, rtol=1e-4)
