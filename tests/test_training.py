"""The training job: exact resumption, a tokenizer that knows the world's words, and limits that hold."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL

from diffuscope.scenes.grammar import parse
from diffuscope.scenes.vocabulary import known_words
from training import autoencoder, checkpoint, contrastive, data, decoder, denoiser, package
from training.denoiser import importance, scheduler
from training.loop import Schedule, learning_rate, train
from training.optimiser import Optimiser
from training.parts import Parts
from training.text import LENGTH, build_tokenizer, tokenise


def test_a_checkpoint_holds_the_exact_state(tmp_path: Path) -> None:
    model = torch.nn.Linear(3, 2)
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.1)
    model(torch.ones(1, 3)).sum().backward()
    optimiser.step()
    state = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "step": 7, "spent": 1.25}
    checkpoint.save(tmp_path / "state.safetensors", state)
    loaded = checkpoint.load(tmp_path / "state.safetensors")
    assert (loaded["step"], loaded["spent"]) == (7, 1.25)
    torch.testing.assert_close(loaded["model"], dict(state["model"]), rtol=0, atol=0)
    # Optimisers key their state by whole numbers, which JSON alone would turn into text.
    assert loaded["optimiser"]["state"].keys() == state["optimiser"]["state"].keys()
    moments = state["optimiser"]["state"][0]["exp_avg_sq"]
    assert torch.equal(loaded["optimiser"]["state"][0]["exp_avg_sq"], moments)
    assert [path.name for path in tmp_path.iterdir()] == ["state.safetensors"]


def test_a_stopped_training_goes_on_where_it_stood(tmp_path: Path) -> None:
    seen: list[int] = []

    def run(minutes: float) -> None:
        model = torch.nn.Linear(2, 1)

        def loss(step: int) -> tuple[torch.Tensor, dict[str, float]]:
            seen.append(step)
            return model(torch.ones(1, 2)).square().mean(), {}

        train("toy", model, loss, Schedule(minutes=minutes, peak=0.01), tmp_path, seed=3)

    run(0.001)
    first = len(seen)
    state = checkpoint.load(tmp_path / "toy.safetensors")
    assert state["step"] == first and seen == list(range(first))
    run(0.002)
    assert len(seen) > first and seen == list(range(len(seen)))


def convolved() -> torch.nn.Module:
    torch.manual_seed(5)
    layers = (
        torch.nn.Conv2d(3, 16, 3),
        torch.nn.SiLU(),
        torch.nn.Conv2d(16, 24, 3),
        torch.nn.GroupNorm(4, 24),
    )
    return torch.nn.Sequential(*layers).to(memory_format=torch.channels_last)


def learn(model: torch.nn.Module, optimiser: Optimiser, steps: int) -> None:
    for step in range(steps):
        torch.manual_seed(step)
        model(torch.randn(4, 3, 9, 9)).square().mean().backward()
        optimiser.step(1e-2)
        optimiser.zero_grad()


def test_both_optimisers_move_their_own_and_go_on_from_their_state(tmp_path: Path) -> None:
    settings = {"rate": 1e-2, "beta2": 0.99, "weight_decay": 0.0, "matrices": True}
    one, other = convolved(), convolved()
    before = {name: value.clone() for name, value in one.state_dict().items()}
    first = Optimiser(one.parameters(), **settings)
    learn(one, first, 3)
    after = one.state_dict()
    assert all(not torch.equal(after[name], before[name]) for name in before)
    # Muon's steps turn every direction alike: the update of the wide convolution has singular values near one another.
    # AdamW's has not, nor has the gradient.
    learn_alone = convolved()
    learn(learn_alone, Optimiser(learn_alone.parameters(), **settings), 1)
    update = (learn_alone.state_dict()["2.weight"] - before["2.weight"]).permute(0, 2, 3, 1).reshape(24, -1)
    values = torch.linalg.svdvals(update)
    assert values[-1] > 0.5 * values[0]
    # Through a file, and on: the same as without a stop.
    checkpoint.save(tmp_path / "state.safetensors", {"model": after, "optimiser": first.state_dict()})
    kept = checkpoint.load(tmp_path / "state.safetensors")
    other.load_state_dict(kept["model"])
    second = Optimiser(other.parameters(), **settings)
    second.load_state_dict(kept["optimiser"])
    learn(one, first, 2)
    learn(other, second, 2)
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_without_matrices_all_is_adamw() -> None:
    one, other = convolved(), convolved()
    learn(one, Optimiser(one.parameters(), rate=1e-2, beta2=0.99, weight_decay=0.01, matrices=False), 3)
    plain = torch.optim.AdamW(other.parameters(), lr=1e-2, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    for step in range(3):
        torch.manual_seed(step)
        other(torch.randn(4, 3, 9, 9)).square().mean().backward()
        plain.step()
        plain.zero_grad()
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_convolutions_that_lie_otherwise_in_memory_are_refused() -> None:
    model = convolved().to(memory_format=torch.contiguous_format)
    with pytest.raises(ValueError, match="channels innermost"):
        Optimiser(model.parameters(), rate=1e-2, beta2=0.99, weight_decay=0.0, matrices=True)


def test_the_learning_rate_warms_holds_and_falls() -> None:
    schedule = Schedule(minutes=1, peak=1.0, hold=0.5, floor=0.1, warmup=10)
    assert learning_rate(schedule, 0.0, 0) == pytest.approx(0.1)
    assert learning_rate(schedule, 0.4, 100) == 1.0
    assert learning_rate(schedule, 0.75, 100) == pytest.approx(0.55)
    assert learning_rate(schedule, 1.0, 100) == pytest.approx(0.1)


def test_every_word_of_the_world_is_one_token_and_other_text_still_tokenises() -> None:
    tokenizer = build_tokenizer()
    assert all(len(tokenizer(word).input_ids) == 3 for word in known_words())
    assert tokenizer("helicopter").input_ids[1:-1] == [
        tokenizer.convert_tokens_to_ids(piece) for piece in tokenizer.tokenize("helicopter")
    ]
    assert tokenizer.unk_token_id not in tokenizer("ünïcörn & 日本").input_ids[1:-1]
    assert tokenise(tokenizer, ["a red circle", ""]).shape == (2, LENGTH)


def test_scenes_are_functions_of_their_number() -> None:
    assert np.array_equal(data.pictures(1, range(3, 5)), data.pictures(1, range(3, 5)))
    assert not np.array_equal(data.pictures(1, range(1)), data.pictures(2, range(1)))
    images = data.pictures(1, range(2))
    assert np.array_equal(data.to_images(data.to_tensor(images)), images)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, data.Store]:
    """A store of a few scenes, in a working folder of its own."""
    folder = tmp_path_factory.mktemp("work")
    return folder, data.store(folder, 24, 1)


def test_a_store_holds_the_scenes_that_their_numbers_name(drawn: tuple[Path, data.Store]) -> None:
    folder, store = drawn
    assert store.images.shape == (24, 128, 128, 3) and store.things.shape == (24, 128, 128)
    assert np.array_equal(store.images[:3], data.pictures(1, range(3)))
    assert store.things.max() == 255 and 0 < (store.things > 0).mean() < 0.9
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    data.store(folder, 24, 1)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_whitening_changes_the_latents_and_not_the_pictures(drawn: tuple[Path, data.Store]) -> None:
    torch.manual_seed(0)
    vae, device, store = autoencoder.build().eval(), torch.device("cpu"), drawn[1]
    pictures = data.to_tensor(store.images[:4])
    with torch.no_grad():
        before = vae.decode(vae.encode(pictures).latent_dist.mean).sample
        autoencoder.whiten(vae, store, device, count=24)
        after = vae.decode(vae.encode(pictures).latent_dist.mean).sample
        latents = vae.encode(data.to_tensor(store.images)).latent_dist.mean
    torch.testing.assert_close(after, before, atol=1e-3, rtol=1e-3)
    points = latents.permute(0, 2, 3, 1).reshape(-1, autoencoder.CHANNELS)
    torch.testing.assert_close(points.mean(dim=0), torch.zeros(autoencoder.CHANNELS), atol=1e-2, rtol=0)
    # No direction is larger than 1, and those that say something are 1.
    sizes = torch.linalg.eigvalsh(torch.cov(points.T))
    assert float(sizes.max()) == pytest.approx(1, abs=0.02) and float(sizes.min()) > 0


def test_the_decoder_learns_alone_and_leaves_the_latents(
    tmp_path: Path, drawn: tuple[Path, data.Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "HELD_BACK", 4)
    monkeypatch.setattr(decoder, "BATCH", 4)
    folder, store = drawn
    work = tmp_path / "work"
    shutil.copytree(folder, work)
    torch.manual_seed(0)
    vae = autoencoder.build().eval()
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    images = data.to_tensor(store.images[:2])
    with torch.no_grad():
        latent = vae.encode(images).latent_dist.mean
    taught = decoder.fit(work, 0.1, 1, torch.device("cpu"), vae, len(store.images))
    changed = {name for name, value in taught.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and all(name.startswith(("decoder.", "post_quant_conv.")) for name in changed)
    with torch.no_grad():
        torch.testing.assert_close(taught.encode(images).latent_dist.mean, latent, atol=1e-4, rtol=1e-3)
        assert (taught.decode(latent).sample - images).square().mean() < (
            vae_of(before).decode(latent).sample - images
        ).square().mean()


def vae_of(weights: dict[str, torch.Tensor]) -> AutoencoderKL:
    vae = autoencoder.build().eval()
    vae.load_state_dict(weights)
    return vae


def test_importance_reaches_every_timestep_and_most_of_all_the_middle() -> None:
    weights = importance(scheduler().alphas_cumprod)
    assert float(weights.sum()) == pytest.approx(1, abs=1e-5) and float(weights.min()) > 5e-5
    assert 250 < int(weights.argmax()) < 550


def test_checksums_are_those_that_sha256sum_reads(tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "a.txt").write_text("a")
    digest = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
    assert package.checksums(tmp_path) == f"{digest}  part/a.txt\n"


def test_the_passes_that_train_the_denoiser_give_every_parameter_its_gradient() -> None:
    """In bfloat16, channels innermost, with the attention of training, against plain float32: a faster way that leaves
    a gradient out (compiling did, on a CPU) trains on without a word."""

    def gradients(*, fast: bool) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        unet = denoiser.build().train()
        if fast:
            unet.set_attn_processor(denoiser.SinglePrecisionAttention())
            unet.to(memory_format=torch.channels_last)
        torch.manual_seed(1)
        sample, states, target = torch.randn(4, 8, 16, 16), torch.randn(4, 32, 128), torch.randn(4, 8, 16, 16)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=fast):
            output = unet(sample, torch.tensor([10, 300, 600, 900]), states).sample
        (output.float() - target).square().mean().backward()
        return {name: parameter.grad.flatten() for name, parameter in unet.named_parameters()}

    plain, fast = gradients(fast=False), gradients(fast=True)
    assert plain.keys() == fast.keys()
    together = [torch.cat(list(each.values())).double() for each in (plain, fast)]
    assert torch.nn.functional.cosine_similarity(*together, dim=0) > 0.999
    largest = max(float(gradient.norm()) for gradient in plain.values())
    for name, gradient in plain.items():
        if gradient.norm() > 1e-4 * largest:
            alike = torch.nn.functional.cosine_similarity(gradient.double(), fast[name].double(), dim=0)
            assert alike > 0.8, f"{name}: {alike}"


def test_parts_of_a_batch_side_by_side_give_the_gradients_of_the_whole() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.GELU(), torch.nn.Linear(16, 3))
    inputs, weights = torch.randn(7, 6), torch.rand(7)

    def gradients(count: int) -> tuple[float, list[torch.Tensor]]:
        model.zero_grad()
        parts = Parts(model, count)

        def share(one: torch.nn.Module, part: int) -> torch.Tensor:
            mine = slice(part, None, count)
            return (one(inputs[mine]).square().mean(dim=1) * weights[mine]).sum()

        return parts.gradients(share), [parameter.grad.clone() for parameter in model.parameters()]

    whole, (first, *rest) = gradients(1)
    for count in (2, 3):
        total, (split, *others) = gradients(count)
        assert total == pytest.approx(whole, rel=1e-6)
        for one, other in zip((first, *rest), (split, *others), strict=True):
            torch.testing.assert_close(one, other)


def test_parts_go_on_from_one_set_of_weights() -> None:
    model = torch.nn.Linear(4, 4)
    parts = Parts(model, 2)
    with torch.no_grad():
        model.weight.fill_(2.0)
        model.load_state_dict({"weight": model.weight * 2, "bias": torch.ones(4)})
    seen: list[torch.Tensor] = []

    def share(one: torch.nn.Module, part: int) -> torch.Tensor:
        seen.append(one(torch.ones(4)).detach())
        return one(torch.ones(4)).sum()

    parts.gradients(share)
    assert len(seen) == 2 and all(torch.equal(value, torch.full((4,), 17.0)) for value in seen)


def test_an_optimiser_shared_among_cores_steps_as_one() -> None:
    def trained(cores: int) -> list[torch.Tensor]:
        torch.manual_seed(0)
        model = torch.nn.Sequential(
            torch.nn.Linear(12, 24), torch.nn.GELU(), torch.nn.Linear(24, 16), torch.nn.Linear(16, 12)
        )
        optimiser = Optimiser(
            model.parameters(), rate=0.01, beta2=0.99, weight_decay=0.1, matrices=True, cores=cores
        )
        for _ in range(3):
            model(torch.ones(2, 12)).square().sum().backward()
            optimiser.step(0.01)
            optimiser.zero_grad()
        return [parameter.detach() for parameter in model.parameters()]

    for one, other in zip(trained(1), trained(2), strict=True):
        torch.testing.assert_close(one, other)


def test_the_autoencoder_goes_on_from_given_weights(tmp_path: Path, drawn: tuple[Path, data.Store]) -> None:
    start = autoencoder.build()
    torch.manual_seed(99)
    other = autoencoder.build()
    assert checkpoint.take_over(other, start) == len(start.state_dict())
    assert all(torch.equal(value, start.state_dict()[name]) for name, value in other.state_dict().items())


def test_a_near_miss_says_something_else_that_can_be_seen() -> None:
    rng = np.random.default_rng(4)
    for index in range(300):
        description = data.scene(3, index)[0]
        missed = contrastive.near_miss(description, rng)
        assert missed != description and len(missed.things) == len(description.things)
        assert parse(missed.caption()) == missed


def test_the_pair_learns_from_its_first_steps(tmp_path: Path) -> None:
    """Text and pictures of one batch find each other better than chance after a few steps on that batch."""
    tokenizer = build_tokenizer()
    torch.manual_seed(0)
    clip = contrastive.build(tokenizer)
    scenes = [data.scene(2, index) for index in range(8)]
    pixels = contrastive.prepare(data.pictures(2, range(8)))
    ids = tokenise(tokenizer, [description.caption() for description, _, _ in scenes])
    optimiser = torch.optim.AdamW(clip.parameters(), lr=1e-3)
    for _ in range(25):
        made = clip(input_ids=ids, pixel_values=pixels, return_loss=True)
        optimiser.zero_grad()
        made.loss.backward()
        optimiser.step()
    assert (made.logits_per_image.argmax(dim=1) == torch.arange(8)).float().mean() > 0.5
