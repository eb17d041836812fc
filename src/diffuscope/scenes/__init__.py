"""The drawn world: its words, captions, pictures, and the judge that reads pictures back. Needs no torch."""

from diffuscope.scenes.grammar import Description, Thing, mirrored, parse, sample_description
from diffuscope.scenes.judge import Found, Reading, read, relation_of
from diffuscope.scenes.layout import SIDE, Placed, Scene, lay_out
from diffuscope.scenes.prompts import Prompt, near_words, standard_prompts
from diffuscope.scenes.renderer import Rendered, render
from diffuscope.scenes.scoring import Row, Score, as_text, score, summarise, wilson
from diffuscope.scenes.split import UNSEEN_PAIRS, reasons, sample_split, split_of

__all__ = [
    "SIDE",
    "UNSEEN_PAIRS",
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
    "lay_out",
    "mirrored",
    "near_words",
    "parse",
    "read",
    "reasons",
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
