"""Replayed edits are, to the bit, full runs with the same edits, and compute no more than they must."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest

import diffuscope as ds
from diffuscope.edits import Edit, Encode, Inject, Patch, Reprompt, Reweight, Scale, Silence, Steer, control
from diffuscope.engine import Lens
from diffuscope.errors import (
    CaptureError,
    CorruptRecordingError,
    EditError,
    InputError,
    NotKeptError,
    SelectionError,
)
from diffuscope.recording import Recording
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
    assert count.calls == 0


@pytest.mark.parametrize("guidance", [3.0, 1.0])
def test_a_picture_of_a_batch_is_edited_as_it_was_drawn(guidance: float, tmp_path: Path) -> None:
    lens = lens_with("Euler ancestral")
    settings: dict[str, Any] = {"steps": STEPS, "width": 32, "height": 16, "guidance_scale": guidance}
    batch = lens.record(PROMPT, seed=5, images_per_prompt=3, out=tmp_path, previews=False, **settings)
    run = batch[1]
    count = Counting(lens)
    made: list[Run] = []
    edits = [Scale(-2.0, steps="2:4"), control(Silence("cat", steps="3"))]
    for asked in ((), edits):
        for full in (True, False):
            count.of(
                lambda asked=asked, full=full: made.append(lens.edit(run, *asked, out=tmp_path, full=full))
            )
    plain, again, full_run, replayed = made
    # Its own noise, in a batch of that size: the recorded run to the bit, whatever is drawn beside it.
    assert difference(run.recording, plain.recording).identical
    assert difference(run.recording, again.recording).identical
    assert difference(full_run.recording, replayed.recording).identical
    assert count.calls == 2 * STEPS + 1 + 2
    apart = difference(run.recording, replayed.recording)
    assert apart.first is not None and apart.first.step == 2
    sampling = replayed.manifest.sampling
    assert (sampling.seed, sampling.image_index, sampling.images_per_prompt) == (6, 1, 3)
    assert len(list(tmp_path.iterdir())) == 3 + 4
    # Runs of it are a pair; with the run that was drawn alone it is not.
    assert ds.compare(run, replayed).change.max() > 0
    alone = lens.record(PROMPT, seed=6, out=tmp_path, previews=False, **settings)
    with pytest.raises(InputError, match="images_per_prompt"):
        ds.compare(alone, replayed)


@pytest.mark.parametrize("family", ["sd3", "flux"])
def test_joint_attention_is_replayed_from_the_middle(family: str, tmp_path: Path) -> None:
    lens = Lens(random_pipeline(family))
    asked: dict[str, Any] = {"steps": 3, "width": 32, "height": 16, "seed": 1, "max_sequence_length": 24}
    run = lens.record("a cat by a tree", out=tmp_path, previews=False, **asked)
    calls = 0

    def counted(*_: Any) -> None:
        nonlocal calls
        calls += 1

    lens.pipe.transformer.norm_out.register_forward_pre_hook(counted)
    edit = Scale(-1.0, steps="2")
    full = lens.edit(run, edit, out=tmp_path, full=True)
    assert calls == 3
    replayed = lens.edit(run, edit, out=tmp_path)
    assert calls == 4
    assert difference(full.recording, replayed.recording).identical
    assert not difference(run.recording, replayed.recording).identical


def test_texts_and_directions_are_replayed(tmp_path: Path) -> None:
    lens = lens_with("DPM++ multistep")
    run = drawn(lens, tmp_path)
    for edit in (
        Steer("dog", word="cat", steps="2:4"),
        Steer("dog", space="guidance", steps="3", quantile=0.5),
        Encode("a dog", steps="2", heads="0", patches="box:0,0,15,15"),
        Reprompt("a dog", steps="3"),
        Reweight("cat", 2.0, of="odds", steps="2"),
        Patch(str(run.path), steps="2"),
        Inject(str(run.path), "self", steps="3", strength=0.5),
        control(Steer("dog", word="cat", steps="2")),
    ):
        full, replayed = (lens.edit(run, edit, out=tmp_path, full=full) for full in (True, False))
        assert difference(full.recording, replayed.recording).identical, edit.describe()


def test_a_donor_is_a_plain_run(tmp_path: Path) -> None:
    lens = lens_with("DDIM")
    run = drawn(lens, tmp_path)
    edited = lens.edit(run, Scale(0.0, steps="1"), out=tmp_path)
    with pytest.raises(EditError, match="made with edits"):
        lens.edit(run, Patch(str(edited.path), steps="2"), out=tmp_path)


def test_a_recording_without_outputs_is_told_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lens = lens_with("DDIM")
    run = drawn(lens, tmp_path)
    true = Recording.output

    def lost(self: Recording, step: int, call: int | None = None) -> Any:
        if step == 1:
            raise NotKeptError("'output@1' was not kept")
        return true(self, step, call)

    monkeypatch.setattr(Recording, "output", lost)
    count = Counting(lens)
    with pytest.raises(NotKeptError, match="call 1 has no recorded latent or output"):
        lens.edit(run, Scale(0.0, steps="3"), out=tmp_path)
    with pytest.raises(NotKeptError, match="full=True"):
        lens.sweep(run, [Scale(0.0, steps="3")])
    (run.path / "steps" / "0000.safetensors").write_bytes(b"")
    with pytest.raises(CorruptRecordingError):
        lens.sweep(Run.open(run.path), [Scale(0.0, steps="1:3")])
    assert count.calls == 0
