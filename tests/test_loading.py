"""From a name to a pipeline: what opens, what is refused, and what the manifest says about it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from huggingface_hub import errors as hub_errors
from original_layout import save_checkpoint, save_pickle

from diffuscope.engine import Lens
from diffuscope.engine.models import loading
from diffuscope.engine.models.loading import load, pick_dtype
from diffuscope.engine.models.reopening import reopen
from diffuscope.errors import InputError, ModelNotFoundError, UnsupportedModelError
from diffuscope.testing import random_pipeline, save_random_pipeline

pytestmark = pytest.mark.filterwarnings("ignore")

COMMIT = "0123456789abcdef" * 2 + "01234567"
SMALL: dict[str, Any] = {"steps": 1, "width": 16, "height": 16, "keep": "maps", "previews": False}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in diffusers layout. Not to be changed."""
    return save_random_pipeline(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "tiny"))


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks the hub fails the test."""
    monkeypatch.setattr("diffusers.DiffusionPipeline.download", lambda *_, **__: pytest.fail("asked the hub"))
    monkeypatch.setattr(
        "diffuscope.engine.models.single_file.snapshot_download",
        lambda *_, **__: pytest.fail("asked the hub"),
    )


# Folders.


def test_a_saved_pipeline_draws_what_it_drew_before(saved: Path, tmp_path: Path, no_hub: None) -> None:
    made = random_pipeline()(
        "a cat", num_inference_steps=1, height=16, width=16, generator=torch.manual_seed(0)
    )
    run = Lens.load(saved).record("a cat", seed=0, out=tmp_path, **SMALL)
    assert run.image.tobytes() == made.images[0].tobytes()
    model = run.manifest.model
    assert (model.source, model.id, model.revision, model.dtype) == ("folder", str(saved), None, "float32")
    assert "unet/diffusion_pytorch_model.safetensors" in {file.path for file in model.files}


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        ("unet/diffusion_pytorch_model.safetensors", "unet/"),
        ("vae", "vae/"),
        ("model_index.json", "diffusers layout"),
    ],
)
def test_a_folder_that_lacks_a_part_is_refused(folder: Path, lost: str, said: str) -> None:
    path = folder / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(UnsupportedModelError, match=said):
        load(folder)


def test_a_missing_shard_is_named(folder: Path) -> None:
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(folder / "unet" / "model-00001-of-00002.safetensors")
    (folder / "unet" / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UnsupportedModelError, match="unet/model-00002-of-00002"):
        load(folder)


def test_a_download_that_was_broken_off_is_named(folder: Path) -> None:
    (folder / "unet" / "abc.incomplete").write_bytes(b"")
    with pytest.raises(UnsupportedModelError, match=r"not whole.*abc\.incomplete"):
        load(folder)


def test_a_weight_file_cut_short_is_refused(folder: Path) -> None:
    weights = folder / "vae" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(UnsupportedModelError, match="tiny"):
        load(folder)


def test_parts_of_two_families_are_refused(folder: Path, tmp_path: Path) -> None:
    """The folder opens, but its text encoder makes other embeddings than its UNet reads."""
    other = save_random_pipeline(tmp_path / "sdxl", "sdxl")
    shutil.rmtree(folder / "text_encoder")
    shutil.copytree(other / "text_encoder", folder / "text_encoder")
    with pytest.raises(UnsupportedModelError, match="two families"):
        Lens.load(folder).record("a cat", out=tmp_path / "runs", **SMALL)
    assert not any((tmp_path / "runs").iterdir())


# Code and pickles.


def test_code_that_comes_with_a_model_is_never_run(folder: Path, tmp_path: Path) -> None:
    proof = tmp_path / "ran"
    (folder / "pipeline.py").write_text(f"open({str(proof)!r}, 'w').close()\nclass Mine: pass\n")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "_class_name": ["pipeline", "Mine"]}))
    with pytest.raises(UnsupportedModelError, match="code of its own"):
        load(folder)
    (folder / "unet" / "mine.py").write_text(f"open({str(proof)!r}, 'w').close()\nclass Mine: pass\n")
    (folder / "model_index.json").write_text(json.dumps({**index, "unet": ["mine", "Mine"]}))
    with pytest.raises(UnsupportedModelError):
        load(folder)
    assert not proof.exists()


def test_pickles_are_refused_unless_they_are_allowed(folder: Path) -> None:
    part = folder / "vae"
    from safetensors.torch import load_file

    torch.save(load_file(part / "diffusion_pytorch_model.safetensors"), part / "diffusion_pytorch_model.bin")
    (part / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(UnsupportedModelError, match=r"vae.*pickle.*--allow-pickle"):
        load(folder)
    assert load(folder, allow_pickle=True).pipe.vae is not None


# Names.


def test_a_folder_that_is_gone_is_not_looked_for_on_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_hub: None
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    for name in ("models/tiny", "./tiny", "../tiny", "models/tiny.safetensors", "/no/where", "tiny", "a/b/c"):
        with pytest.raises(ModelNotFoundError):
            load(name)
    with pytest.raises(ModelNotFoundError, match="hub:models/tiny"):
        load("models/tiny")
    with pytest.raises(ModelNotFoundError):
        load(Path("owner/name"))


def test_a_hub_model_is_recorded_with_its_commit_and_files(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a cache in the hub's own layout, without a connection."""
    cache = tmp_path / "hub" / "models--owner--name"
    shutil.copytree(saved, cache / "snapshots" / COMMIT)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text(COMMIT)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(
        "diffusers.pipelines.pipeline_utils.DIFFUSERS_CACHE", str(tmp_path / "hub"), raising=False
    )
    for name in ("owner/name", "hub:owner/name"):
        lens = Lens.load(name, offline=True)
        assert (lens.loaded.source, lens.loaded.id, lens.loaded.revision) == ("hub", "owner/name", COMMIT)
    run = lens.record("a cat", out=tmp_path / "runs", **SMALL)
    assert run.manifest.model.revision == COMMIT and len(run.manifest.model.files) > 5
    with pytest.raises(ModelNotFoundError, match="local cache"):
        load("owner/other", offline=True)


def test_the_manifest_reopens_the_hub_at_its_commit(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Lens.load(saved).record("a cat", out=tmp_path, **SMALL)
    model = run.manifest.model.model_copy(update={"id": "owner/name", "source": "hub", "revision": COMMIT})
    asked: list[Any] = []
    monkeypatch.setattr(
        "diffuscope.engine.models.loading.fetch",
        lambda name, revision, **_: asked.append((name, revision)) or (saved, revision),
    )
    reopened = reopen(run.manifest.model_copy(update={"model": model}))
    assert asked == [("owner/name", COMMIT)] and reopened.revision == COMMIT


class _Answer:
    """What the hub's errors hold of its answer."""

    headers: dict[str, str] = {}  # noqa: RUF012
    status_code = 401
    request = None


def hub_error(kind: type[Exception]) -> Exception:
    try:
        return kind("as the hub says it", response=_Answer())  # type: ignore[call-arg]
    except TypeError:
        return kind("as the hub says it")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (hub_errors.GatedRepoError, "accept its terms at https://huggingface.co/owner/name"),
        (hub_errors.RepositoryNotFoundError, "no model 'owner/name' on the hub"),
        (hub_errors.RevisionNotFoundError, "no revision 'v9'"),
        (hub_errors.LocalEntryNotFoundError, "hf download owner/name"),
        (ConnectionError, "cannot fetch 'owner/name'"),
    ],
)
def test_what_the_hub_refuses_is_one_line_that_says_what_to_do(
    kind: type[Exception], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        try:
            raise hub_error(kind)
        except Exception as cause:
            raise OSError("wrapped by the library") from cause

    monkeypatch.setattr("diffusers.DiffusionPipeline.download", refuse)
    with pytest.raises(ModelNotFoundError) as caught:
        load("owner/name", revision="v9")
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_a_revision_of_what_is_not_on_the_hub_is_refused(saved: Path) -> None:
    for model in (saved, "scenes"):
        with pytest.raises(InputError, match="revision"):
            load(model, revision="main")


# Numbers and devices.


def test_the_type_of_numbers_is_the_one_asked_for(saved: Path) -> None:
    assert load(saved, dtype="bfloat16").pipe.unet.dtype == torch.bfloat16
    with pytest.raises(InputError, match=r"float12.*float16"):
        load(saved, dtype="float12")


def test_half_precision_is_the_one_that_a_model_was_made_for() -> None:
    cuda = torch.device("cuda")
    assert pick_dtype(None, torch.device("cpu"), "FluxPipeline") == torch.float32
    assert pick_dtype(None, cuda, "StableDiffusionPipeline") == torch.float16
    assert pick_dtype(None, cuda, "FluxPipeline") == torch.bfloat16


def test_the_best_device_is_picked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert loading.pick_device(None).type == "cpu"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert loading.pick_device(None).type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert loading.pick_device(None).type == "cuda"


def test_parts_on_different_devices_are_refused(tmp_path: Path) -> None:
    pipe = random_pipeline()
    pipe.text_encoder.to("meta")
    with pytest.raises(InputError, match=r"text_encoder on meta|unet.* on cpu; "):
        Lens(pipe).record("a cat", out=tmp_path, **SMALL)


# Checkpoints of one file.


def test_a_checkpoint_file_opens_with_its_configuration(saved: Path, tmp_path: Path, no_hub: None) -> None:
    pipe = random_pipeline()
    made = pipe("a cat", num_inference_steps=1, height=16, width=16, generator=torch.manual_seed(0))
    file = save_checkpoint(pipe, tmp_path / "tiny.safetensors")
    config = tmp_path / "config"
    shutil.copytree(saved, config, ignore=shutil.ignore_patterns("*.safetensors"))
    lens = Lens.load(file, config=config)
    run = lens.record("a cat", seed=0, out=tmp_path / "runs", **SMALL)
    assert run.image.tobytes() == made.images[0].tobytes()
    model = run.manifest.model
    assert (model.source, [each.path for each in model.files]) == ("file", ["tiny.safetensors"])


def test_without_a_configuration_the_line_says_what_to_give(tmp_path: Path, monkeypatch: Any) -> None:
    file = save_checkpoint(random_pipeline(), tmp_path / "tiny.safetensors")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "empty"))
    with pytest.raises(ModelNotFoundError, match=r"stable-diffusion.*--config"):
        load(file, offline=True)


def test_a_pickled_checkpoint_is_refused_unless_it_is_allowed(
    saved: Path, tmp_path: Path, no_hub: None
) -> None:
    file = save_pickle(random_pipeline(), tmp_path / "tiny.ckpt")
    with pytest.raises(UnsupportedModelError, match=r"pickle.*--allow-pickle"):
        load(file, config=saved)
    assert load(file, config=saved, allow_pickle=True).source == "file"


def test_a_file_that_is_no_checkpoint_is_refused(saved: Path, tmp_path: Path, no_hub: None) -> None:
    file = tmp_path / "broken.safetensors"
    file.write_bytes(b"not a checkpoint")
    with pytest.raises(UnsupportedModelError, match=r"broken\.safetensors"):
        load(file, config=saved)
    vae = saved / "vae" / "diffusion_pytorch_model.safetensors"
    with pytest.raises(UnsupportedModelError, match=r"whole pipeline|cannot be read"):
        load(vae, config=saved)
