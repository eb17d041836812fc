"""Stage 3: the tokenizer and the text encoder, before pictures come in.

The tokenizer is a byte-level BPE in CLIP's form. The encoder learns in two minutes to read the grammar: which colour,
pattern, size and relation to an earlier noun go with a noun (at the noun's token) and what the whole caption says (at
the end token and the padding). The contrastive stage (`contrastive.py`) goes on from here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import nn
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from diffuscope.scenes.grammar import Description
from diffuscope.scenes.split import sample_split
from diffuscope.scenes.vocabulary import (
    LIGHTS,
    NOUNS,
    PAINTS,
    PATTERNS,
    PLACES,
    PLURALS,
    RELATIONS,
    SIZE_WORDS,
    STYLES,
    known_words,
)
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
    **{f"noun{i}": NOUNS for i in range(3)},
    **{f"colour{i}": tuple(PAINTS) for i in range(3)},
    **{f"pattern{i}": PATTERNS for i in range(3)},
    **{f"size{i}": SIZE_WORDS for i in range(3)},
    "relation": tuple(RELATIONS),
    "place": tuple(PLACES),
    "light": tuple(LIGHTS),
    "style": tuple(STYLES),
}
# What each noun's own token says. The encoder is causal: where a later thing stands, its token can know; the first
# one's cannot, and need not.
_OWN: dict[str, tuple[str, ...]] = {
    "colour": tuple(PAINTS),
    "pattern": PATTERNS,
    "size": SIZE_WORDS,
    "relation": tuple(RELATIONS),
}


def _class(value: str | None, choices: tuple[str, ...]) -> int:
    return 0 if value is None else 1 + choices.index(value)


def _whole(description: Description) -> dict[str, int]:
    said: dict[str, str | None] = {
        part: getattr(description, part) for part in ("relation", "place", "light", "style")
    }
    for index in range(3):
        thing = description.things[index] if index < len(description.things) else None
        for part in ("noun", "colour", "pattern", "size"):
            said[f"{part}{index}"] = getattr(thing, part) if thing else None
    return {key: _class(said[key], choices) for key, choices in _WHOLE.items()}


def _own(description: Description, index: int) -> dict[str, int]:
    thing = description.things[index]
    last = index > 0 and index == len(description.things) - 1
    said = {
        "colour": thing.colour,
        "pattern": thing.pattern,
        "size": thing.size,
        "relation": description.relation if last else None,
    }
    return {key: _class(said[key], choices) for key, choices in _OWN.items()}


class Reader(nn.Module):
    """The text encoder with the linear read-outs that it is trained through; only the encoder is kept."""

    def __init__(self, encoder: CLIPTextModel) -> None:
        super().__init__()
        self.encoder = encoder
        width = encoder.config.hidden_size
        self.whole = nn.ModuleDict({key: nn.Linear(width, 1 + len(c)) for key, c in _WHOLE.items()})
        self.own = nn.ModuleDict({key: nn.Linear(width, 1 + len(c)) for key, c in _OWN.items()})


class Reading:
    """The loss of reading captions: cross-entropies of every read-out, summed."""

    def __init__(self, tokenizer: CLIPTokenizer, reader: Reader) -> None:
        self.tokenizer, self.reader = tokenizer, reader
        words = {noun: noun for noun in NOUNS} | {plural: noun for noun, plural in PLURALS.items()}
        self._nouns = {tokenizer(word).input_ids[1]: noun for word, noun in words.items()}

    def loss(
        self,
        descriptions: list[Description],
        ids: torch.Tensor,
        hidden: torch.Tensor,
        rng: np.random.Generator,
    ) -> torch.Tensor:
        """`ids` `[caption, LENGTH]` and the encoder's states of them `[caption, LENGTH, width]`."""
        count, device = len(descriptions), hidden.device
        end = (ids == self.tokenizer.eos_token_id).int().argmax(dim=1)
        rows = torch.arange(count)
        # The end token and one padding token after it: both carry the whole caption.
        padding = torch.minimum(
            end + 1 + torch.from_numpy(rng.integers(0, 10, count)), torch.tensor(LENGTH - 1)
        )
        total = torch.zeros((), device=device)
        whole = [_whole(description) for description in descriptions]
        for where in (end, padding):
            for key in _WHOLE:
                target = torch.tensor([said[key] for said in whole], device=device)
                total = total + functional.cross_entropy(self.reader.whole[key](hidden[rows, where]), target)
        places, own = [], []
        for row, description in enumerate(descriptions):
            index = {thing.noun: number for number, thing in enumerate(description.things)}
            for column, token in enumerate(ids[row].tolist()):
                if (noun := self._nouns.get(token)) in index:
                    places.append((row, column))
                    own.append(_own(description, index[noun]))
        at = hidden[[r for r, _ in places], [c for _, c in places]]
        for part in _OWN:
            target = torch.tensor([said[part] for said in own], device=device)
            total = total + functional.cross_entropy(self.reader.own[part](at), target)
        return total


def fit(work: Path, minutes: float, seed: int, device: torch.device) -> Reader:
    """Train the text encoder to read the grammar; the tokenizer goes to `work/tokenizer`, the state stays with the
    stage's checkpoint."""
    torch.manual_seed(seed)
    tokenizer = build_tokenizer()
    tokenizer.save_pretrained(work / "tokenizer")
    reader = Reader(build_encoder(tokenizer)).to(device)
    reading = Reading(tokenizer, reader)

    def loss(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        rng = np.random.default_rng([seed, 77, step])
        descriptions = [sample_split(rng, "train") for _ in range(64)]
        ids = tokenise(tokenizer, [description.caption(rng) for description in descriptions])
        hidden = reader.encoder(ids.to(device)).last_hidden_state
        return reading.loss(descriptions, ids, hidden, rng), {}

    schedule = Schedule(minutes=minutes, peak=2e-3, hold=0.3, average=0.99, beta2=0.98, weight_decay=1e-2)
    reader.load_state_dict(train("text", reader, loss, schedule, work, seed=seed))
    return reader
