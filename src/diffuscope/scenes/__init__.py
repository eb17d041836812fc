"""The drawn world: its words, captions, pictures, and the judge that reads pictures back. Needs no torch."""

from diffuscope.scenes.grammar import (
    SIDE,
    Description,
    Placed,
    Scene,
    Thing,
    lay_out,
    parse,
    sample_description,
    sample_split,
    split_of,
)
from diffuscope.scenes.judge import Found, Reading, read, relation_of
from diffuscope.scenes.prompts import Prompt, near_words, standard_prompts
from diffuscope.scenes.renderer import Rendered, backdrop, render
from diffuscope.scenes.scoring import Row, Score, as_text, score, summarise, wilson

__all__ = [
    "SIDE",
    "Description",
    "Found",
    "Placed",
    "Prompt",
    "Reading",
    "Rendered",
    "Row",
    "Scene",
    "Score",
    "Thing",
    "as_text",
    "backdrop",
    "lay_out",
    "near_words",
    "parse",
    "read",
    "relation_of",
    "render",
    "sample_description",
    "sample_split",
    "score",
    "split_of",
    "standard_prompts",
    "summarise",
    "wilson",
]
