"""Stage 2: the tokenizer and the text encoder, before the denoiser sees them.

The tokenizer is a byte-level BPE in CLIP's form. The encoder learns in a minute to read the grammar: which colour,
size and relation to an earlier noun go with a noun (at the noun's token) and what the whole caption says (at the end
token and the padding). No picture is involved; afterwards it stays as it is.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import nn
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from diffuscope.scenes.grammar import Description, sample_split
from diffuscope.scenes.vocabulary import COLOURS, NOUNS, PLACES, RELATIONS, SIZE_WORDS, known_words
from training.loop import Schedule, train

LENGTH = 32
"""Text length in tokens, start and end included."""

START, END = "<|startoftext|>", "<|endoftext|>"


def build_tokenizer() -> CLIPTokenizer:
    """A CLIP tokenizer in which every word of the drawn world is one token and any other text is made of bytes."""
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    # Trained until nothing is left to merge: each word of the list ends as one token, by the algorithm itself.
    trainer = trainers.BpeTrainer(
        vocab_size=10_000, min_frequency=1, show_progress=False, special_tokens=[], end_of_word_suffix="</w>"
    )
    words = sorted(known_words())
    tokenizer.train_from_iterator(words, trainer)
    import json

    merges = [tuple(merge) for merge in json.loads(tokenizer.to_str())["model"]["merges"]]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [*alphabet, *(letter + "</w>" for letter in alphabet), *("".join(merge) for merge in merges)]
    vocabulary = {piece: index for index, piece in enumerate([*dict.fromkeys(pieces), START, END])}
    made = CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=LENGTH)
    for word in words:
        if len(made(word).input_ids) != 3:
            raise ValueError(f"the word {word!r} is not one token: {made.tokenize(word)}")
    return made


def build_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """Three causal layers of width 128."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=512,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=LENGTH,
        projection_dim=128,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        attention_dropout=0.0,
    )
    return CLIPTextModel(config)


def tokenise(tokenizer: CLIPTokenizer, captions: list[str]) -> torch.Tensor:
    """Token ids `[caption, LENGTH]`, padded as the pipeline pads."""
    made = tokenizer(captions, padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt")
    return made.input_ids  # type: ignore[no-any-return]


# What the whole caption says, as classes; the first class of each is "not said".
_WHOLE: dict[str, tuple[str, ...]] = {
    **{f"noun{i}": NOUNS for i in range(2)},
    **{f"colour{i}": tuple(COLOURS) for i in range(2)},
    **{f"size{i}": SIZE_WORDS for i in range(2)},
    "relation": tuple(RELATIONS),
    "place": tuple(PLACES),
}
# What each noun's own token says. The encoder is causal: where the second thing stands, its token can know; the
# first one's cannot, and need not.
_OWN: dict[str, tuple[str, ...]] = {
    "colour": tuple(COLOURS),
    "size": SIZE_WORDS,
    "relation": tuple(RELATIONS),
}


def _class(value: str | None, choices: tuple[str, ...]) -> int:
    return 0 if value is None else 1 + choices.index(value)


def _whole(description: Description) -> dict[str, int]:
    said: dict[str, str | None] = {"relation": description.relation, "place": description.place}
    for index in range(2):
        thing = description.things[index] if index < len(description.things) else None
        for part in ("noun", "colour", "size"):
            said[f"{part}{index}"] = getattr(thing, part) if thing else None
    return {key: _class(said[key], choices) for key, choices in _WHOLE.items()}


def _own(description: Description, noun: str) -> dict[str, int]:
    index = next(i for i, thing in enumerate(description.things) if thing.noun == noun)
    thing = description.things[index]
    said = {"colour": thing.colour, "size": thing.size, "relation": description.relation if index else None}
    return {key: _class(said[key], choices) for key, choices in _OWN.items()}


class Reader(nn.Module):
    """The text encoder with the linear read-outs that it is trained through; only the encoder is kept."""

    def __init__(self, encoder: CLIPTextModel) -> None:
        super().__init__()
        self.encoder = encoder
        width = encoder.config.hidden_size
        self.whole = nn.ModuleDict({key: nn.Linear(width, 1 + len(c)) for key, c in _WHOLE.items()})
        self.own = nn.ModuleDict({key: nn.Linear(width, 1 + len(c)) for key, c in _OWN.items()})


def fit(work: Path, minutes: float, seed: int, device: torch.device) -> tuple[CLIPTokenizer, CLIPTextModel]:
    """Train the text encoder to read the grammar and write both to `work/tokenizer` and `work/text_encoder`."""
    torch.manual_seed(seed)
    tokenizer = build_tokenizer()
    reader = Reader(build_encoder(tokenizer)).to(device)
    noun_ids = {tokenizer(noun).input_ids[1]: noun for noun in NOUNS}
    batch = 64

    def loss(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        rng = np.random.default_rng([seed, 77, step])
        descriptions = [sample_split(rng, "train") for _ in range(batch)]
        ids = tokenise(tokenizer, [description.caption(rng) for description in descriptions])
        hidden = reader.encoder(ids.to(device)).last_hidden_state
        end = (ids == tokenizer.eos_token_id).int().argmax(dim=1)
        rows = torch.arange(batch)
        # The end token and one padding token after it: both carry the whole caption.
        padding = torch.minimum(
            end + 1 + torch.from_numpy(rng.integers(0, 10, batch)), torch.tensor(LENGTH - 1)
        )
        total = torch.zeros((), device=device)
        for where in (end, padding):
            for key in _WHOLE:
                target = torch.tensor(
                    [_whole(description)[key] for description in descriptions], device=device
                )
                total = total + functional.cross_entropy(reader.whole[key](hidden[rows, where]), target)
        places = [(r, c) for r in range(batch) for c in range(LENGTH) if int(ids[r, c]) in noun_ids]
        at = hidden[[r for r, _ in places], [c for _, c in places]]
        own = [_own(descriptions[r], noun_ids[int(ids[r, c])]) for r, c in places]
        for part in _OWN:
            target = torch.tensor([said[part] for said in own], device=device)
            total = total + functional.cross_entropy(reader.own[part](at), target)
        return total, {}

    schedule = Schedule(minutes=minutes, peak=2e-3, hold=0.3, average=0.99, beta2=0.98, weight_decay=1e-2)
    weights = train("text", reader, loss, schedule, work, seed=seed)
    reader.load_state_dict(weights)
    tokenizer.save_pretrained(work / "tokenizer")
    reader.encoder.save_pretrained(work / "text_encoder")
    return tokenizer, reader.encoder
