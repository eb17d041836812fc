"""`verify --rerun`: the same picture and tensors from the manifest alone, or precisely what differs."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_recording as tiny
from command_line import CommandLine
from PIL import Image
from safetensors.torch import load_file, save_file

from diffuscope.engine import Lens
from diffuscope.engine.models.reopening import rebuild_scheduler
from diffuscope.engine.rerun import Rerun, rerun
from diffuscope.errors import CorruptRecordingError, InputError, ModelNotFoundError, RunFolderError
from diffuscope.recording import Manifest, Recording, RunWriter, Scheduler
from diffuscope.recording.difference import Place, difference
from diffuscope.recording.manifest_file import ManifestFile
from diffuscope.run import Run
from diffuscope.testing import random_pipeline

PROMPT = "a red cat and a dog"
SMALL: dict[str, Any] = {"steps": 3, "width": 40, "height": 24, "previews": False}
UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline with random weights as a folder in diffusers layout. Not to be changed."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    random_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture
def model(saved: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    return Path(shutil.copytree(saved, tmp_path / "model"))


@pytest.fixture
def run(model: Path, tmp_path: Path) -> Path:
    """A run of that model."""
    recorded: Run = Lens.load(model, device="cpu").record(PROMPT, seed=3, out=tmp_path / "runs", **SMALL)
    return recorded.path


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(capsys)


def change_weight(model: Path, name: str, change: Callable[[Any], Any]) -> None:
    """Change one weight of a saved denoiser."""
    weights = load_file(model / UNET)
    weights[name].view(-1)[0] = change(weights[name].view(-1)[0])
    save_file(weights, model / UNET)


def reseal(run: Path, **changes: Any) -> None:
    """Write a run's manifest with other fields, sealed: what someone who means harm can do."""
    manifest = Recording.open(run).manifest
    file = ManifestFile(run / "manifest.json", Manifest.model_validate(manifest.model_dump() | changes))
    for step in manifest.steps:
        file.add_step(step)
    for each in manifest.files:
        file.add_file(each)
    file.close(complete=manifest.complete, stopped=manifest.stopped)
    file.write()


def resampled(run: Path, **changes: Any) -> None:
    """Other fields of its sampling."""
    reseal(run, sampling=Recording.open(run).manifest.sampling.model_dump() | changes)


def remodelled(run: Path, **changes: Any) -> None:
    """Other fields of its model."""
    reseal(run, model=Recording.open(run).manifest.model.model_dump() | changes)


# The same.


def test_a_run_comes_out_the_same_from_its_manifest_alone(run: Path) -> None:
    steps: list[tuple[int, int]] = []
    found = rerun(run, progress=lambda step, of: steps.append((step, of)))
    assert found.verdict == "identical" and found.identical and found.folder is None
    apart = found.difference
    assert apart.steps == 3 and steps == [(1, 3), (2, 3), (3, 3)]
    assert apart.picture is not None and apart.picture.pixels == 0 and apart.picture.psnr == math.inf
    assert apart.software == apart.model == apart.settings == apart.course == ()
    kinds = {kind.kind: kind.compared for kind in apart.tensors}
    assert kinds.items() >= {"queries": 3 * 14, "keys": 3 * 7, "word maps": 3 * 7, "latents": 3}.items()
    assert kinds["text keys"] == kinds["text values"] == 7 and kinds["embeddings"] == 1
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["verdict"] == "identical"


@pytest.mark.parametrize(
    "options",
    [
        {"keep": "maps"},
        {"keep": "cross", "sites": "cross:up.*", "guidance_scale": 1.0},
        {"negative_prompt": "a dog", "guidance_scale": 3.5},
        {"keep": "qk", "keep_steps": "1:", "keep_heads": "0", "values": True, "store": "float16"},
    ],
)
def test_what_was_asked_for_and_kept_is_asked_for_again(
    saved: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    recorded = Lens.load(saved, device="cpu").record(PROMPT, seed=1, out=tmp_path, **SMALL, **options)
    found = rerun(recorded.recording)
    assert found.identical and found.difference.settings == ()


@pytest.mark.parametrize(
    "name", ["HeunDiscreteScheduler", "EulerAncestralDiscreteScheduler", "UniPCMultistepScheduler"]
)
def test_the_scheduler_is_the_manifests_not_the_folders(saved: Path, tmp_path: Path, name: str) -> None:
    import diffusers

    lens = Lens.load(saved, device="cpu")
    own = lens.pipe.scheduler
    lens.pipe.scheduler = getattr(diffusers, name).from_config(own.config)
    recorded = lens.record(PROMPT, out=tmp_path, **SMALL)
    assert rerun(recorded.path).identical
    # An open lens gets its own scheduler back.
    lens.pipe.scheduler = own
    assert rerun(recorded.path, lens).identical
    assert lens.pipe.scheduler is own


def test_each_of_several_pictures_is_drawn_together_with_the_others(saved: Path, tmp_path: Path) -> None:
    runs = Lens.load(saved, device="cpu").record(
        PROMPT, seed=5, images_per_prompt=3, out=tmp_path / "runs", **SMALL
    )
    for index in (0, 2):
        found = rerun(runs[index].path, out=tmp_path / "again")
        assert found.identical and found.folder is not None
        assert Run.open(found.folder).manifest.sampling.image_index == index
    assert len(list((tmp_path / "again").iterdir())) == 6


def test_a_stopped_run_is_compared_up_to_its_last_whole_step(saved: Path, tmp_path: Path) -> None:
    def stop(step: int, of: int) -> None:
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Lens.load(saved, device="cpu").record(
            PROMPT, out=tmp_path / "runs", progress=stop, **{**SMALL, "steps": 6}
        )
    (stopped,) = (tmp_path / "runs").iterdir()
    steps: list[tuple[int, int]] = []
    found = rerun(stopped, out=tmp_path / "again", progress=lambda step, of: steps.append((step, of)))
    assert found.identical and found.difference.picture is None and found.difference.steps == 2
    # No more is drawn than is compared.
    assert steps == [(1, 2), (2, 2)]
    assert found.folder is not None and len(Recording.open(found.folder).manifest.steps) == 2


def test_the_shipped_model_comes_out_the_same(tmp_path: Path) -> None:
    lens = Lens.load("scenes", device="cpu")
    recorded = lens.record(
        "a red circle left of a blue square", steps=3, keep="cross", previews=False, out=tmp_path
    )
    assert rerun(recorded.path).identical


def test_nothing_is_left_behind(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    rerun(run)

    def interrupt(step: int, of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rerun(run, out=tmp_path / "kept", progress=interrupt)
    assert list(scratch.iterdir()) == list((tmp_path / "kept").iterdir()) == []
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


# Not the same.


def test_one_changed_weight_is_found_where_it_acts_first(run: Path, model: Path) -> None:
    change_weight(model, "mid_block.attentions.0.transformer_blocks.0.attn2.to_q.weight", lambda w: w + 1)
    said: list[str] = []
    found = rerun(run, notice=said.append)
    assert found.verdict == "different"
    # Of the sites before it, self-attention of its own block included, every bit is the same in the first call.
    assert found.difference.first == Place(0, 0, "cross:mid", "queries")
    (file,) = found.difference.model
    assert file.name == UNET and file.recorded != file.again
    assert len(said) == 1 and UNET in said[0]
    kinds = {kind.kind: kind for kind in found.difference.tensors}
    assert kinds["embeddings"].differing == kinds["text keys"].differing == 0
    assert kinds["queries"].largest > 0 and kinds["queries"].missing == 0


def test_a_hair_is_within_tolerance(run: Path, model: Path) -> None:
    change_weight(model, "conv_in.weight", lambda w: w * (1 + 1e-5))
    found = rerun(run)
    assert found.verdict == "within tolerance" and not found.identical
    assert 0 < found.difference.relative <= found.tolerance == 1e-3
    assert rerun(run, tolerance=1e-12).verdict == "different"


def test_another_scheduler_file_in_the_folder_changes_nothing(run: Path, model: Path) -> None:
    path = model / "scheduler" / "scheduler_config.json"
    path.write_text(path.read_text().replace('"steps_offset": 1', '"steps_offset": 0'))
    found = rerun(run)
    assert found.identical
    assert [change.name for change in found.difference.model] == ["scheduler/scheduler_config.json"]


def test_another_configuration_of_the_scheduler_is_another_course(run: Path) -> None:
    described = Recording.open(run).manifest.sampling.scheduler
    config = described.config | {"steps_offset": 0, "timestep_spacing": "trailing"}
    resampled(run, scheduler={"name": described.name, "config": config})
    found = rerun(run)
    assert found.verdict == "different"
    assert [change.name for change in found.difference.course] == ["step 0", "step 1", "step 2"]


def test_a_missing_file_and_other_software_are_named(run: Path, model: Path) -> None:
    manifest = Recording.open(run).manifest
    lost = manifest.model.files[0].model_copy(update={"path": "unet/lost.safetensors"})
    reseal(
        run,
        software=manifest.software | {"torch": "1.0", "device": "a machine of long ago"},
        model=manifest.model.model_dump() | {"files": [*manifest.model.files[1:], lost]},
    )
    found = rerun(run, device="cpu")
    assert found.identical
    assert {change.name: change.recorded for change in found.difference.software} == {
        "torch": "1.0",
        "device": "a machine of long ago",
    }
    assert {change.name: change.again for change in found.difference.model if change.again == "missing"} == {
        "unet/lost.safetensors": "missing"
    }


# Where the model is.


def test_a_moved_folder_is_named_and_then_found(run: Path, model: Path, tmp_path: Path) -> None:
    moved = model.rename(tmp_path / "elsewhere")
    with pytest.raises(ModelNotFoundError, match="--model"):
        rerun(run)
    found = rerun(run, model=moved)
    assert found.identical
    assert [(change.name, change.again) for change in found.difference.model] == [("id", str(moved))]


def test_a_folder_that_is_gone_is_never_fetched_from_the_hub(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "diffusers.DiffusionPipeline.from_pretrained", lambda *_, **__: pytest.fail("fetched")
    )
    monkeypatch.chdir(tmp_path)
    remodelled(run, id="models/tiny")
    with pytest.raises(ModelNotFoundError, match="models/tiny"):
        rerun(run)


def test_a_hub_model_is_opened_at_its_revision(
    run: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diffusers import DiffusionPipeline

    opened: list[tuple[str, Any]] = []

    def fetch(name: str, *, revision: str | None = None, **options: Any) -> str:
        opened.append((name, revision))
        return str(model)

    monkeypatch.setattr(DiffusionPipeline, "download", fetch)
    remodelled(run, id="someone/model", source="hub", revision="a" * 40, files=[])
    assert rerun(run).identical
    # The revision is not one of another model's, and a folder is not fetched.
    rerun(run, model=model)
    assert opened == [("someone/model", "a" * 40)]


def test_a_pipeline_object_is_asked_for(saved: Path, tmp_path: Path) -> None:
    recorded = Lens(random_pipeline()).record(PROMPT, out=tmp_path, **SMALL)
    with pytest.raises(ModelNotFoundError, match="pipeline object"):
        rerun(recorded.path)
    found = rerun(recorded.path, model=saved)
    assert found.identical and "source" in [change.name for change in found.difference.model]
    assert rerun(recorded.path, Lens(random_pipeline())).identical


# What is refused, before anything is drawn.


@pytest.mark.parametrize(
    "name",
    [
        "os",
        "os.system",
        "../scheduler",
        "",
        "__class__",
        "__import__",
        "SchedulerMixin\n",
        "scheduling_ddim",
        "requires_backends",
        "KarrasDiffusionSchedulers",
        "DDIMSchedulerOutput",
        "StableDiffusionPipeline",
        "diffusers.DDIMScheduler",
        "MyScheduler",
        "🙂",
    ],
)
def test_a_name_that_is_no_scheduler_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="no scheduler"):
        rebuild_scheduler(Scheduler(name=name, config={}))


@pytest.mark.parametrize(
    "config",
    [
        {"beta_schedule": "__import__('os').abort()"},
        {"num_train_timesteps": "many"},
        {"num_train_timesteps": -1},
        {"trained_betas": {"a": []}},
    ],
)
def test_a_configuration_that_is_none_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="does not take"):
        rebuild_scheduler(Scheduler(name="DDIMScheduler", config=config))


def test_infinities_of_a_configuration_are_numbers_again() -> None:
    made = rebuild_scheduler(
        Scheduler(name="DPMSolverMultistepScheduler", config={"lambda_min_clipped": -math.inf})
    )
    assert made.config.lambda_min_clipped == -math.inf


def test_hostile_manifests_are_refused_before_a_model_is_opened(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("diffuscope.engine.models.reopening.load", lambda *_, **__: pytest.fail("opened"))
    kept = (run / "manifest.json").read_bytes()
    described = Recording.open(run).manifest.sampling.scheduler
    for change, said in (
        (lambda: resampled(run, scheduler={"name": "os.system", "config": {}}), "no scheduler"),
        (
            lambda: resampled(run, scheduler={"name": described.name, "config": {"beta_schedule": 3}}),
            "does not take",
        ),
        (lambda: resampled(run, seed=None), "generator"),
        (lambda: resampled(run, seed=2**64), "seed"),
        (lambda: resampled(run, image_index=4), "picture 4 of 1"),
        (lambda: remodelled(run, dtype="__class__"), "float32"),
        (lambda: remodelled(run, source="anything"), "--model"),
        (lambda: remodelled(run, id="/no/such/folder"), "no/such/folder"),
        (lambda: reseal(run, edits=[{"kind": "scale"}]), "edits"),
    ):
        change()
        with pytest.raises(InputError, match=said):
            rerun(run)
        (run / "manifest.json").write_bytes(kept)


def test_another_model_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not the run's model"):
        rerun(run, model="scenes")


def test_a_damaged_run_is_nothing_to_compare_with(run: Path) -> None:
    (run / "image.png").unlink()
    with pytest.raises(CorruptRecordingError, match=r"image\.png is missing"):
        rerun(run)


def test_a_lens_and_a_model_are_one_too_many(run: Path, model: Path) -> None:
    with pytest.raises(InputError, match="a lens"):
        rerun(run, Lens.load(model, device="cpu"), model=model)


def test_a_folder_that_cannot_be_written_is_refused(run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunFolderError, match="--out"):
        rerun(run, out=tmp_path / "file")


def test_a_run_without_a_whole_step_is_refused(tmp_path: Path) -> None:
    with RunWriter(tmp_path / "run", tiny.manifest()) as writer:
        writer.abort("no reason")
    with pytest.raises(InputError, match="nothing to compare"):
        rerun(tmp_path / "run")


# The comparison of two recordings, which needs no model.


def written(
    folder: Path, change: Callable[[int, dict[str, Any]], None] | None = None, **options: Any
) -> Recording:
    """A small run of two steps of two calls, its tensors changed as `change(step, tensors)` does."""
    with RunWriter(folder, tiny.manifest(folder.name, asked=2)) as writer:
        writer.write_text(tiny.text())
        for index in range(options.get("steps", 2)):
            step = tiny.step(index, calls=2)
            tensors = tiny.tensors(step)
            if change is not None:
                change(index, tensors)
            writer.write_step(step, tensors, tiny.maps(step))
        if "steps" in options:
            writer.abort("here")
        else:
            writer.finish(options.get("picture", tiny.picture()))
    return Recording.open(folder)


def test_two_equal_recordings_differ_in_nothing(tmp_path: Path) -> None:
    found = difference(written(tmp_path / "a"), written(tmp_path / "b"))
    assert found.identical and found.within(0) and found.relative == 0 and found.first is None


def test_the_first_place_is_the_first_in_the_run_not_in_the_file(tmp_path: Path) -> None:
    def change(step: int, tensors: dict[str, Any]) -> None:
        if step == 1:
            for key in ("pred_x0", "output@3", f"q/{tiny.SELF}@3", f"k/{tiny.CROSS}@3", f"q/{tiny.CROSS}@3"):
                if key in tensors:
                    tensors[key] = tensors[key] + 1

    found = difference(written(tmp_path / "a"), written(tmp_path / "b", change))
    assert found.first == Place(1, 3, tiny.CROSS, "queries")
    firsts = {kind.kind: kind.first for kind in found.tensors if kind.differing}
    assert firsts["outputs"] == Place(1, 3, None, "outputs")
    assert firsts["predicted clean latents"] == Place(1, None, None, "predicted clean latents")
    assert str(found.first) == "step 1, call 3, cross:mid: queries"


def test_differences_are_measured(tmp_path: Path) -> None:
    def change(step: int, tensors: dict[str, Any]) -> None:
        tensors[f"latent_in@{2 * step}"] = tensors[f"latent_in@{2 * step}"] + np.float32(0.5)

    changed = Image.fromarray(np.asarray(tiny.picture()) + np.eye(16, 24, dtype=np.uint8)[..., None] * 3)
    one, other = written(tmp_path / "a"), written(tmp_path / "b", change, picture=changed)
    found = difference(one, other)
    (latents,) = [kind for kind in found.tensors if kind.differing]
    assert (latents.kind, latents.compared, latents.differing, latents.missing) == ("latents", 4, 2, 0)
    assert latents.largest == pytest.approx(0.5, abs=1e-6)
    of = max(np.sqrt(0.25 / np.mean(one.latent(step, 2 * step).astype(float) ** 2)) for step in (0, 1))
    assert latents.relative == pytest.approx(of, rel=1e-5)
    assert found.picture is not None and (found.picture.pixels, found.picture.of) == (16, 24 * 16)
    assert found.picture.largest == 3
    assert found.picture.psnr == pytest.approx(10 * math.log10(255**2 / (9 * 16 / (24 * 16))))
    assert found.within(0.9) and not found.within(1e-3)


@pytest.mark.parametrize(
    "value", [np.zeros((2, 4, 2, 2), np.float32), np.full((2, 4, 2, 3), np.nan, np.float32), None]
)
def test_what_cannot_be_measured_is_never_within_tolerance(tmp_path: Path, value: Any) -> None:
    def change(step: int, tensors: dict[str, Any]) -> None:
        if value is None:
            del tensors["output@0" if step == 0 else "output@2"]
        else:
            tensors[f"output@{2 * step}"] = value

    found = difference(written(tmp_path / "a"), written(tmp_path / "b", change))
    assert found.relative == math.inf and not found.within(1e9)
    assert found.first == Place(0, 0, None, "outputs")
    (outputs,) = [kind for kind in found.to_json()["tensors"] if kind["differing"]]
    assert outputs["largest"] is None and outputs["missing"] == (2 if value is None else 0)


def test_the_same_numbers_in_another_type_are_not_the_same_bits(tmp_path: Path) -> None:
    def change(step: int, tensors: dict[str, Any]) -> None:
        tensors["pred_x0"] = tensors["pred_x0"].astype(np.float64)

    found = difference(written(tmp_path / "a"), written(tmp_path / "b", change))
    assert not found.identical and found.relative == 0


def test_steps_that_are_missing_are_another_course(tmp_path: Path) -> None:
    found = difference(written(tmp_path / "a"), written(tmp_path / "b", steps=1))
    assert [change.name for change in found.course] == ["step 1", "picture"]
    assert not found.within(1e9) and found.picture is None
    # What only the second holds is not looked at.
    assert difference(written(tmp_path / "c", steps=1), written(tmp_path / "d")).identical


# The command.


def test_the_command_says_that_all_is_the_same(cli: CommandLine, run: Path) -> None:
    outcome = cli("verify", run, "--rerun")
    assert outcome.status == 0
    assert "identical: every bit is the same" in outcome.out and "whole" in outcome.out
    facts = cli("verify", run, "--rerun", "--json")
    assert facts.status == 0 and facts.json["whole"] and facts.json["rerun"]["verdict"] == "identical"
    assert "rerun" not in cli("verify", run, "--json").json


def test_the_command_says_what_differs(cli: CommandLine, run: Path, model: Path, tmp_path: Path) -> None:
    change_weight(model, "mid_block.attentions.0.transformer_blocks.0.attn2.to_q.weight", lambda w: w + 1)
    outcome = cli("verify", run, "--rerun", "--out", tmp_path / "again")
    assert outcome.status == 1
    assert "different" in outcome.out and "step 0, call 0, cross:mid" in outcome.out and UNET in outcome.out
    assert outcome.err.startswith("warning: ") and UNET in outcome.err
    (kept,) = (tmp_path / "again").iterdir()
    assert str(kept) in outcome.out and cli("verify", kept).status == 0
    facts = cli("verify", run, "--rerun", "--json")
    assert facts.status == 1 and facts.json["rerun"]["first"]["site"] == "cross:mid"


def test_the_command_says_how_near(cli: CommandLine, run: Path, model: Path) -> None:
    change_weight(model, "conv_in.weight", lambda w: w * (1 + 1e-5))
    outcome = cli("verify", run, "--rerun")
    assert outcome.status == 1 and "the same within 0.001" in outcome.out


def test_a_damaged_run_is_not_drawn_again(
    cli: CommandLine, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("diffuscope.engine.rerun.rerun", lambda *_, **__: pytest.fail("drawn"))
    (run / "image.png").unlink()
    outcome = cli("verify", run, "--rerun", "--json")
    assert outcome.status == 1 and outcome.json["rerun"] is None and outcome.json["damage"]


def test_bad_input_of_the_command_is_refused_in_one_line(cli: CommandLine, run: Path, model: Path) -> None:
    assert "--rerun" in cli.refuses("verify", run, "--model", "scenes")
    assert "abacus" in cli.refuses("verify", run, "--rerun", "--device", "abacus")
    shutil.rmtree(model)
    assert "--model" in cli.refuses("verify", run, "--rerun")


def test_a_rerun_is_a_frozen_value(run: Path) -> None:
    found = rerun(run)
    assert isinstance(found, Rerun)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.verdict = "different"  # type: ignore[misc]
