"""Edits of the attention probabilities: another run's, or a word's weight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from diffuscope.edits.base import Edit, checked_choice, checked_number, checked_text
from diffuscope.edits.outputs import donor_name
from diffuscope.errors import EditError

Of = Literal["probability", "logits", "odds"]


@dataclass(frozen=True)
class Inject(Edit):
    """The attention probabilities are those of a donor run at the same step, with the run's own values.
    (Prompt-to-prompt; Hertz et al. 2022, section 3.)

    Attributes:
        donor: as in `Patch`.
        attention: at which kind of site, where `sites` names none: ``cross``, ``self`` or ``joint``.
        strength: how far the output goes from the run's own (0) to what the donor's probabilities give (1).
    """

    kind: ClassVar[str] = "inject"

    donor: str
    attention: Literal["cross", "self", "joint"] = "cross"
    strength: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "donor", donor_name(self.kind, self.donor))
        checked_choice(self.kind, "attention", self.attention, Literal["cross", "self", "joint"])
        object.__setattr__(self, "strength", checked_number(self.kind, "strength", self.strength))

    def _what(self) -> str:
        part = "" if self.strength == 1 else f" by {self.strength:g}"
        return f"attends ({self.attention}) as {self.donor} does{part}"


@dataclass(frozen=True)
class Reweight(Edit):
    """The weight of a word's tokens, times `factor`; 1 changes nothing.

    Attributes:
        word: label of a word or phrase of the prompt.
        factor: any finite number; of odds, 0 or more.
        of: what is multiplied: ``probability``, after the softmax, so that rows no longer sum to 1 (Hertz et al. 2022,
            section 3); ``logits``, the scaled product of query and key before it; ``odds``, the word's odds against
            all other keys, which is to add the logarithm of the factor to its logits: rows still sum to 1.
    """

    kind: ClassVar[str] = "reweight"
    kinds: ClassVar[tuple[str, ...]] = ("cross", "joint")

    word: str
    factor: float
    of: Of = "probability"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "word", checked_text(self.kind, "word", self.word))
        object.__setattr__(self, "factor", checked_number(self.kind, "factor", self.factor))
        if checked_choice(self.kind, "of", self.of, Of) == "odds" and self.factor < 0:
            raise EditError(f"reweight: odds are never negative, and factor={self.factor:g} is")

    def _what(self) -> str:
        return f"multiplies the {self.of} of {self.word!r} by {self.factor:g}"


@dataclass(frozen=True)
class Silence(Edit):
    """Takes out what flows through a word's own tokens: `Reweight` of its probability to 0, without renormalisation.
    What the text encoder has leaked of the word into other tokens stays; `Reprompt` without the word is the other
    test.

    Attributes:
        word: label of a word or phrase of the prompt.
    """

    kind: ClassVar[str] = "silence"
    kinds: ClassVar[tuple[str, ...]] = ("cross", "joint")

    word: str

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "word", checked_text(self.kind, "word", self.word))

    def _what(self) -> str:
        return f"silences {self.word!r}"
