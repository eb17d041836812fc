"""Small tokenizers of the real kinds, built in code: a CLIP one that spells what it does not know."""

from __future__ import annotations

from typing import Any


def byte_tokenizer(length: int, pad: str = "<|endoftext|>") -> Any:
    """A CLIP tokenizer that knows a few whole words ("red", "cat") and spells the others letter by letter. `pad` as in
    published tokenizers: the end token, or "!" in the second one of SDXL."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    alphabet = sorted(ByteLevel.alphabet())
    merges = [("r", "e"), ("re", "d</w>"), ("c", "a"), ("ca", "t</w>")]
    pieces = [*alphabet, *(letter + "</w>" for letter in alphabet), *("".join(pair) for pair in merges)]
    vocabulary = {piece: index for index, piece in enumerate([*pieces, "<|startoftext|>", "<|endoftext|>"])}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=length, pad_token=pad)
