"""Words that name something, and words that hold a sentence together: the latter are controls."""

from __future__ import annotations

from typing import Literal

Kind = Literal["content", "function", "start", "end", "padding", "concept"]

# fmt: off
FUNCTION_WORDS = frozenset({
    "a", "an", "the", "this", "that", "these", "those", "some", "of", "in", "on", "at", "by", "to",
    "from", "with", "without", "and", "or", "but", "near", "left", "right", "above", "below", "under",
    "over", "behind", "beside", "between", "is", "are", "was", "were", "its", "it", "his", "her",
    "their", "my", "your", "very", "there",
})
# fmt: on
"""English determiners, prepositions, conjunctions, pronouns and forms of "to be"."""


def kind_of(label: str, texts: tuple[str, ...], concept: bool = False) -> Kind:
    """What a term is: ``texts`` are its words as they stand in the prompt, none for special tokens."""
    if concept:
        return "concept"
    if label in ("<start>", "<end>", "<padding>"):
        return label[1:-1]  # type: ignore[return-value]
    if texts and all(text.casefold() in FUNCTION_WORDS for text in texts):
        return "function"
    return "content"
