"""Stage 4: text and pictures brought together (CLIP; Radford et al. 2021, section 2.3).

The text encoder that can read goes on learning beside an image encoder, so that directions in text space mean
something in pictures; the image encoder gives a CLIP score. Each caption brings a near miss as one more negative (a
colour, noun, relation, place or style changed: Yuksekgonul et al. 2023, section 4), without which such models read
captions as bags of words. The reading loss stays on, so that a noun's own token keeps what belongs to it.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer, CLIPVisionConfig

from diffuscope.scenes.grammar import MIRRORED, Description, Thing
from diffuscope.scenes.vocabulary import COLOURS, LIGHTS, NOUNS, PLACES, PLURALS, STYLES
from training import data, text
from training.loop import Schedule, train

BATCH = 128


def build(tokenizer: CLIPTokenizer) -> CLIPModel:
    """The pair: the text encoder of `text.build_encoder` and a vision transformer on 64 patches of 16 by 16 pixels."""
    config = CLIPConfig(
        text_config=text.build_encoder(tokenizer).config.to_dict(),
        vision_config=CLIPVisionConfig(
            image_size=128,
            patch_size=16,
            hidden_size=128,
            intermediate_size=512,
            num_hidden_layers=4,
            num_attention_heads=4,
            projection_dim=128,
        ).to_dict(),
        projection_dim=128,
    )
    return CLIPModel(config)


def near_miss(description: Description, rng: np.random.Generator) -> Description:
    """A description that differs in one thing that can be seen."""

    def other(choices: list[str], value: str | None) -> str:
        rest = [choice for choice in choices if choice != value]
        return rest[int(rng.integers(len(rest)))]

    def changed(index: int, thing: Thing) -> Description:
        things = list(description.things)
        things[index] = thing
        return replace(description, things=tuple(things))

    index = int(rng.integers(len(description.things)))
    thing = description.things[index]
    ways: list[Description] = []
    if thing.colour is not None:
        taken = {one.colour for one in description.things}
        ways.append(
            changed(index, replace(thing, colour=other([c for c in COLOURS if c not in taken], None)))
        )
    used = {one.noun for one in description.things}
    nouns = list(PLURALS) if thing.plural else list(NOUNS)
    ways.append(
        changed(index, replace(thing, noun=other([noun for noun in nouns if noun not in used], None)))
    )
    turned = MIRRORED.get(description.relation or "", description.relation)
    if turned != description.relation:
        ways += [replace(description, relation=turned)] * 2
    first = description.things[0]
    if len(description.things) == 2 and first.colour != description.things[1].colour:
        second = description.things[1]
        swapped = (replace(first, colour=second.colour), replace(second, colour=first.colour))
        ways += [replace(description, things=swapped)] * 2
    if description.place:
        ways.append(replace(description, place=other(list(PLACES), description.place)))
    if description.style or rng.random() < 0.2:
        ways.append(replace(description, style=other(list(STYLES), description.style)))
    if description.light:
        ways.append(replace(description, light=other(list(LIGHTS), description.light)))
    return ways[int(rng.integers(len(ways)))]


def prepare(images: np.ndarray) -> torch.Tensor:
    """uint8 `[picture, y, x, channel]` to the image encoder's input, float32 `[picture, channel, y, x]` in -1 to 1."""
    return data.to_tensor(images)


class Pair(nn.Module):
    """Both encoders, and the read-outs that keep the text encoder reading."""

    def __init__(self, clip: CLIPModel, reader: text.Reader) -> None:
        super().__init__()
        self.clip, self.reader = clip, reader


def fit(
    work: Path, minutes: float, seed: int, device: torch.device, reader: text.Reader, scenes: int
) -> CLIPModel:
    """Train the pair on the stored pictures and write it to `work/clip`, with float32 weights."""
    torch.manual_seed(seed)
    tokenizer = CLIPTokenizer.from_pretrained(work / "tokenizer")
    clip = build(tokenizer).to(device)
    # One text encoder: the reader's own modules stand inside the pair.
    clip.text_model = reader.encoder.text_model if hasattr(reader.encoder, "text_model") else reader.encoder
    clip.logit_scale.data.fill_(math.log(1 / 0.07))
    pair = Pair(clip, reader)
    store = data.store(work, scenes, seed)
    reading = text.Reading(tokenizer, reader)

    def loss(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        rng = np.random.default_rng([seed, 55, step])
        indices = rng.choice(scenes - data.HELD_BACK, size=BATCH, replace=False)
        descriptions = [data.scene(seed, int(index))[0] for index in indices]
        misses = [near_miss(description, rng) for description in descriptions]
        ids = text.tokenise(tokenizer, [one.caption(rng) for one in [*descriptions, *misses]])
        states = reader.encoder(ids.to(device)).last_hidden_state
        end = (ids == tokenizer.eos_token_id).int().argmax(dim=1)
        words = functional.normalize(clip.text_projection(states[torch.arange(len(ids)), end]), dim=-1)
        pixels = prepare(store.images[np.sort(indices)][np.argsort(np.argsort(indices))]).to(device)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            seen = clip.vision_model(pixels).pooler_output
        pictures = functional.normalize(clip.visual_projection(seen.float()), dim=-1)
        scale = clip.logit_scale.clamp(max=math.log(100)).exp()
        logits = scale * pictures @ words.T
        own = torch.arange(BATCH, device=device)
        contrast = (
            functional.cross_entropy(logits, own) + functional.cross_entropy(logits[:, :BATCH].T, own)
        ) / 2
        told = reading.loss(descriptions, ids[:BATCH], states[:BATCH], rng)
        figures = {
            "contrast": float(contrast.detach()),
            "right": float((logits.argmax(dim=1) == own).float().mean()),
            "reading": float(told.detach()),
        }
        return contrast + 0.1 * told, figures

    schedule = Schedule(minutes=minutes, peak=1e-3, hold=0.3, average=0.99, beta2=0.98, weight_decay=1e-2)
    pair.load_state_dict(train("contrastive", pair, loss, schedule, work, seed=seed))
    clip.save_pretrained(work / "clip")
    reader.encoder.save_pretrained(work / "text_encoder")
    return clip
