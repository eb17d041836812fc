"""The CLIP score is 100 times the cosine of the pair's two embeddings, never below 0."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTokenizer, CLIPVisionConfig

from diffuscope.engine.clip_score import ClipPair, clip_score, shipped_pair
from diffuscope.engine.models.loading import shipped_folder
from diffuscope.errors import InputError, ModelNotFoundError, SizeError

CAPTIONS = ["a red circle", "a blue square left of a green star in the snow", "a house"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small pair with random weights, in the layout of the shipped one."""
    torch.manual_seed(0)
    tokenizer = CLIPTokenizer.from_pretrained(shipped_folder() / "tokenizer")
    size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=tokenizer.model_max_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        projection_dim=8,
        **size,
    )
    vision = CLIPVisionConfig(image_size=128, patch_size=32, projection_dim=8, **size)
    model = CLIPModel(
        CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=8)
    )
    place = tmp_path_factory.mktemp("clip")
    model.to(torch.float16).save_pretrained(place)
    tokenizer.save_pretrained(place)
    return place


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (3, 128, 128, 3), dtype=np.uint8)


def test_cosines_are_those_of_the_whole_model(folder: Path, images: np.ndarray) -> None:
    """Compared with transformers' own forward pass, which returns cosines times the exponent of `logit_scale`."""
    pair = ClipPair.load(folder)
    ids = pair.tokenizer(CAPTIONS, padding="max_length", return_tensors="pt").input_ids
    pixels = torch.from_numpy(images.astype(np.float32)).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.no_grad():
        logits = (
            pair.model(input_ids=ids, pixel_values=pixels).logits_per_image / pair.model.logit_scale.exp()
        )
    np.testing.assert_allclose(pair.cosines(images, CAPTIONS), logits.numpy(), atol=1e-5)
    expected = np.maximum(100 * np.diag(logits.numpy()), 0)
    np.testing.assert_allclose(pair.scores(images, CAPTIONS), expected, atol=1e-3)


def test_a_score_does_not_hang_on_what_else_is_asked(folder: Path, images: np.ndarray) -> None:
    pair = ClipPair.load(folder)
    together = pair.scores(images, CAPTIONS)
    alone = [float(pair.scores(images[i : i + 1], CAPTIONS[i : i + 1])[0]) for i in range(3)]
    np.testing.assert_allclose(together, alone, atol=1e-3)
    assert pair.cosines([], CAPTIONS).shape == (0, 3)


def test_scores_are_never_below_zero() -> None:
    np.testing.assert_allclose(clip_score(np.array([-0.2, 0.0, 0.314])), [0.0, 0.0, 31.4])


def test_what_cannot_be_scored_is_refused(folder: Path, images: np.ndarray, tmp_path: Path) -> None:
    pair = ClipPair.load(folder)
    with pytest.raises(SizeError, match=r"\(128, 128, 3\), got uint8 \(64, 64, 3\)"):
        pair.pictures(images[:, ::2, ::2])
    with pytest.raises(InputError, match="got 3 pictures, 1 captions"):
        pair.scores(images, CAPTIONS[:1])
    with pytest.raises(ModelNotFoundError, match="no CLIP pair in"):
        ClipPair.load(tmp_path)


def test_a_caption_that_is_too_long_is_cut(folder: Path) -> None:
    pair = ClipPair.load(folder)
    long = " and ".join(["a red circle"] * 40)
    assert pair.captions([long]).shape == (1, 8)


def test_the_shipped_pair_tells_captions_apart() -> None:
    """Smoke: drawings fit their own captions better than each other's."""
    from diffuscope.scenes.evaluation import cases, rendered

    assert shipped_pair().is_dir()
    chosen = cases(12)[:12]
    cosines = ClipPair.load().cosines(list(rendered(chosen)), [case.prompt.text for case in chosen])
    assert (cosines.argmax(axis=1) == np.arange(12)).mean() >= 0.8
