"""From a prompt to the tokens that the text encoder sees, and from words to their tokens."""

from __future__ import annotations

import re
from typing import Any

from diffuscope.engine.models.family import ReadPrompt
from diffuscope.recording import TextInfo, Token, Word

# A word: letters and digits, with apostrophes and hyphens inside ("don't", "black-and-white").
_WORD = re.compile(r"\w+(?:['’\-]\w+)*")


def read_prompt(tokenizer: Any, prompt: str, length: int, lower: bool = False) -> TextInfo:
    """Tokens, words and what was cut, for a text encoder that takes `length` tokens.

    A word's tokens are those whose characters overlap it, so sub-tokens are joined and punctuation is left apart;
    a word of which the cut removed any token is left out and named in `cut`. A token that was learned for the prompt
    (textual inversion: `<cat-toy>`) is one word, with all the vectors that it stands for. `lower`: the pipeline puts
    the prompt in lower case before it reads it.
    """
    read, origin = _expanded(
        tokenizer, prompt.lower() if lower and len(prompt.lower()) == len(prompt) else prompt
    )
    whole = tokenizer(read, return_offsets_mapping=True, truncation=False, verbose=False)
    ids = list(whole["input_ids"])
    spans = [origin.span(int(left), int(right)) for left, right in whole["offset_mapping"]]
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
    for begin, stop in _words(prompt, origin.learned):
        if stop > limit:
            cut_from = min(begin, cut_from if cut_from is not None else begin)
            continue
        at = [
            int(begins) + position
            for position, (_, (left, right)) in enumerate(kept)
            if left < stop and right > begin
        ]
        if not at:
            continue
        text = prompt[begin:stop]
        number = seen[text.lower()] = seen.get(text.lower(), 0) + 1
        label = text.lower() if number == 1 else f"{text.lower()}#{number}"
        words.append(Word(label=label, text=text, tokens=at, start=begin, end=stop))
    cut = prompt[cut_from:].strip() if cut_from is not None else None
    return TextInfo(tokens=tokens, words=words, cut=cut or None, length=length)


def one_encoder(tokenizer: Any, prompt: str, length: int | None = None, *, lower: bool = False) -> ReadPrompt:
    """`read_prompt` for a pipeline of one text encoder, and what to say about it. `length` is the tokenizer's own
    where none is given."""
    text = read_prompt(tokenizer, prompt, tokenizer.model_max_length if length is None else length, lower)
    return ReadPrompt(text, cut_warning(text))


def cut_warning(text: TextInfo) -> tuple[str, ...]:
    """What to tell the user where a part of the prompt did not fit."""
    if not text.cut:
        return ()
    return (f"the text encoder takes {text.length} tokens; this part of the prompt was cut: {text.cut!r}",)


def without_words(rows: int) -> TextInfo:
    """Keys whose text is not known: `rows` embeddings that were given ready-made, in numbers instead of words."""
    tokens = [Token(index=index, id=0, text=f"[{index}]", kind="content") for index in range(rows)]
    return TextInfo(tokens=tokens, words=[], cut=None, length=rows)


class _Origin:
    """Where the characters of a text that was expanded for textual inversion came from in the prompt.

    Attributes:
        learned: spans of learned tokens in the prompt.
    """

    def __init__(self, moved: list[tuple[int, int, int, int]], learned: list[tuple[int, int]]) -> None:
        """`moved`: pieces that were replaced, as (start, end) in the text and (start, end) in the prompt."""
        self._moved, self.learned = moved, learned

    def span(self, left: int, right: int) -> tuple[int, int]:
        """The span in the prompt that a span of the text came from."""
        return self._back(left, 0), self._back(right, 1)

    def _back(self, at: int, side: int) -> int:
        shift = 0
        for start, end, begin, stop in self._moved:
            if at >= end:
                shift = stop - end
            elif at > start or (at == start and side == 0):
                return (begin, stop)[side]
        return at + shift


def _expanded(tokenizer: Any, prompt: str) -> tuple[str, _Origin]:
    """The prompt as pipelines expand it for learned tokens of several vectors: `<cat>` becomes `<cat> <cat>_1 …`
    (`TextualInversionLoaderMixin.maybe_convert_prompt` of diffusers), and where everything came from."""
    special = set(tokenizer.all_special_tokens)
    added = {token for token in tokenizer.get_added_vocab() if token not in special}
    if not added:
        return prompt, _Origin([], [])
    # Longest first, as tokenizers match: `<cat>_1` is no `<cat>`.
    pattern = re.compile("|".join(re.escape(token) for token in sorted(added, key=len, reverse=True)))
    text, at, moved, learned = "", 0, [], []
    for match in pattern.finditer(prompt):
        replacement, number = match.group(), 1
        while f"{match.group()}_{number}" in added:
            replacement += f" {match.group()}_{number}"
            number += 1
        text += prompt[at : match.start()]
        moved.append((len(text), len(text) + len(replacement), match.start(), match.end()))
        learned.append(match.span())
        text, at = text + replacement, match.end()
    return text + prompt[at:], _Origin(moved, learned)


def _words(prompt: str, learned: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans of the prompt's words, in order; a learned token is one, brackets included."""
    plain = [
        match.span()
        for match in _WORD.finditer(prompt)
        if not any(match.start() < stop and match.end() > begin for begin, stop in learned)
    ]
    return sorted([*plain, *learned])


def _text(tokenizer: Any, token: int) -> str:
    # Byte-level vocabularies mark a word's end, sentence pieces its beginning.
    return str(tokenizer.convert_ids_to_tokens(token)).removesuffix("</w>").removeprefix("\u2581")
