"""Edits of what the model is told: another prompt, or a step in the direction of a concept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from diffuscope.edits.base import WINDOW, Edit, checked_choice, checked_number, checked_text
from diffuscope.errors import EditError

Space = Literal["embedding", "tokens", "guidance"]


@dataclass(frozen=True)
class Reprompt(Edit):
    """The conditional embedding is that of another prompt, pooled embeddings with it. Where sites, heads or patches are
    named, their keys and values alone are.

    Attributes:
        prompt: the other prompt; it may be empty.
    """

    kind: ClassVar[str] = "reprompt"

    prompt: str

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "prompt", checked_text(self.kind, "prompt", self.prompt, empty=True))

    def _what(self) -> str:
        return f"prompts {self.prompt!r}" if self.prompt else "prompts nothing"


@dataclass(frozen=True)
class Steer(Edit):
    """Moves the picture toward a concept and away from another.

    ``space="embedding"``: rows R of the conditional text embedding become ``c_R + strength * n * u/|u|``, where
    ``u = e(toward) - e(away)``, ``e`` of a phrase is the mean over its tokens when it stands in the prompt in place of
    the word, and ``n`` is the mean norm of the rows R. R are the word's token rows or, where no word is named, all but
    the start token's, and phrases are then encoded by themselves. Pooled embeddings move by the same rule with a
    difference of their own. A text of no token (the empty prompt) has the embedding of its end token.

    ``space="tokens"``: every row but the start token's moves by a difference of its own,
    ``c_r + strength * (e_toward[r] - e_away[r])``, not normalised. Both texts are the prompt with the phrase in place
    of the word's; rows behind it are matched by their distance from it. So tokens that have heard of the word move
    too, end and padding among them, and at strength 1 the text becomes that of the prompt with `toward` in it where
    that has as many tokens. Where no word is named both are whole prompts, `away` the prompt itself.

    ``space="guidance"``: after guidance the model's prediction gets ``strength * g * (eps(toward) - eps(away))``, ``g``
    the guidance scale, 1 where there is none. (Semantic guidance; Brack et al. 2023, section 3, without its warm-up
    and momentum.) Concepts are encoded by themselves, and cost a row of the denoiser each.

    Attributes:
        toward: what to move to.
        away: what to move from; by default the word's own phrase, its adjectives included, or the empty prompt (of
            tokens: the prompt).
        word: the word of the prompt that is meant, or None (styles, places).
        strength: 0 changes nothing.
        space: ``embedding``, ``tokens`` or ``guidance``.
        quantile: of guidance: only patches whose difference is larger in norm than this share of all. None for all.
        steps: ``window`` by default, see `Edit`.
    """

    kind: ClassVar[str] = "steer"

    toward: str
    away: str | None = None
    word: str | None = None
    strength: float = 1.0
    space: Space = "embedding"
    quantile: float | None = None
    # A field of every edit, with a default of its own.
    steps: str = field(default=WINDOW, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "toward", checked_text(self.kind, "toward", self.toward))
        if self.away is not None:
            object.__setattr__(self, "away", checked_text(self.kind, "away", self.away, empty=True))
        if self.word is not None:
            object.__setattr__(self, "word", checked_text(self.kind, "word", self.word))
        object.__setattr__(self, "strength", checked_number(self.kind, "strength", self.strength))
        checked_choice(self.kind, "space", self.space, Space)
        if self.away is not None and self.away.casefold() == self.toward.casefold():
            raise EditError(f"steer: toward and away are both {self.toward!r}, which is no direction")
        if self.quantile is not None:
            if self.space != "guidance":
                raise EditError("steer: a quantile is taken of patches, which space='guidance' has")
            share = checked_number(self.kind, "quantile", self.quantile)
            if not 0 <= share < 1:
                raise EditError(f"steer: quantile={share:g}; it is from 0 to less than 1")
            object.__setattr__(self, "quantile", share)
        if self.space == "guidance" and (self.sites, self.heads) != ("all", "all"):
            raise EditError(
                "steer: guidance acts on the model's prediction, which has no sites and heads; name none"
            )

    def _what(self) -> str:
        away = "" if self.away is None else f" and away from {self.away!r}"
        word = "" if self.word is None else f" {self.word!r}"
        return f"steers{word} toward {self.toward!r}{away} by {self.strength:g} in {self.space} space"
