"""From a prompt to the tokens that the text encoder sees, and from words to their tokens."""

from __future__ import annotations

import re
from typing import Any

from diffuscope.recording import TextInfo, Token, Word

# A word: letters and digits, with apostrophes and hyphens inside ("don't", "black-and-white").
_WORD = re.compile(r"\w+(?:['’\-]\w+)*")


def read_prompt(tokenizer: Any, prompt: str, length: int) -> TextInfo:
    """Tokens, words and what was cut, for a text encoder that takes `length` tokens.

    A word's tokens are those whose characters overlap it, so sub-tokens are joined and punctuation is left apart;
    a word of which the cut removed any token is left out and named in `cut`.
    """
    whole = tokenizer(prompt, return_offsets_mapping=True, truncation=False, verbose=False)
    ids, spans = list(whole["input_ids"]), [tuple(span) for span in whole["offset_mapping"]]
    start, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    begins = bool(ids) and ids[0] == start
    ends = bool(ids) and ids[-1] == end
    body = list(zip(ids, spans, strict=True))[int(begins) : len(ids) - int(ends)]
    room = length - int(begins) - int(ends)
    kept = body[:room]
    tokens = [Token(index=0, id=start, text=_text(tokenizer, start), kind="start")] if begins else []
    for token, _ in kept:
        tokens.append(Token(index=len(tokens), id=token, text=_text(tokenizer, token), kind="content"))
    if ends:
        tokens.append(Token(index=len(tokens), id=end, text=_text(tokenizer, end), kind="end"))
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else end
    while len(tokens) < length:
        tokens.append(Token(index=len(tokens), id=pad, text=_text(tokenizer, pad), kind="padding"))

    limit = body[room][1][0] if len(body) > room else len(prompt)
    words: list[Word] = []
    seen: dict[str, int] = {}
    cut_from = limit if limit < len(prompt) else None
    for match in _WORD.finditer(prompt):
        if match.end() > limit:
            cut_from = min(match.start(), cut_from if cut_from is not None else match.start())
            continue
        at = [
            int(begins) + position
            for position, (_, (left, right)) in enumerate(kept)
            if left < match.end() and right > match.start()
        ]
        if not at:
            continue
        text = match.group()
        number = seen[text.lower()] = seen.get(text.lower(), 0) + 1
        label = text.lower() if number == 1 else f"{text.lower()}#{number}"
        words.append(Word(label=label, text=text, tokens=at, start=match.start(), end=match.end()))
    cut = prompt[cut_from:].strip() if cut_from is not None else None
    return TextInfo(tokens=tokens, words=words, cut=cut or None, length=length)


def _text(tokenizer: Any, token: int) -> str:
    return str(tokenizer.convert_ids_to_tokens(token)).removesuffix("</w>")
