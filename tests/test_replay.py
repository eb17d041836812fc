"""Replayed edits are, to the bit, full runs with the same edits, and compute no more than they must."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest

from diffuscope.edits import Edit, Scale, Silence
from diffuscope.engine import Lens
from diffuscope.errors import CaptureError, InputError, SelectionError
from diffuscope.recording.difference import difference
from diffuscope.recording.verify import verify
from diffuscope.run import Run
from diffuscope.testing import random_pipeline

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

STEPS, PROMPT = 4, "a cat by a tree"
SCHEDULERS: dict[str, tuple[str, dict[str, Any]]] = {
    "DDIM": ("DDIMScheduler", {}),
    "PNDM": ("PNDMScheduler", {"skip_prk_steps": True}),
    "Euler": ("EulerDiscreteScheduler", {}),
    "Euler ancestral": ("EulerAncestralDiscreteScheduler", {}),
    "DPM++ multistep": ("DPMSolverMultistepScheduler", {}),
    "UniPC": ("UniPCMultistepScheduler", {}),
    "Heun": ("HeunDiscreteScheduler", {}),
    "LCM": ("LCMScheduler", {}),
}


def lens_with(name: str) -> Lens:
    pipe = random_pipeline("sd15")
    kind, options = SCHEDULERS[name]
    pipe.scheduler = getattr(diffusers, kind).from_config(pipe.scheduler.config, **options)
    return Lens(pipe)


def drawn(lens: Lens, out: Path, **settings: Any) -> Run:
    settings = {"seed": 5, "steps": STEPS, "guidance_scale": 3.0, "width": 32, "height": 16, **settings}
    made = lens.record(PROMPT, out=out, previews=False, **settings)
    assert isinstance(made, Run)
    return made


class Counting:
    """Counts what the denoiser itself computes, below everything that is put on its forward."""

    def __init__(self, lens: Lens) -> None:
        self.calls = 0
        lens.pipe.unet.conv_in.register_forward_pre_hook(self._count)

    def _count(self, *_: Any) -> None:
        self.calls += 1

    def of(self, draw: Any) -> int:
        before = self.calls
        draw()
        return self.calls - before


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_replay_is_a_full_run_with_the_same_edits(name: str, tmp_path: Path) -> None:
    lens = lens_with(name)
    count = Counting(lens)
    run = drawn(lens, tmp_path)
    edits: list[Edit] = [Scale(-2.0, steps="2:4"), Silence("cat", steps="2:4")]
    runs: list[Run] = []
    calls = [
        count.of(lambda full=full: runs.append(lens.edit(run, *edits, out=tmp_path, full=full)))
        for full in (True, False)
    ]
    full, replayed = runs
    found = difference(full.recording, replayed.recording)
    assert found.identical and found.first is None
    assert {file.path for file in full.manifest.files} == {file.path for file in replayed.manifest.files}
    apart = difference(run.recording, replayed.recording)
    assert apart.first is not None and apart.first.step == 2
    assert calls[0] == sum(len(step.calls) for step in run.steps)
    assert calls[1] == sum(len(step.calls) for step in run.steps[2:])
    assert replayed.manifest.parent == run.id
    assert [each["edit"] for each in replayed.manifest.edits] == ["scale", "silence"]
    assert verify(replayed.recording.path).whole


def test_no_edit_gives_the_run_itself_for_one_step(tmp_path: Path) -> None:
    lens = lens_with("DDIM")
    count = Counting(lens)
    run, made = drawn(lens, tmp_path), list[Run]()
    assert count.of(lambda: made.append(lens.edit(run, out=tmp_path))) == 1
    assert difference(run.recording, made[0].recording).identical
    assert made[0].manifest.edits == []


def test_edits_of_an_edited_run_come_after_its_own(tmp_path: Path) -> None:
    lens = lens_with("UniPC")
    run = drawn(lens, tmp_path)
    first, second = Scale(0.0, steps="1"), Silence("tree", steps="3")
    twice = lens.edit(lens.edit(run, first, out=tmp_path), second, out=tmp_path)
    at_once = lens.edit(run, first, second, out=tmp_path)
    assert difference(at_once.recording, twice.recording).identical
    assert twice.manifest.edits == at_once.manifest.edits


def test_nothing_is_left_of_a_replay(tmp_path: Path) -> None:
    lens = lens_with("Euler")
    scheduler = lens.pipe.scheduler
    run = drawn(lens, tmp_path)
    lens.edit(run, Scale(0.0, steps="2"), out=tmp_path)
    assert lens.pipe.scheduler is scheduler
    assert "forward" not in vars(lens.pipe.unet)
    assert np.array_equal(np.asarray(drawn(lens, tmp_path).image), np.asarray(run.image))


def test_a_recording_that_cannot_be_continued_is_told(tmp_path: Path) -> None:
    lens = lens_with("DDIM")
    run = drawn(lens, tmp_path)
    manifest = run.manifest
    other = manifest.sampling.model_copy(update={"seed": 6})
    run.recording.manifest = manifest.model_copy(update={"sampling": other})
    with pytest.raises(CaptureError, match="latent that goes into call 0"):
        lens.edit(run, Scale(0.0, steps="2"), out=tmp_path)


def test_bad_input_is_told_before_anything_runs(tmp_path: Path) -> None:
    lens = lens_with("DDIM")
    run = drawn(lens, tmp_path)
    count = Counting(lens)
    for edit, error in (
        (Scale(0.0, steps="9"), SelectionError),
        (Scale(0.0, sites="cross:nowhere"), SelectionError),
        (Scale(0.0, heads="40"), SelectionError),
        (Silence("zebra"), InputError),
    ):
        with pytest.raises(error):
            lens.edit(run, edit, out=tmp_path)
    pair = lens.record(
        PROMPT, steps=1, width=16, height=16, images_per_prompt=2, out=tmp_path, previews=False
    )
    with pytest.raises(InputError, match="drawn together"):
        lens.edit(pair[0], Scale(0.0), out=tmp_path)
    assert count.calls == 1
